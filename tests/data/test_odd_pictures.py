"""Odd and damaged pictures on the whole way: imported, read from the dataset, and predicted."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sightline.core.errors import MediaError
from sightline.core.predictor import Predictor
from sightline.core.specs import InputSpec, Signature
from sightline.data.importing import import_dataset
from sightline.video.pipeline import Prediction, predict_all
from sightline.video.sources import find_sources

BOX = (2.0, 1.0, 6.0, 5.0)
DEEP = np.full((6, 8), 0x4D21, np.uint16)


def coded(picture: Any, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


NOISE = coded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)), "jpeg")


def answers(placed: Any) -> dict[str, Any]:
    """A row over the left half of what the network sees, with the brightness of its middle as the score."""
    pictures = placed["image"]
    rows = len(pictures)
    boxes = np.tile(np.array([0.0, 0.0, 8.0, 12.0], np.float32), (rows, 1, 1))
    scores = pictures[:, 6, 8].mean(1, keepdims=True).astype(np.float32) / 255
    return {"detect.boxes": boxes, "detect.scores": scores, "detect.classes": np.zeros((rows, 1), np.int64)}


def predictions(folder: Path) -> list[Prediction]:
    signature = Signature(
        ("detect",), ("cup",), {"image": InputSpec((16, 12), fit="stretch")}, {"detect": 0.01}
    )
    return list(predict_all(Predictor(signature, answers), find_sources([folder]), workers=1))


def labelled(folder: Path, name: str, data: bytes) -> Path:
    """One picture with one box, in COCO."""
    source = folder / "source"
    source.mkdir()
    (source / name).write_bytes(data)
    x1, y1, x2, y2 = BOX
    mark = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    tree = {"images": [{"id": 1, "file_name": name}], "categories": [{"id": 1, "name": "cup"}]}
    (source / "labels.json").write_text(json.dumps({**tree, "annotations": [mark]}))
    return source


@pytest.mark.parametrize(
    ("name", "data", "size_wh", "colour"),
    [
        ("deep.png", coded(Image.fromarray(DEEP), "png"), (8, 6), (77, 77, 77)),
        ("deep.tif", coded(Image.fromarray(DEEP), "tiff"), (8, 6), (77, 77, 77)),
        ("cmyk.jpg", coded(Image.new("CMYK", (8, 6), (0, 255, 255, 0)), "jpeg"), (8, 6), (254, 0, 0)),
        ("grey.jpg", coded(Image.new("L", (8, 6), 77), "jpeg"), (8, 6), (77, 77, 77)),
        ("alpha.png", coded(Image.new("RGBA", (8, 6), (10, 200, 30, 0)), "png"), (8, 6), (10, 200, 30)),
        ("wide.png", coded(Image.new("RGB", (30_000, 6), (9, 100, 50)), "png"), (30_000, 6), (9, 100, 50)),
    ],
    ids=["16-bit png", "16-bit tiff", "cmyk", "grey", "alpha", "wide"],
)
def test_odd_pictures_are_imported_read_and_predicted(
    tmp_path: Path, name: str, data: bytes, size_wh: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    source = labelled(tmp_path, name, data)
    dataset, ledger = import_dataset(source, tmp_path / "dataset")
    (record,) = dataset.records
    assert record.size_wh == size_wh and record.annotations[0].box == BOX and not ledger.entries
    pixels = dataset.read(record)
    assert pixels.dtype == np.uint8 and pixels.shape == (size_wh[1], size_wh[0], 3)
    assert np.abs(pixels.astype(int) - colour).max() <= 2
    (found,) = predictions(source)
    assert found.fault is None and found.size_wh == size_wh and found.results is not None
    detections: Any = found.results["detect"]
    assert np.allclose(detections.boxes, [[0, 0, size_wh[0] / 2, size_wh[1]]], rtol=1e-4)
    assert detections.scores[0] == pytest.approx(np.mean(colour) / 255, abs=0.01)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (NOISE[:60], "cut short"),
        (NOISE[: len(NOISE) // 2], "truncated"),
        (b"this is no picture", "no picture"),
    ],
    ids=["empty", "header", "half", "text"],
)
def test_damaged_pictures_are_named_and_stop_nothing(tmp_path: Path, data: bytes, words: str) -> None:
    source = labelled(tmp_path, "bad.jpg", data)
    (source / "good.jpg").write_bytes(NOISE)
    tree = json.loads((source / "labels.json").read_text())
    tree["images"].append({"id": 2, "file_name": "good.jpg"})
    (source / "labels.json").write_text(json.dumps(tree))
    dataset, ledger = import_dataset(source, tmp_path / "dataset", drop_limit=1.0)
    left_out = {entry.place: entry.reason for entry in ledger.entries if entry.unit == "picture"}
    if any(record.media == "bad.jpg" for record in dataset.records):  # only decoding shows that it is faulty
        with pytest.raises(MediaError, match=words):
            dataset.read(dataset.record("bad.jpg"))
    else:
        assert any("bad.jpg" in place and words in reason for place, reason in left_out.items())
    assert dataset.read(dataset.record("good.jpg")).shape == (60, 80, 3)
    bad, good = predictions(source)
    assert good.fault is None and bad.results is None and words in str(bad.fault)
