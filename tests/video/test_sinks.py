"""Sinks: what was predicted stands in the file, and a file is whole or absent."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pycocotools.coco import COCO

from sightline.core.errors import MediaError, UsageError
from sightline.core.media import parse_header, read_picture
from sightline.core.results import (
    ClassScores,
    DepthMap,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)
from sightline.video.pipeline import Prediction
from sightline.video.sinks import Coco, Csv, JsonLines, Mp4, Pictures, Sink

NAMES = ("cat", "dög")
MASK = np.zeros((1, 24, 31), bool)
MASK[0, 2:9, 3:8] = True
BOXES = np.array([[3.0, 2.0, 8.0, 9.0]])
RESULTS: dict[str, Result] = {
    "detect": Detections(BOXES, [0.75], [1], NAMES),
    "instances": Instances(BOXES, [0.5], [0], MASK, NAMES),
    "classify": ClassScores([0.25, 0.75], NAMES),
    "locate": Points([[1.5, 2.5]], [0.125], ("ball",)),
    "segment": SemanticMap(np.where(MASK[0], 1, 255), NAMES),
    "panoptic": PanopticMap(np.where(MASK[0], 0, -1), [0.5], [1], NAMES),
    "depth": DepthMap(np.full((24, 31), 2.0)),
}
PIXELS = np.full((24, 31, 3), 90, np.uint8)


def picture(name: str = "a\nb,ü.png") -> Prediction:
    return Prediction(name, -1, None, (31, 24), RESULTS, pixels=PIXELS)


def frame(index: int, size_wh: tuple[int, int] = (31, 24)) -> Prediction:
    pixels = np.full((size_wh[1], size_wh[0], 3), 5 * index, np.uint8)
    boxes: dict[str, Result] = {"detect": RESULTS["detect"]}
    return Prediction("v.mp4", index, index / 10, size_wh, boxes, pixels=pixels)


FAULT = Prediction("bad.png", -1, None, fault="is empty")


def write(sink: Sink, predictions: list[Prediction]) -> None:
    with sink:
        for prediction in predictions:
            sink.write(prediction)


def test_json_lines_hold_one_frame_a_line_whatever_its_name(tmp_path: Path) -> None:
    write(JsonLines(tmp_path / "r.jsonl"), [picture(), frame(3), FAULT])
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    assert [line["source"] for line in lines] == ["a\nb,ü.png", "v.mp4", "bad.png"]
    results = lines[0]["results"]
    assert results["detect"] == [{"class": "dög", "score": 0.75, "box": [3, 2, 8, 9]}]
    assert results["classify"]["class"] == "dög"
    assert results["locate"] == [{"class": "ball", "score": 0.125, "seen": False, "point": [1.5, 2.5]}]
    assert results["depth"]["metres_p50"] == 2
    assert sum(results["segment"][0]["mask"]["counts"][1::2]) == MASK.sum()
    assert (lines[1]["index"], lines[1]["time_s"]) == (3, 0.3)
    assert lines[2] == {"source": "bad.png", "fault": "is empty"}


def test_csv_holds_a_row_an_answer_and_a_row_for_none(tmp_path: Path) -> None:
    empty = Prediction("none.png", -1, None, (9, 9), {})
    write(Csv(tmp_path / "r.csv"), [picture(), empty, FAULT])
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    by_task = {row["task"]: row for row in found}
    assert by_task["detect"]["x2"] == "8.0" and by_task["detect"]["source"] == "a\nb,ü.png"
    assert by_task["locate"]["y"] == "2.5"
    assert float(by_task["segment"]["score"]) == pytest.approx(MASK.mean(), abs=1e-5)
    assert found[-2]["source"] == "none.png" and found[-2]["class"] == ""
    assert found[-1]["fault"] == "is empty"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_is_read_by_pycocotools_with_boxes_and_masks(tmp_path: Path) -> None:
    write(Coco(tmp_path / "r.json", NAMES), [picture(), FAULT, frame(4)])
    coco = COCO(str(tmp_path / "r.json"))
    assert [image["file_name"] for image in coco.dataset["images"]] == ["a\nb,ü.png", "v.mp4#4"]
    assert [c["name"] for c in coco.dataset["categories"]] == list(NAMES)
    boxes = [(a["image_id"], a["category_id"], a["bbox"]) for a in coco.dataset["annotations"]]
    assert boxes == [(1, 2, [3, 2, 5, 7]), (1, 1, [3, 2, 5, 7]), (2, 2, [3, 2, 5, 7])]
    assert np.array_equal(coco.annToMask(coco.dataset["annotations"][1]), MASK[0])


def test_coco_without_an_answer_is_still_coco(tmp_path: Path) -> None:
    write(Coco(tmp_path / "r.json", NAMES), [])
    assert json.loads((tmp_path / "r.json").read_text())["annotations"] == []


def test_pictures_keep_their_folders_and_names(tmp_path: Path) -> None:
    root = tmp_path / "in"
    name = str(root / "sub" / "a b.png")
    write(Pictures(tmp_path / "out", root), [picture(name), frame(7), FAULT])
    drawn = read_picture(tmp_path / "out" / "sub" / "a b.png")
    assert drawn.shape == PIXELS.shape
    assert not np.array_equal(drawn, PIXELS)
    assert (tmp_path / "out" / "v.mp4" / "000007.jpg").is_file()


def test_an_mp4_holds_every_frame_at_its_time_with_even_sides(tmp_path: Path) -> None:
    write(Mp4(tmp_path / "o.mp4", 10.0), [frame(i, (161, 91)) for i in range(12)])
    with av.open(str(tmp_path / "o.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [round(float(f.time or 0), 3) for f in frames] == [i / 10 for i in range(12)]
    assert (frames[0].width, frames[0].height) == (162, 92)


def test_frames_of_another_size_are_refused_and_leave_no_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="is 32x24"):
        write(Mp4(tmp_path / "o.mp4"), [frame(0, (64, 48)), frame(1, (32, 24))])
    with pytest.raises(MediaError, match="no frame"):
        write(Mp4(tmp_path / "o.mp4"), [FAULT])
    with pytest.raises(UsageError, match=r"\.mp4"):
        Mp4(tmp_path / "o.avi")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "make", [JsonLines, Csv, lambda path: Coco(path, NAMES), lambda path: Mp4(path.with_suffix(".mp4"))]
)
def test_an_error_in_between_leaves_nothing(tmp_path: Path, make: Any) -> None:
    with pytest.raises(RuntimeError), make(tmp_path / "r.x") as sink:
        sink.write(frame(0, (64, 48)))
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp"])
def test_a_drawn_picture_has_the_suffix_of_what_it_holds(tmp_path: Path, suffix: str) -> None:
    write(Pictures(tmp_path / "out", tmp_path), [picture(str(tmp_path / f"a{suffix}"))])
    (drawn,) = (tmp_path / "out").iterdir()
    assert drawn.name == f"a{suffix}.jpg"
    assert parse_header(drawn.read_bytes()).kind == "jpeg"


def test_a_drawn_picture_is_never_written_over_its_source(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(b"mine")
    with pytest.raises(UsageError, match="over a source"):
        write(Pictures(tmp_path, tmp_path), [picture(str(source))])
    assert source.read_bytes() == b"mine"
