"""Panoptic quality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.records import Annotation, Record
from sightline.core.results import PanopticMap
from sightline.evaluate.metrics.panoptic import Panoptic

NAMES = ("sky", "car", "dog")


def scored(*cases: tuple[Any, list[int], Any, list[int]], crowd: tuple[int, ...] = ()) -> Panoptic:
    """Cases of (true map, its labels, answered map, its labels)."""
    family = Panoptic(NAMES, stuff=("sky",))
    for truth, labels, answer, said in cases:
        marks = tuple(Annotation(c, box=(0, 0, 1, 1), crowd=i in crowd) for i, c in enumerate(labels))
        record = Record("1", "x", (4, 4), marks, maps={"panoptic": "x.png"})
        result = PanopticMap(answer, np.ones(len(said)), np.array(said), NAMES)
        assert family.add(record, result, lambda r, t, truth=truth: np.asarray(truth))
    return family


def random_case(seed: int) -> tuple[Any, list[int], Any, list[int]]:
    rng = np.random.default_rng(seed)
    labels, said = rng.integers(0, 3, 4).tolist(), rng.integers(0, 3, 5).tolist()
    truth = np.repeat(np.repeat(rng.integers(-1, 4, (4, 4)), 3, 0), 3, 1)
    answer = np.where(rng.random(truth.shape) < 0.7, np.minimum(truth, 4), rng.integers(-1, 5, truth.shape))
    return truth, labels, answer, said


def test_a_case_worked_by_hand() -> None:
    truth = np.array([[0, 0, 0, 0], [1, 1, 2, 2]])
    answer = np.array([[0, 0, 0, 0], [0, 1, 2, 2]])
    # sky: IoU 4/5. The first car is half covered (IoU 1/2, no hit), the second whole.
    values = scored((truth, [0, 1, 1], answer, [0, 1, 1])).single()
    sky, car = 0.8, 1.0 / (1 + 0.5 + 0.5)
    assert values["pq"] == pytest.approx((sky + car) / 2)
    assert values["pq_stuff"] == pytest.approx(sky)
    assert values["pq_things"] == pytest.approx(car)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_of_every_class_pq_is_sq_times_rq(seed: int) -> None:
    for row in scored(random_case(seed), random_case(seed + 1)).details()["classes"]:
        if row["n"] and row["pq"]:
            assert row["pq"] == pytest.approx(row["sq"] * row["rq"])
            assert row["sq"] > 0.5


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_answering_the_truth_gives_one_whatever_is_said_on_void(seed: int) -> None:
    truth, labels, _, _ = random_case(seed)
    if (truth >= 0).any():
        assert scored((truth, labels, truth, labels)).single()["pq"] == pytest.approx(1.0)
        extra = np.where(truth < 0, len(labels), truth)
        assert scored((truth, labels, extra, [*labels, 1])).single()["pq"] == pytest.approx(1.0)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_numbering_the_segments_otherwise_changes_nothing(seed: int) -> None:
    truth, labels, answer, said = random_case(seed)
    order = np.random.default_rng(seed).permutation(len(said))
    renumbered = np.append(np.argsort(order), -1)[answer]
    first = scored((truth, labels, answer, said)).single()
    second = scored((truth, labels, renumbered, [said[i] for i in order])).single()
    assert first == pytest.approx(second, nan_ok=True)


def test_segments_of_stuff_are_one_and_a_crowd_is_neither_hit_nor_miss() -> None:
    truth = np.array([[0, 0, 1, 1]])
    split = scored((truth, [0, 1], np.array([[0, 1, 2, 2]]), [0, 0, 1]))
    assert split.single()["pq"] == pytest.approx(1.0)
    crowd = scored((truth, [0, 1], np.array([[0, 0, 1, 2]]), [0, 1, 1]), crowd=(1,))
    assert crowd.single()["pq"] == pytest.approx(1.0)
    assert crowd.details()["classes"][1]["n"] == 0
