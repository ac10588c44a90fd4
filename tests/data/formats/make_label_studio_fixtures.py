"""Make the fixtures under `label_studio/` with the real server, one project for each control that is read.

    pip install label-studio==1.23.*        (in an environment of its own)
    SIGHTLINE_LABEL_STUDIO=/path/to/bin/label-studio python tests/data/formats/make_label_studio_fixtures.py

Each folder holds `export.json`, `min.json`, `export.csv` as the server wrote them, and `media/`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from data.formats import label_studio_cases as cases  # noqa: E402
from data.formats.label_studio_server import Client, Server, find_program  # noqa: E402

OUT = HERE / "label_studio"
PLAIN: dict[str, Callable[[], cases.Case]] = {
    "rectangle": cases.rectangles,
    "polygon": cases.polygons,
    "keypoint": cases.keypoints,
    "choices": cases.choices,
    "ellipse": cases.ellipses,
    "regions": cases.regions,
    "video": cases.video,
}


def real_rle(program: str) -> Callable[[NDArray[np.bool_]], list[int]]:
    """The encoder that Label Studio's own converter uses, run in its own environment."""
    code = (
        "import json, sys, numpy as np; from label_studio_sdk.converter.brush import mask2rle;"
        "print(json.dumps(mask2rle(np.array(json.load(sys.stdin), np.uint8) * 255)))"
    )

    def encode(mask: NDArray[np.bool_]) -> list[int]:
        words = [str(Path(program).parent / "python"), "-c", code]
        text = json.dumps(mask.astype(int).tolist())
        found: list[int] = json.loads(
            subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout
        )
        return found

    return encode


def make(owner: Client, name: str, case: cases.Case) -> int:
    """A project with its pictures uploaded and annotated through the API."""
    project = owner.new_project(f"made {name}", cases.CONFIGS[name])
    with tempfile.TemporaryDirectory() as folder:
        for path in cases.write_media(Path(folder), case):  # one by one, so that tasks come in this order
            owner.upload(project, [path])
    for task, media in zip(owner.tasks(project), case.media, strict=True):
        if media in case.results:
            owner.annotate(task["id"], case.results[media])
    return project


def save(owner: Client, project: int, name: str, case: cases.Case) -> None:
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    cases.write_media(folder / "media", case)
    exported = json.loads(owner.export(project, "JSON"))
    (folder / "export.json").write_text(json.dumps(exported, indent=1, ensure_ascii=False) + "\n")
    (folder / "min.json").write_bytes(owner.export(project, "JSON_MIN"))
    (folder / "export.csv").write_bytes(owner.export(project, "CSV"))
    if name == "brush":  # one mask comes alone, several as an archive
        (folder / "converter.png").write_bytes(owner.export(project, "BRUSH_TO_PNG"))


def more_annotators(owner: Client, other: Client, project: int) -> None:
    """On the rectangles: a second, later opinion, a skipped task, a prediction, and media elsewhere."""
    _, second, third = owner.tasks(project)[:3]
    later = cases.region(
        "rectanglelabels", cases.rectangle(20, 10, 40, 20) | {"rectanglelabels": ["red cell"]}, number=9
    )
    other.annotate(third["id"], [later])
    other.annotate(second["id"], [], skip=True)
    guess = {"task": second["id"], "result": [later], "score": 0.7, "model_version": "made"}
    owner.api("POST", "/api/predictions/", guess)
    elsewhere = [
        "https://example.org/far/one.jpg",
        "s3://bucket/two.jpg",
        "/data/local-files/?d=set/a%20b.png",
    ]
    owner.api("POST", f"/api/projects/{project}/import", [{"image": name} for name in elsewhere])
    for task in owner.tasks(project)[3:]:
        owner.annotate(task["id"], [later])


def main() -> None:
    program = find_program()
    if program is None:
        sys.exit("no label-studio: set SIGHTLINE_LABEL_STUDIO to the program")
    with tempfile.TemporaryDirectory() as folder, Server(program, Path(folder)) as server:
        owner = server.user()
        other = server.user("second@example.org")
        for name, build in (PLAIN | {"brush": lambda: cases.brushes(real_rle(program))}).items():
            case = build()
            project = make(owner, name, case)
            if name == "rectangle":
                more_annotators(owner, other, project)
            save(owner, project, name, case)
            print(f"made {OUT / name}")


if __name__ == "__main__":
    main()
