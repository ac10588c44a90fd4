"""Thresholds: the best F1, found by trying them all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.records import Annotation, Record
from sightline.core.results import Detections, Points
from sightline.export.thresholds import FALLBACK, SLACK, best_f1, best_thresholds, steady_f1

rows = st.lists(st.tuples(st.integers(1, 20), st.booleans()), min_size=1, max_size=30)


@given(rows, st.integers(1, 30))
def test_no_other_threshold_has_a_better_f1(answers: list[tuple[int, bool]], missed: int) -> None:
    scores = np.array([s / 20 for s, _ in answers])
    hits = np.array([h for _, h in answers])
    truths = int(hits.sum()) + missed

    def f1(threshold: float) -> float:
        kept = scores > threshold
        return float(2 * hits[kept].sum() / (kept.sum() + truths))

    chosen = best_f1(scores, hits, truths)
    if hits.any():
        assert f1(chosen) >= max(f1(t) for t in np.arange(0, 1, 0.05) + 0.025) - 1e-12
    else:
        assert chosen == FALLBACK


def test_crowds_neither_help_nor_hurt_and_truths_are_used_once() -> None:
    record = Record(
        "a",
        "a.png",
        (100, 100),
        (
            Annotation(0, box=(0, 0, 10, 10)),
            Annotation(0, box=(50, 50, 90, 90), crowd=True),
        ),
    )
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9.9], [55, 55, 70, 70]]
    result = Detections(np.array(boxes), np.array([0.9, 0.5, 0.4]), np.zeros(3), ("cat", "dog"))
    chosen = best_thresholds([(record, {"detect": result})], ("detect",), ("cat", "dog"))
    assert chosen == pytest.approx({"detect": 0.7})


def test_classes_are_matched_by_name_not_by_number() -> None:
    record = Record("a", "a.png", (100, 100), (Annotation(1, box=(0, 0, 10, 10)),))
    result = Detections(np.array([[0, 0, 10, 10]]), np.array([0.8]), np.zeros(1), ("cat", "dog"))
    chosen = best_thresholds([(record, {"detect": result})], ("detect",), ("dog", "cat"))
    assert chosen == pytest.approx({"detect": 0.4})


def test_a_hidden_point_is_nothing_to_find() -> None:
    seen = Record("a", "a.png", (9, 9), (Annotation(0, point=(1, 1)),))
    hidden = Record("b", "b.png", (9, 9), (Annotation(0, point=(0, 0), visible=False),))
    answers = [
        (seen, {"locate": Points(np.zeros((1, 2)), np.array([0.6]), ("ball",))}),
        (hidden, {"locate": Points(np.zeros((1, 2)), np.array([0.3]), ("ball",))}),
    ]
    assert best_thresholds(answers, ("locate",), ("ball",)) == pytest.approx({"locate": 0.45})


@given(rows, st.integers(1, 30))
def test_a_steady_threshold_is_nearly_as_good_as_any_and_the_nearest_such_to_the_usual(
    answers: list[tuple[int, bool]], missed: int
) -> None:
    scores = np.array([s / 20 for s, _ in answers])
    hits = np.array([h for _, h in answers])
    truths = int(hits.sum()) + missed

    def f1(threshold: float) -> float:
        kept = scores >= threshold
        return float(2 * hits[kept].sum() / (kept.sum() + truths))

    chosen = steady_f1(scores, hits, truths, 0.5)
    if not hits.any():
        assert chosen == 0.5
        return
    best = max(f1(t / 100) for t in range(1, 100))
    assert f1(chosen) >= best - SLACK - 1e-12
    nearer = [t / 100 for t in range(1, 100) if abs(t / 100 - 0.5) < abs(chosen - 0.5) - 1e-9]
    assert all(f1(t) < best - SLACK for t in nearer)
