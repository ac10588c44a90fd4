"""Answers of a model as tasks for Label Studio, and back through the reader of its exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.errors import UsageError
from sightline.core.results import (
    ClassScores,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.data.reading import ReadOptions
from sightline.runtime.loading import load
from sightline.video.label_studio import LabelStudio, guesses, link_or_copy
from sightline.video.label_studio_video import key_frames, overlap
from sightline.video.pipeline import Prediction
from sightline.video.prediction import open_sinks, predict
from sightline.video.sources import find_sources
from video.conftest import write_png, write_video

NAMES = ("apple", "pear")


def detections(*rows: tuple[float, ...]) -> Detections:
    """Rows of x1, y1, x2, y2, score, class."""
    table = np.float32(rows).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), NAMES)


def point(x: float, y: float, visible: float) -> Points:
    return Points(np.float32([[x, y]]), np.float32([visible]), NAMES[:1])


def accepted(folder: Path) -> Path:
    """The export of an annotator who accepts every guess as it is."""
    tasks = json.loads((folder / "tasks.json").read_text())
    for number, task in enumerate(tasks):
        result = task["predictions"][0]["result"] if task["predictions"] else []
        task |= {"id": number, "annotations": [{"id": number, "result": result, "completed_by": 1}]}
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json"


def back(folder: Path, out: Path, **options: Any) -> Dataset:
    return import_dataset(accepted(folder), out, options=ReadOptions(**options))[0]


def write(folder: Path, root: Path, predictions: list[Prediction]) -> Path:
    with LabelStudio(folder, NAMES, root) as sink:
        for prediction in predictions:
            sink.write(prediction)
    return folder


def mask() -> np.ndarray[Any, np.dtype[np.bool_]]:
    out = np.zeros((50, 70), bool)
    out[10:30, 20:45] = True
    out[15:20, 25:30] = False
    return out


def test_boxes_masks_points_and_classes_of_a_picture_come_back_as_they_were(tmp_path: Path) -> None:
    picture = write_png(tmp_path / "in" / "a b.png")
    results: dict[str, Result] = {
        "classify": ClassScores(np.float32([0.3, 0.7]), NAMES),
        "detect": detections((3.25, 4.5, 40, 44.75, 0.9, 1)),
        "instances": Instances(
            np.float32([[20, 10, 45, 30]]), np.float32([0.6]), np.array([0]), mask()[None], NAMES
        ),
        "locate": Points(np.float32([[12.5, 33.25]]), np.float32([0.8]), ("pear",)),
    }
    folder = write(tmp_path / "ls", tmp_path / "in", [Prediction(str(picture), -1, None, (70, 50), results)])
    (record,) = back(folder, tmp_path / "d").records
    by_kind = {mark.kind: mark for mark in record.annotations}
    assert set(by_kind) == {"label", "box", "mask", "point"}
    assert by_kind["label"].label == 1 and by_kind["box"].label == 1 and by_kind["mask"].label == 0
    assert by_kind["box"].box == pytest.approx((3.25, 4.5, 40, 44.75))
    assert by_kind["point"].point == pytest.approx((12.5, 33.25)) and by_kind["point"].visible
    assert by_kind["mask"].mask is not None and np.array_equal(by_kind["mask"].mask.decode(), mask())


def test_dense_answers_become_a_mask_for_each_class_and_segment(tmp_path: Path) -> None:
    picture = write_png(tmp_path / "a.png")
    classes = np.where(mask(), 1, 255).astype(np.uint8)
    classes[:5] = 0
    segments = np.where(mask(), 0, -1).astype(np.int32)
    results: dict[str, Result] = {
        "segment": SemanticMap(classes, NAMES),
        "panoptic": PanopticMap(segments, np.float32([0.5]), np.array([1]), NAMES),
    }
    folder = write(tmp_path / "ls", tmp_path, [Prediction(str(picture), -1, None, (70, 50), results)])
    (record,) = back(folder, tmp_path / "d").records
    assert sorted(mark.label for mark in record.annotations) == [0, 1, 1]
    found = [m.mask.decode() for m in record.annotations if m.mask is not None and m.label == 1]
    assert all(np.array_equal(pixels, mask()) for pixels in found) and len(found) == 2


def test_a_point_out_of_sight_is_said_to_be_so(tmp_path: Path) -> None:
    seen, hidden = (write_png(tmp_path / name) for name in ("a.png", "b.png"))
    rows = [(seen, 0.9), (hidden, 0.1)]
    predictions = [
        Prediction(
            str(p), -1, None, (70, 50), {"locate": Points(np.float32([[5, 6]]), np.float32([v]), NAMES[:1])}
        )
        for p, v in rows
    ]
    dataset = back(write(tmp_path / "ls", tmp_path, predictions), tmp_path / "d")
    assert [[m.visible for m in r.annotations] for r in dataset.records] == [[True], [False]]


def test_the_least_sure_region_scores_the_task_and_rows_below_the_threshold_are_left_out() -> None:
    found = guesses({"detect": detections((1, 1, 9, 9, 0.9, 0), (1, 1, 9, 9, 0.5, 1), (1, 1, 9, 9, 0.2, 1))},
                    (20, 20), {"detect": 0.4})  # fmt: skip
    assert len(found["guess"]) == 2 and found["score"] == 0.5


def film(tmp_path: Path, frames: int = 12) -> Path:
    return write_video(tmp_path / "film.mp4", frames)


def test_boxes_of_a_video_become_few_key_frames_and_come_back_within_a_pixel(tmp_path: Path) -> None:
    """Two things pass each other; one is missed for a while; the straight parts need no keys."""
    path, predictions, truth = film(tmp_path, 20), [], {}
    for i in range(20):
        rows = [(10 + 3 * i, 20, 40 + 3 * i, 50, 0.9, 0)]
        if not 8 <= i < 14:
            rows.append((100 - 2 * i, 70 + i, 130 - 2 * i, 100 + i, 0.8, 1))
        truth[i] = {row[5]: row[:4] for row in rows}
        predictions.append(Prediction(str(path), i, i / 25, (160, 120), {"detect": detections(*rows)}))
    folder = write(tmp_path / "ls", tmp_path, predictions)
    (task,) = json.loads((folder / "tasks.json").read_text())
    regions = task["predictions"][0]["result"]
    assert [len(r["value"]["sequence"]) for r in regions] == [2, 2, 2]
    dataset = back(folder, tmp_path / "d")
    assert len(dataset.records) == 20
    for record in dataset.records:
        found = {mark.label: mark.box for mark in record.annotations}
        assert found.keys() == truth[record.frame].keys()
        for label, box in found.items():
            assert box == pytest.approx(truth[record.frame][label], abs=1.01)
    tracks = {mark.track for r in dataset.records for mark in r.annotations}
    assert len(tracks) == 3


def test_things_of_one_class_are_told_apart_and_one_missed_for_a_frame_goes_on(tmp_path: Path) -> None:
    path, predictions = film(tmp_path), []
    for i in range(12):
        rows = [(5 + i, 5, 35 + i, 35, 0.9, 0), (90 - i, 5, 120 - i, 35, 0.7, 0), (5, 80, 35, 110, 0.5, 0)]
        rows = rows[::-1] if i % 2 else rows
        rows = [row for row in rows if i != 6 or row[0] > 40]
        predictions.append(Prediction(str(path), i, i / 25, (160, 120), {"detect": detections(*rows)}))
    dataset = back(write(tmp_path / "ls", tmp_path, predictions), tmp_path / "d")
    assert [len(r.annotations) for r in dataset.records] == [3] * 6 + [1] + [3] * 5
    assert len({mark.track for r in dataset.records for mark in r.annotations}) == 3


def test_points_of_a_video_become_small_boxes_that_import_turns_back(tmp_path: Path) -> None:
    path, predictions = film(tmp_path), []
    for i in range(12):
        points = Points(
            np.float32([[20 + 5 * i, 30 + i * i / 4]]), np.float32([float(i not in (4, 5))]), NAMES[:1]
        )
        predictions.append(Prediction(str(path), i, i / 25, (160, 120), {"locate": points}))
    folder = write(tmp_path / "ls", tmp_path, predictions)
    dataset = back(folder, tmp_path / "d", points="box-centres")
    for record in dataset.records:
        (mark,) = record.annotations
        assert mark.visible == (record.frame not in (4, 5))
        if mark.visible:
            expected = (20 + 5 * record.frame, 30 + record.frame**2 / 4)
            assert mark.point == pytest.approx(expected, abs=1.01)


def test_classes_of_a_video_become_phases(tmp_path: Path) -> None:
    path, predictions = film(tmp_path), []
    for i in range(12):
        scores = ClassScores(np.float32([0.9, 0.1] if i < 5 else [0.2, 0.8]), NAMES)
        predictions.append(Prediction(str(path), i, i / 25, (160, 120), {"classify": scores}))
    dataset = back(write(tmp_path / "ls", tmp_path, predictions), tmp_path / "d")
    assert [r.annotations[0].label for r in dataset.records] == [0] * 5 + [1] * 7


def test_masks_in_a_video_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    dense = {"segment": SemanticMap(np.zeros((120, 160), np.uint8), NAMES)}
    with pytest.raises(UsageError, match="not segment"):
        write(tmp_path / "ls", tmp_path, [Prediction(str(film(tmp_path)), 0, 0.0, (160, 120), dense)])
    assert not (tmp_path / "ls").exists()


def test_predict_writes_a_folder_the_reader_takes(detector: Path, tmp_path: Path) -> None:
    for name in ("a.png", "sub/ж.png"):
        write_png(tmp_path / "in" / name)
    predictor = load(detector)
    sources = find_sources([tmp_path / "in"])
    sinks = open_sinks(sources, predictor.signature.classes, tmp_path / "ls", None, label_studio=True)
    assert predict(predictor, sources, sinks).frames == 2
    assert (tmp_path / "ls" / "media" / "sub" / "ж.png").is_file()
    dataset = back(tmp_path / "ls", tmp_path / "d")
    answers = predictor.predict([{"image": dataset.read(r)} for r in dataset.records])
    for record, answer in zip(dataset.records, answers, strict=True):
        np.testing.assert_allclose(record.boxes(), answer["detect"].boxes, atol=0.01)  # type: ignore[union-attr]


def test_pictures_and_videos_go_into_two_projects(detector: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "a.png")
    write_video(tmp_path / "in" / "v.mp4", 3)
    with pytest.raises(UsageError, match="pictures or videos"):
        open_sinks(find_sources([tmp_path / "in"]), NAMES, tmp_path / "ls", None, label_studio=True)


def test_media_are_copied_where_they_cannot_be_linked(tmp_path: Path) -> None:
    def refuse(origin: Path, target: Path) -> None:
        raise OSError("another file system")

    link_or_copy(write_png(tmp_path / "a.png"), tmp_path / "b.png", refuse)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    assert not (tmp_path / "b.png").samefile(tmp_path / "a.png")


@given(st.lists(st.tuples(*[st.floats(0, 200)] * 4), min_size=1, max_size=40))
def test_key_frames_rebuild_every_frame_to_within_a_pixel(rows: list[tuple[float, ...]]) -> None:
    boxes = np.array(rows)
    kept = key_frames(boxes)
    at = np.arange(len(boxes))
    rebuilt = np.stack([np.interp(at, kept, boxes[kept, side]) for side in range(4)], axis=1)
    assert np.abs(rebuilt - boxes).max() <= 1.0 + 1e-9
    assert kept == sorted(set(kept))


def test_overlap_is_the_share_of_two_boxes_in_common() -> None:
    a, b = np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 15, 10])
    assert overlap(a, a) == 1 and overlap(a, b) == pytest.approx(50 / 150)
    assert overlap(a, np.array([20.0, 0, 30, 10])) == 0
