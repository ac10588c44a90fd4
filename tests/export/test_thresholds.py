"""Thresholds: the best F1, found by trying them all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.records import Annotation, Record
from sightline.core.results import Detections, Points
from sightline.export.thresholds import FALLBACK, best_f1, best_thresholds, steady_f1

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


def steady(films: int) -> float:
    """The threshold where half of the films hold hits at 0.955, others at 0.655, each false ones below."""
    scores, hits = [], []
    for film in range(films):
        scores += [0.955, 0.855] if film % 2 else [0.655, 0.555]
        hits += [True, False]
    right = np.array(hits)
    groups = [str(i // 2) for i in range(2 * films)]
    return steady_f1(np.array(scores), right, right, groups, 0.5)


def test_a_steady_threshold_leaves_the_usual_one_for_no_gain_that_few_films_could_have_by_chance() -> None:
    assert steady(400) == 0.56  # takes every hit, and half of what is false
    scores, right = np.array([0.9, 0.8, 0.4] * 9), np.array([True, True, False] * 9)
    groups = [str(i // 3) for i in range(27)]
    assert steady_f1(scores, right, right, groups, 0.5) == 0.5
    assert steady_f1(scores, np.zeros(27, bool), right, groups, 0.3) == 0.3


def test_a_steady_threshold_of_two_films_that_disagree_is_the_usual_one() -> None:
    scores = np.array([0.95, 0.95, 0.45, 0.45])  # the hits of one film, and what is false in the other
    hits, groups = np.array([True, True, False, False]), ["a", "a", "b", "b"]
    assert steady_f1(scores, hits, hits, groups, 0.4) == 0.4
