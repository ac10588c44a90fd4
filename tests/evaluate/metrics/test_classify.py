"""Figures of whole-picture labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.records import Annotation, Record
from sightline.core.results import ClassScores
from sightline.evaluate.metrics.classify import Classify

NAMES = ("a", "b", "c")


def no_map(record: Record, task: str) -> Any:
    raise AssertionError("labels need no map")


def scored(truths: list[int], rows: Any) -> Classify:
    family = Classify(NAMES)
    for number, (truth, row) in enumerate(zip(truths, rows, strict=True)):
        record = Record(str(number), "x.jpg", (1, 1), (Annotation(truth),))
        assert family.add(record, ClassScores(np.asarray(row), NAMES), no_map)
    return family


def random_case(seed: int, count: int = 40) -> tuple[list[int], Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, count).tolist(), rng.dirichlet(np.ones(3), count)


def test_f1_and_accuracy_of_a_case_worked_by_hand() -> None:
    sure = np.eye(3)
    family = scored([0, 0, 1, 1], sure[[0, 1, 1, 1]])
    values = family.single()
    assert values["accuracy"] == 0.75
    # a: precision 1, recall 1/2; b: precision 2/3, recall 1; c does not occur.
    assert values["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert values["balanced_accuracy"] == pytest.approx(0.75)
    assert family.details()["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_calibration_error_is_the_gap_of_score_and_accuracy() -> None:
    family = scored([0] * 8 + [1] * 2, [[0.8, 0.1, 0.1]] * 10)
    assert family.single()["ece"] == pytest.approx(0.0, abs=1e-6)
    assert scored([1] * 10, [[0.8, 0.1, 0.1]] * 10).single()["ece"] == pytest.approx(0.8)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_order_does_not_matter_and_all_right_gives_one(seed: int) -> None:
    truths, rows = random_case(seed)
    first = scored(truths, rows).single()
    order = np.random.default_rng(seed).permutation(len(truths))
    second = scored([truths[i] for i in order], rows[order]).single()
    assert first == pytest.approx(second)
    perfect = scored(truths, np.eye(3)[truths]).single()
    assert perfect["accuracy"] == perfect["f1"] == 1.0
    assert perfect["ece"] == perfect["nll"] == 0.0


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_weighting_samples_equals_repeating_them(seed: int) -> None:
    truths, rows = random_case(seed, 12)
    counts = np.random.default_rng(seed).integers(0, 3, 12)
    again = np.repeat(np.arange(12), counts)
    if len(again):
        weighted = scored(truths, rows).values(counts[:, None].astype(np.float32))
        plain = scored([truths[i] for i in again], rows[again]).single()
        assert {k: float(weighted[k][0]) for k in plain} == pytest.approx(plain, abs=1e-5)


def test_a_record_without_a_label_of_the_whole_picture_is_not_counted() -> None:
    family = Classify(NAMES)
    boxed = Record("1", "x.jpg", (9, 9), (Annotation(0, box=(0, 0, 4, 4)),))
    assert not family.add(boxed, ClassScores(np.ones(3) / 3, NAMES), no_map)
