"""Comparing answers: blind to the order of ties, sharp for everything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.export.compare import Allowance, Gap, compare_answers, compare_raw, cut_score, unmatched


def rows(seed: int, count: int, ties: bool) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 400, (count, 2))
    scores = np.full(count, 0.7) if ties else np.sort(random.uniform(0.3, 1, count))[::-1]
    boxes = np.concatenate([corner, corner + random.uniform(5, 200, (count, 2))], 1).astype(np.float32)
    return {"boxes": boxes, "scores": scores.astype(np.float32), "classes": random.integers(0, 4, count)}


@given(st.integers(0, 10**6), st.integers(0, 40), st.booleans())
def test_order_does_not_matter(seed: int, count: int, ties: bool) -> None:
    a = rows(seed, count, ties)
    order = np.random.default_rng(seed + 1).permutation(count)
    assert unmatched(a, {name: value[order] for name, value in a.items()}) == 0


def test_rows_are_used_once() -> None:
    a = rows(0, 1, False)
    b = {name: np.repeat(value, 3, axis=0) for name, value in a.items()}
    b["scores"] = np.array([0.9, 0.9, 0.2], np.float32)
    a["scores"] = np.array([0.9], np.float32)
    assert unmatched(a, b) > 0


@pytest.mark.parametrize("name", ["boxes", "scores", "classes"])
def test_a_row_that_moved_changed_score_or_class_is_found(name: str) -> None:
    a = rows(3, 20, False)
    b = {key: value.copy() for key, value in a.items()}
    b[name][2] += 1 if name != "scores" else -0.01
    assert unmatched(a, b) == pytest.approx(2 / 40)


def test_the_last_rows_of_a_top_k_may_differ() -> None:
    a, b = rows(4, 21, False), rows(4, 21, False)
    a["scores"][-2:] = b["scores"][-2:] = 0.3
    a = {name: value[:20] for name, value in a.items()}
    b = {name: np.delete(value, 19, axis=0) for name, value in b.items()}
    assert unmatched(a, b) > 0
    assert cut_score(a) == pytest.approx(0.3)
    assert unmatched(a, b, cut_score(a)) == 0


def test_boxes_that_all_move_are_found() -> None:
    a = rows(6, 30, False)
    b = {**a, "boxes": a["boxes"] + 1}
    assert not all(gap.passes for gap in compare_answers("detect", a, b, Allowance(0.01)))


def test_not_a_number_never_passes() -> None:
    assert not Gap("x", float("nan"), 1.0).passes
    broken = np.array([1.0, np.nan])
    assert not compare_raw(np.ones(2), broken).passes
    assert not compare_raw(np.ones(2), np.ones(3)).passes


def test_points_are_held_to_their_own_distance() -> None:
    a = {"points": np.array([[3.0, 4.0]]), "visible": np.array([0.5])}
    b = {"points": np.array([[3.0, 4.02]]), "visible": np.array([0.5])}
    assert not compare_answers("locate", a, b, Allowance(0.01))[0].passes
    assert compare_answers("locate", a, b, Allowance(0.03))[0].passes


def test_segment_numbers_may_be_in_any_order() -> None:
    a = {"segments": np.array([[0, 1], [-1, 1]]), "classes": np.array([5, 7])}
    b = {"segments": np.array([[1, 0], [-1, 0]]), "classes": np.array([7, 5])}
    assert compare_answers("panoptic", a, b, Allowance(0.01))[0].value == 0
    b["classes"] = np.array([7, 6])
    assert compare_answers("panoptic", a, b, Allowance(0.01))[0].value == pytest.approx(0.25)


def test_masks_that_differ_are_found() -> None:
    a = rows(5, 3, False) | {"masks": np.zeros((3, 8, 8), np.float32)}
    b = rows(5, 3, False) | {"masks": np.zeros((3, 8, 8), np.float32)}
    assert unmatched(a, b) == 0
    b["masks"][0, :4] = 1
    assert not all(gap.passes for gap in compare_answers("instances", a, b, Allowance(0.01)))
