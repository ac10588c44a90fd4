"""The commands in the documentation are run, as they stand, in an empty folder.

A fenced `sh` or `python` block is run when the line before it is `<!-- run: SETUP -->`; blocks of one page
share a folder. From the first `<!-- run slow: SETUP -->` on they are run by the slow tests only. SETUP names
what stands there before the first block: `scenes`, `rallies`, `package` (with pictures and a film beside
it), `watched` (a package with a reference, pictures as they were and darker), `growing` (a problem with its
labels, and what annotators exported since) or `nothing`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
PAGES = sorted([*REPO.glob("docs/**/*.md"), REPO / "README.md"])
BLOCK = re.compile(r"<!-- run( slow)?: (\w+) -->\n```(sh|python)\n(.*?)```", re.DOTALL)


SHELLS = {"sh": ("bash", "-euo", "pipefail", "-c"), "python": (sys.executable, "-c")}


def blocks(page: Path, *, slow: bool = False) -> list[tuple[str, str, str]]:
    """Set-up, language and text of the runnable blocks of a page; all of them, or those before a slow one."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    quick = found if slow else takewhile(lambda block: not block[0], found)
    return [(setup, language, text) for _, setup, language, text in quick]


def prepare(setup: str, folder: Path) -> None:
    """Put the labels a page talks about into its folder."""
    if setup == "rallies":
        from sightline.simulate.labelled import write_rallies

        write_rallies(folder / "labels", 6, frames=8, size_wh=(192, 108))
    elif setup == "scenes":
        from sightline.simulate.labelled import write_coco_scenes

        write_coco_scenes(folder / "labels", 24, size_wh=(96, 64))
    elif setup == "package":
        from export.tiny_models import TinyModel
        from sightline.export.writing import package_model
        from sightline.simulate.labelled import write_coco_scenes, write_film

        package_model(TinyModel("detect").eval(), folder / "package")
        write_coco_scenes(folder / "pictures", 3, size_wh=(96, 64))
        write_film(folder / "film.mp4", 0, frames=12, size_wh=(96, 64))
    elif setup == "watched":
        from monitor.packages import watched_package, write_pictures

        watched_package(folder / "package")
        write_pictures(folder / "pictures", 40, 2)
        write_pictures(folder / "dark", 40, 2, light=0.7)
    elif setup == "growing":
        from lifecycle.growing import growing

        growing(folder)
    else:
        assert setup == "nothing", f"unknown set-up {setup!r}"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.stem)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    run_blocks(page, blocks(page), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if len(blocks(p, slow=True)) > len(blocks(p))], ids=lambda p: p.stem
)
def test_the_slow_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    run_blocks(page, blocks(page, slow=True), tmp_path)


def run_blocks(page: Path, found: list[tuple[str, str, str]], tmp_path: Path) -> None:
    """Set up as the first block says, then run them all in one folder."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(REPO / "src")
    prepare(found[0][0], tmp_path)
    for _, language, text in found:
        done = subprocess.run(
            [*SHELLS[language], text],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{page.name}:\n{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(REPO)} links to {target}"


def test_shell_blocks_name_only_verbs_that_exist() -> None:
    from sightline.cli.main import VERBS

    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.splitlines():
                words = shlex.split(line, comments=True) if line.startswith("sightline ") else []
                assert len(words) < 2 or words[1] in VERBS or words[1].startswith("-"), f"{page.name}: {line}"


def test_the_problems_in_the_pages_and_examples_are_taken() -> None:
    import yaml

    from sightline.core.problem import Problem

    texts = {path: path.read_text(encoding="utf-8") for path in (REPO / "examples").glob("*.yaml")}
    for page in PAGES:
        for text in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            if text.startswith("name:"):
                texts[page] = text
    assert len(texts) > 6
    for path, text in texts.items():
        Problem.parse(yaml.safe_load(text), where=path)
