"""Figures of pixel classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.errors import ModelError
from sightline.core.records import Annotation, Record
from sightline.core.results import SemanticMap
from sightline.data.counting import truth_map
from sightline.evaluate.metrics.segment import Segment

NAMES = ("road", "sky", "car")
RECORD = Record("1", "x.jpg", (6, 5), maps={"segment": "x.png"})


def scored(pairs: list[tuple[Any, Any]]) -> Segment:
    family = Segment(NAMES)
    for truth, answer in pairs:
        assert family.add(RECORD, SemanticMap(answer, NAMES), lambda record, task, truth=truth: truth)
    return family


def random_map(rng: np.random.Generator, void: bool = True) -> Any:
    values = np.array([0, 1, 2, 255] if void else [0, 1, 2], np.uint8)
    return rng.choice(values, (5, 6))


def test_iou_and_dice_of_a_case_worked_by_hand() -> None:
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    answer = np.array([[0, 1, 1, 2]], np.uint8)
    values = scored([(truth, answer)]).single()
    assert values["miou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert values["dice"] == pytest.approx(2 / 3)
    assert values["pixel_accuracy"] == pytest.approx(2 / 3)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_answering_the_truth_gives_one_and_void_never_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_map(rng)
    filled = np.where(truth == 255, random_map(rng, void=False), truth)
    if (truth != 255).any():
        values = scored([(truth, filled)]).single()
        assert values["miou"] == values["dice"] == values["pixel_accuracy"] == 1.0


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_dice_follows_from_iou_and_weights_repeat_pictures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [(random_map(rng), random_map(rng)) for _ in range(4)]
    family = scored(pairs)
    for row in family.details()["classes"]:
        assert row["dice"] == pytest.approx(2 * row["iou"] / (1 + row["iou"]), nan_ok=True)
    counts = np.array([2, 0, 1, 1])
    again = scored([pairs[i] for i in np.repeat(np.arange(4), counts)]).single()
    weighted = family.values(counts[:, None].astype(np.float32))
    assert {k: float(weighted[k][0]) for k in again} == pytest.approx(again, nan_ok=True)


def test_a_map_of_another_size_is_refused_with_both_sizes() -> None:
    with pytest.raises(ModelError, match=r"\(5, 6\).*\(4, 6\)"):
        scored([(np.zeros((4, 6), np.uint8), np.zeros((5, 6), np.uint8))])


def test_polygons_stand_in_for_a_map_and_what_is_unmarked_is_void_or_background() -> None:
    ring = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])
    record = Record("1", "x.jpg", (6, 5), (Annotation(2, box=(1, 1, 4, 3), polygons=(ring,)),))
    void = truth_map(record, lambda r, t: np.zeros(0), (5, 6), NAMES)
    assert (void == 2).sum() == 6 and (void == 255).sum() == 24
    ground = truth_map(record, lambda r, t: np.zeros(0), (5, 6), ("background", "x", "car"))
    assert (ground == 0).sum() == 24
