"""Figures of points of tiny objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.errors import ModelError
from sightline.core.records import Annotation, Record
from sightline.core.results import Points
from sightline.evaluate.metrics.locate import Locate
from sightline.evaluate.metrics.tracks import weighted_quantile

NAMES = ("shuttle",)


def no_map(record: Record, task: str) -> Any:
    raise AssertionError("points need no map")


def scored(rows: list[tuple[tuple[float, float] | None, tuple[float, float], float]]) -> Locate:
    """Rows of (truth or None where hidden, answer, probability of sight)."""
    family = Locate(NAMES)
    for number, (truth, answer, sight) in enumerate(rows):
        mark = Annotation(0, point=truth or (0.0, 0.0), visible=truth is not None)
        record = Record(str(number), "v.mp4", (640, 480), (mark,), frame=number)
        assert family.add(record, Points(np.array([answer]), np.array([sight]), NAMES), no_map)
    return family


def test_a_case_worked_by_hand_counts_a_miss_as_a_miss() -> None:
    values = scored(
        [
            ((10, 10), (13, 14), 0.9),  # 5 px
            ((10, 10), (11, 10), 0.9),  # 1 px
            ((10, 10), (11, 10), 0.1),  # not answered
            (None, (50, 50), 0.8),  # false alarm
            (None, (50, 50), 0.2),
        ]
    ).single()
    assert values["mean_px"] == values["median_px"] == pytest.approx(3.0)
    assert values["within_2px"] == values["within_4px"] == pytest.approx(1 / 3)
    assert values["within_8px"] == pytest.approx(2 / 3)
    assert values["miss_rate"] == pytest.approx(1 / 3)
    assert values["visible_precision"] == values["visible_recall"] == pytest.approx(2 / 3)
    assert values["visible_f1"] == pytest.approx(2 / 3)


def test_a_record_without_points_is_not_counted() -> None:
    points = Points(np.zeros((1, 2)), np.zeros(1), NAMES)
    assert not Locate(NAMES).add(Record("1", "x", (4, 4)), points, no_map)


@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_shifting_truth_and_answers_alike_changes_nothing(seed: int, dx: float, dy: float) -> None:
    rng = np.random.default_rng(seed)
    truth, answer = rng.uniform(0, 99, (9, 2)), rng.uniform(0, 99, (9, 2))
    sight = rng.random(9)
    shift = np.array([dx, dy])
    first = scored([(tuple(t), tuple(a), s) for t, a, s in zip(truth, answer, sight, strict=True)])
    moved = zip(truth + shift, answer + shift, sight, strict=True)
    second = scored([(tuple(t), tuple(a), s) for t, a, s in moved])
    for name in ("mean_px", "median_px", "visible_f1", "miss_rate"):
        assert first.single()[name] == pytest.approx(second.single()[name], abs=1e-3, nan_ok=True)


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(0, 3)), min_size=1, max_size=12), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_weighted_quantile_is_that_of_the_repeated_values(rows: Any, q: float) -> None:
    values, counts = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if counts.sum():
        want = np.quantile(np.repeat(values, counts), q)
        assert weighted_quantile(values, counts[:, None].astype(float), q)[0] == pytest.approx(want, abs=1e-9)


def test_a_model_with_another_number_of_points_is_refused() -> None:
    record = Record("1", "x", (9, 9), (Annotation(0, point=(1.0, 1.0)),))
    with pytest.raises(ModelError, match="answers 2 points, there are 1 classes"):
        Locate(NAMES).add(record, Points(np.zeros((2, 2)), np.zeros(2), NAMES), no_map)
