"""Box metrics against pycocotools, and what must hold of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.coco_reference import pycocotools_figures, random_pictures
from sightline.core.errors import ModelError
from sightline.core.records import Annotation, Record
from sightline.core.results import DepthMap, Detections
from sightline.evaluate.metrics.detect import Detect, truth_area


def no_map(record: Record, task: str) -> Any:
    raise AssertionError("boxes need no map")


def family(records: list[Record], results: list[Detections], classes: int) -> Detect:
    out = Detect(tuple(f"c{i}" for i in range(classes)))
    for record, result in zip(records, results, strict=True):
        assert out.add(record, result, no_map)
    return out


def figures(records: list[Record], results: list[Detections], classes: int) -> dict[str, float]:
    return family(records, results, classes).single()


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_every_figure_equals_pycocotools_on_random_pictures_with_crowds(
    seed: int, pictures: int, classes: int
) -> None:
    records, results = random_pictures(seed, pictures, classes)
    mine, theirs = figures(records, results, classes), pycocotools_figures(records, results, classes)
    for name, value in theirs.items():
        assert (-1.0 if np.isnan(mine[name]) else mine[name]) == pytest.approx(value, abs=1e-9), name


def test_every_figure_equals_faster_coco_eval_on_a_larger_set() -> None:
    from evaluate.coco_reference import faster_figures

    records, results = random_pictures(3, 120, 5, answers=60)
    mine, theirs = figures(records, results, 5), faster_figures(records, results, 5)
    assert all(mine[name] == pytest.approx(value, abs=1e-6) for name, value in theirs.items())


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_answering_the_truth_gives_one(seed: int) -> None:
    records, _ = random_pictures(seed, 6, 3, crowds=False)
    names = ("c0", "c1", "c2")
    results = [Detections(r.boxes(), np.full(len(r.boxes()), 0.9), r.labels(), names) for r in records]
    if any(len(r.annotations) for r in records):
        mine = figures(records, results, 3)
        assert mine["map"] == mine["map50"] == mine["recall"] == mine["best_f1"] == 1.0


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_order_of_pictures_and_a_change_of_score_scale_do_not_matter(seed: int) -> None:
    records, results = random_pictures(seed, 10, 3)
    order = np.random.default_rng(seed).permutation(len(records))
    halved = [Detections(r.boxes, r.scores / 2, r.classes, r.names) for r in results]
    first = figures(records, results, 3)
    second = figures([records[i] for i in order], [halved[i] for i in order], 3)
    for name in ("map", "map50", "map75", "map_small", "map_medium", "map_large", "recall"):
        assert first[name] == pytest.approx(second[name], abs=1e-12, nan_ok=True)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_weighting_pictures_equals_repeating_them(seed: int) -> None:
    records, results = random_pictures(seed, 8, 2)
    rng = np.random.default_rng(seed)
    # Scores of their own, so that a repeated picture's detections have one place in the ranking.
    counts = rng.integers(0, 3, len(records))
    repeated = np.repeat(np.arange(len(records)), counts)
    if not len(repeated):
        return
    weighted = family(records, results, 2).values(counts[:, None].astype(np.float32))
    plain = figures([records[i] for i in repeated], [results[i] for i in repeated], 2)
    for name in ("map", "map50", "map75", "map_small", "map_medium", "map_large", "recall", "best_f1"):
        assert float(weighted[name][0]) == pytest.approx(plain[name], abs=1e-6, nan_ok=True), name


def test_a_picture_of_nothing_costs_nothing_and_a_false_alarm_lowers_precision() -> None:
    names = ("c0",)
    box = (10.0, 10.0, 50.0, 50.0)
    marked = Record("a", "a.jpg", (100, 100), (Annotation(0, box=box),))
    empty = Record("b", "b.jpg", (100, 100))
    hit = Detections(np.array([box]), np.array([0.8]), np.array([0]), names)
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0), names)
    alarm = Detections(np.array([box]), np.array([0.9]), np.array([0]), names)
    assert figures([marked, empty], [hit, nothing], 1)["map"] == 1.0
    assert figures([marked, empty], [hit, alarm], 1)["map"] == pytest.approx(0.5)


def test_the_size_of_an_object_is_that_of_its_polygon() -> None:
    ring = np.array([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0]])
    assert truth_area(Annotation(0, box=(0, 0, 40, 40), polygons=(ring,))) == 800.0
    assert truth_area(Annotation(0, box=(0, 0, 40, 40))) == 1600.0


def test_a_result_of_another_task_is_refused() -> None:
    with pytest.raises(ModelError, match="DepthMap for detect"):
        Detect(("c0",)).add(Record("a", "a", (4, 4)), DepthMap(np.ones((4, 4))), no_map)


def test_details_name_the_threshold_the_curve_and_each_class() -> None:
    records, results = random_pictures(5, 30, 3)
    details = family(records, results, 3).details()
    assert [row["class"] for row in details["classes"]] == ["c0", "c1", "c2"]
    assert len(details["recalls"]) == len(details["curves"][0]["p50"]) == 101
    mean = np.mean([np.mean(c["p50"]) for c in details["curves"]])
    assert mean == pytest.approx(figures(records, results, 3)["map50"], abs=1e-9)
    assert 0 <= details["threshold"] < 1
