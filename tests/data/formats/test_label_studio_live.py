"""The round trip through the real server: tasks out, annotations made through its API, export in."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.formats import label_studio_cases as cases
from data.formats.label_studio_server import Client, Server, find_program
from data.formats.reading_help import Read, read
from sightline.core import label_studio_rle
from sightline.core.geometry import fill_polygons
from sightline.core.records import Annotation
from sightline.core.results import ClassScores, Detections, Instances, Points, Result
from sightline.data.formats import label_studio
from sightline.data.importing import import_dataset
from sightline.data.reading import ReadOptions
from sightline.video.label_studio import LabelStudio
from sightline.video.pipeline import Prediction
from video.conftest import write_png, write_video

FIXTURES = Path(__file__).parent / "label_studio"

pytestmark = pytest.mark.slow

BUILDERS = {
    "rectangle": cases.rectangles,
    "polygon": cases.polygons,
    "brush": lambda: cases.brushes(label_studio_rle.encode),
    "keypoint": cases.keypoints,
    "choices": cases.choices,
    "ellipse": cases.ellipses,
    "regions": cases.regions,
    "video": cases.video,
}


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    program = find_program()
    if program is None:
        pytest.skip("no label-studio: set SIGHTLINE_LABEL_STUDIO to the program")
    folder = tmp_path_factory.mktemp("label_studio")
    fixture = FIXTURES / "polygon"
    first, _ = import_dataset(fixture / "export.json", folder / "first", **here(fixture))
    label_studio.write(first, folder / "served")
    settings = {
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(folder / "served"),
    }
    with Server(program, folder, **settings) as server:
        yield server.user()


def here(fixture: Path) -> dict[str, Any]:
    return {"options": ReadOptions(media=fixture / "media")}


def test_pictures_of_tasks_written_by_us_are_shown_by_the_server(
    owner: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    served = next(tmp_path_factory.getbasetemp().glob("label_studio*/served")).resolve()
    project = owner.new_project("served", (served / "label_config.xml").read_text())
    storage = {"project": project, "path": str(served / "media"), "use_blob_urls": True}
    owner.api("POST", "/api/storages/localfiles", storage)
    owner.api("POST", f"/api/projects/{project}/import", json.loads((served / "tasks.json").read_text()))
    (task,) = owner.tasks(project)
    assert (
        owner.raw("GET", task["data"]["image"]) == (FIXTURES / "polygon" / "media" / "leaf.png").read_bytes()
    )


def facts(found: Read) -> list[Any]:
    """What must survive: media, frame, class, geometry, in an order of its own."""
    out = []
    for record in found.records:
        for a in record.annotations:
            shape = (a.box if a.kind == "box" else a.point) or ()  # the import gives outlines their hull
            rings = [np.round(r, 5).tolist() for r in a.polygons]
            size = a.mask.decode().sum() if a.mask else 0
            key = (Path(record.media).name.replace(" ", "_"), record.frame, found.classes[a.label], a.kind)
            out.append((*key, np.round(shape, 5).tolist(), rings, int(size), a.visible))
    return sorted(out, key=repr)


@pytest.mark.parametrize("control", sorted(BUILDERS))
def test_annotations_made_through_the_api_come_in_as_they_were_made(
    owner: Client, tmp_path: Path, control: str
) -> None:
    case = BUILDERS[control]()
    project = owner.new_project(f"live {control}", cases.CONFIGS[control])
    for path in cases.write_media(tmp_path / "media", case):
        owner.upload(project, [path])
    for task, media in zip(owner.tasks(project), case.media, strict=True):
        if media in case.results:
            owner.annotate(task["id"], case.results[media])
    (tmp_path / "export.json").write_bytes(owner.export(project, "JSON"))
    found = read(label_studio, tmp_path / "export.json", media=tmp_path / "media")
    posted = [r for results in case.results.values() for r in results]
    regions = {r["id"] for results in case.results.values() for r in results}
    assert found.ledger.dropped["annotation"] == 0 and posted and regions
    if control == "rectangle":
        marks = found.marks("cells one.png")
        np.testing.assert_allclose(marks[1].polygons[0], cases.turned(*cases.TURNED), atol=1e-6)
    if control == "brush":
        drawn = cv2.imdecode(
            np.frombuffer(owner.export(project, "BRUSH_TO_PNG"), np.uint8), cv2.IMREAD_UNCHANGED
        )
        assert drawn is not None
        np.testing.assert_array_equal(drawn > 0, cases.brush_mask())
    if control == "video":  # the server's own interpolation says the same as ours
        export = json.loads(owner.export(project, "JSON", interpolate_key_frames="true"))
        sequence = export[0]["annotations"][0]["result"][0]["value"]["sequence"]
        ours = [(r.frame + 1, a.box[0]) for r in found.records for a in r.annotations if a.box]
        assert ours == [(key["frame"], pytest.approx(key["x"] * 1.6)) for key in sequence]
    fixture = FIXTURES / control
    kept = read(label_studio, fixture / "export.json", media=fixture / "media")
    if control != "rectangle":  # its fixture holds more than one annotator
        assert facts(found) == facts(kept)


@pytest.mark.parametrize(
    "control", ["rectangle", "polygon", "brush", "keypoint", "choices", "ellipse", "video"]
)
def test_tasks_written_by_us_are_taken_corrected_and_read_again(
    owner: Client, tmp_path: Path, control: str
) -> None:
    """Our tasks and configuration make a project; an annotator accepts all and adds one; nothing is lost."""
    fixture = FIXTURES / control
    first, _ = import_dataset(fixture / "export.json", tmp_path / "first", drop_limit=1.0, **here(fixture))
    ledger = label_studio.write(first, tmp_path / "out")
    assert ledger.dropped["annotation"] == 0
    config = (tmp_path / "out" / "label_config.xml").read_text()
    project = owner.new_project(f"again {control}", config)
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    owner.api("POST", f"/api/projects/{project}/import", tasks)
    stored = owner.tasks(project)
    assert len(stored) == len(tasks)
    for task in stored:
        guesses = owner.api("GET", f"/api/predictions/?task={task['id']}")
        result = guesses[0]["result"] if guesses else []
        owner.annotate(task["id"], result)
    (tmp_path / "out" / "export.json").write_bytes(owner.export(project, "JSON"))
    (tmp_path / "out" / "tasks.json").unlink()
    again = read(label_studio, tmp_path / "out")
    before = Read(again.reading, [*first.records], ledger)
    before.reading.classes = first.classes
    assert [f for f in facts(again) if f[-1]] == [f for f in facts(before) if f[-1]]


def test_a_turned_rectangle_lies_on_the_painted_pixels_that_the_server_gives_back(
    owner: Client, tmp_path: Path
) -> None:
    case = cases.rectangles()
    project = owner.new_project("live pixels", cases.CONFIGS["rectangle"])
    owner.upload(project, cases.write_media(tmp_path / "media", case)[:1])
    (task,) = owner.tasks(project)
    owner.annotate(task["id"], case.results["cells one.png"])
    data = owner.raw("GET", urllib.parse.urlsplit(task["data"]["image"]).path)
    painted = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert painted is not None and painted.shape == (90, 160)
    (tmp_path / "export.json").write_bytes(owner.export(project, "JSON"))
    found = read(label_studio, tmp_path / "export.json", media=tmp_path / "media")
    turned: Annotation = found.marks("cells one.png")[1]
    inside = fill_polygons(turned.polygons, cases.SIZE_WH)
    core = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert core.sum() > 400 and (painted[core] > 128).all()


@pytest.mark.parametrize("kind", ["pictures", "film"])
def test_a_model_s_answers_are_taken_as_predictions_and_read_again_once_accepted(
    owner: Client, tmp_path: Path, kind: str
) -> None:
    """The server checks predictions against the configuration; an annotator accepts them as they are."""
    names = ("apple", "pear")
    boxes = Detections(np.float32([[3.25, 4.5, 40, 44.75]]), np.float32([0.9]), np.array([1]), names)
    point = Points(np.float32([[12.5, 33.25]]), np.float32([0.8]), ("pear",))
    mask = np.zeros((1, 50, 70), bool)
    mask[0, 10:30, 20:45] = True
    answers: dict[str, Result] = {"detect": boxes, "locate": point}
    answers["classify"] = ClassScores(np.float32([0.3, 0.7]), names)
    if kind == "pictures":
        answers["instances"] = Instances(boxes.boxes, boxes.scores, np.array([0]), mask, names)
        source = write_png(tmp_path / "in" / "a b.png")
        predictions = [Prediction(str(source), -1, None, (70, 50), answers)]
    else:
        (tmp_path / "in").mkdir()
        source = write_video(tmp_path / "in" / "film.mp4", 8)
        predictions = [Prediction(str(source), i, i / 25, (160, 120), answers) for i in range(8)]
    folder = tmp_path / "ls"
    with LabelStudio(folder, names, tmp_path / "in") as sink:
        for prediction in predictions:
            sink.write(prediction)
    project = owner.new_project(f"guesses {kind}", (folder / "label_config.xml").read_text())
    owner.api("POST", f"/api/projects/{project}/import", json.loads((folder / "tasks.json").read_text()))
    (task,) = owner.tasks(project)
    (guess,) = owner.api("GET", f"/api/predictions/?task={task['id']}")
    owner.annotate(task["id"], guess["result"])
    (folder / "export.json").write_bytes(owner.export(project, "JSON"))
    dataset, ledger = import_dataset(folder, tmp_path / "d")
    assert ledger.dropped["annotation"] == 0 and len(dataset.records) == len(predictions)
    for record in dataset.records:
        kinds = sorted(mark.kind for mark in record.annotations)
        assert kinds == (["box", "label", "mask", "point"] if kind == "pictures" else ["box", "box", "label"])
        found = [m.box for m in record.annotations if m.box is not None and m.kind == "box"]
        assert any(box == pytest.approx((3.25, 4.5, 40, 44.75), abs=1e-3) for box in found)
