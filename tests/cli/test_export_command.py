"""`sightline export`, from the outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.test_package import PROBLEM, FakeRun
from export.tiny_models import CLASSES, TinyModel
from sightline.cli.main import main
from sightline.core.manifest import Manifest
from sightline.core.problem import Problem, SplitSection
from sightline.data.importing import import_dataset
from sightline.data.split import make_split
from sightline.train.run import Run
from video.conftest import write_png


class Trained(FakeRun):
    """A model in memory that says where its data is, as a run's folder does."""

    config: dict[str, Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    for index in range(30):
        write_png(tmp_path / "src" / CLASSES[index % 3] / f"{index}.png", index)
    dataset = import_dataset(tmp_path / "src", tmp_path / "set")[0]
    split = make_split(dataset, SplitSection(by="frame", train=0.4, val=0.4, test=0.2))
    split.write()
    trained = Trained(TinyModel().eval(), Problem.parse(dict(PROBLEM)))
    trained.config = {"dataset": {"path": str(dataset.root)}, "split": {"name": split.name}}
    monkeypatch.setattr(Run, "open", lambda _: trained)
    return trained


def export(*words: object) -> int:
    try:
        main(["export", "run", *map(str, words)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_run_is_packaged_on_its_own_held_out_part(
    run: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--out", tmp_path / "package", "--version", "3") == 0
    told = capsys.readouterr().out
    assert "classify.accuracy" in told and str(tmp_path / "package") in told
    manifest = Manifest.read(tmp_path / "package")
    assert manifest.version == "3"
    assert manifest.reference["pictures"] == 12


def test_bad_words_exit_with_two_and_write_nothing(run: Trained, tmp_path: Path) -> None:
    for words in (["--part", "nowhere"], ["--threshold", "detect"], ["--threshold", "fly=0.5"]):
        assert export("--out", tmp_path / "package", *words) == 2
    assert not (tmp_path / "package").exists()


def test_a_place_that_is_taken_needs_replace(run: Trained, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "mine.txt").write_text("keep")
    assert export("--out", tmp_path / "package") == 2
    assert (tmp_path / "package" / "mine.txt").exists()
