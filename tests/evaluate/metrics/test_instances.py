"""Mask metrics against pycocotools."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.coco_reference import NAMES
from sightline.core.errors import ModelError
from sightline.core.records import Annotation, Record, Rle
from sightline.core.results import Instances as Result
from sightline.evaluate.metrics.instances import Instances

CLASSES = ("a", "b")
WH = (120, 90)


def no_map(record: Record, task: str) -> Any:
    raise AssertionError("masks need no map")


def ellipse(rng: np.random.Generator) -> Any:
    x, y = rng.uniform(0, WH[0]), rng.uniform(0, WH[1])
    a, b = rng.uniform(3, 60, 2)
    ys, xs = np.mgrid[: WH[1], : WH[0]]
    return ((xs - x) / a) ** 2 + ((ys - y) / b) ** 2 <= 1


def pictures(seed: int, count: int) -> tuple[list[Record], list[Result]]:
    rng = np.random.default_rng(seed)
    records, results = [], []
    for number in range(count):
        truth = [ellipse(rng) for _ in range(rng.integers(0, 5))]
        truth = [mask for mask in truth if mask.any()]
        marks = tuple(
            Annotation(
                int(rng.integers(2)), box=(0, 0, 1, 1), mask=Rle.encode(m), crowd=bool(rng.random() < 0.1)
            )
            for m in truth
        )
        records.append(Record(str(number), "x.jpg", WH, marks))
        found = [ellipse(rng) for _ in range(rng.integers(0, 4))]
        found += [np.roll(m, tuple(rng.integers(-4, 5, 2)), (0, 1)) for m in truth for _ in range(2)]
        n = len(found)
        scores = np.sort(rng.random(n))[::-1]
        masks = np.array(found, bool).reshape(n, WH[1], WH[0])
        results.append(Result(np.zeros((n, 4)), scores, rng.integers(0, 2, n), masks, CLASSES))
    return records, results


def theirs(records: list[Record], results: list[Result]) -> dict[str, float]:
    from pycocotools import mask as coder
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    marks: list[dict[str, Any]] = []
    found = []
    for number, (record, result) in enumerate(zip(records, results, strict=True)):
        for mark in record.annotations:
            mask = mark.mask.decode() if mark.mask else np.zeros(0)
            marks.append(
                {
                    "id": len(marks) + 1,
                    "image_id": number,
                    "category_id": mark.label,
                    "segmentation": coder.encode(np.asfortranarray(mask.astype(np.uint8))),
                    "area": float(mask.sum()),
                    "iscrowd": int(mark.crowd),
                }
            )
        for mask, score, label in zip(result.masks, result.scores, result.classes, strict=True):
            code = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
            found.append(
                {"image_id": number, "category_id": int(label), "segmentation": code, "score": float(score)}
            )
    coco = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        images = [{"id": i, "width": WH[0], "height": WH[1]} for i in range(len(records))]
        coco.dataset = {
            "images": images,
            "annotations": marks,
            "categories": [{"id": 0}, {"id": 1}],
            "info": {},
        }
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(found), "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return dict(zip(NAMES, judge.stats[:6].tolist(), strict=True))


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_every_figure_equals_pycocotools_segm(seed: int) -> None:
    records, results = pictures(seed, 6)
    if not any(len(r) for r in results):
        return
    family = Instances(CLASSES)
    for record, result in zip(records, results, strict=True):
        assert family.add(record, result, no_map)
    mine = family.single()
    for name, value in theirs(records, results).items():
        assert (-1.0 if np.isnan(mine[name]) else mine[name]) == pytest.approx(value, abs=1e-9), name


def test_masks_of_another_size_are_refused_with_both_sizes() -> None:
    mask = np.ones((4, 5), bool)
    record = Record("1", "x", (5, 4), (Annotation(0, box=(0, 0, 5, 4), mask=Rle.encode(mask)),))
    result = Result(np.zeros((1, 4)), np.ones(1), np.zeros(1), np.ones((1, 8, 8), bool), CLASSES)
    with pytest.raises(ModelError, match=r"\(8, 8\).*\(4, 5\)"):
        Instances(CLASSES).add(record, result, no_map)


def test_error_causes_are_told_for_masks_too() -> None:
    records, results = pictures(3, 8)
    family = Instances(CLASSES)
    for record, result in zip(records, results, strict=True):
        family.add(record, result, no_map)
    errors = family.errors()
    assert errors.ap50 == pytest.approx(family.single()["map50"], abs=1e-9)
    assert len(errors.cause) == sum(len(r) for r in results)
