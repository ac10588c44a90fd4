"""Errors of depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.records import Record
from sightline.core.results import DepthMap
from sightline.evaluate.metrics.depth import Depth

RECORD = Record("1", "x", (3, 1), maps={"depth": "x.png"})


def scored(*pairs: tuple[Any, Any]) -> Depth:
    family = Depth(())
    for truth, answer in pairs:
        assert family.add(RECORD, DepthMap(np.asarray(answer)), lambda r, t, truth=truth: np.asarray(truth))
    return family


def test_a_case_worked_by_hand_leaves_unknown_truth_out_and_counts_unknown_answers_as_failing() -> None:
    values = scored(([[2.0, 4.0, 0.0, 1.0]], [[2.2, 2.0, 9.0, 0.0]])).single()
    assert values["abs_rel"] == pytest.approx((0.1 + 0.5) / 2)
    assert values["rmse"] == pytest.approx(np.sqrt((0.2**2 + 2.0**2) / 2), rel=1e-6)
    assert values["delta1"] == pytest.approx(1 / 3)
    assert values["coverage"] == pytest.approx(2 / 3)


@given(st.lists(st.floats(0.1, 80), min_size=2, max_size=9), st.floats(0.2, 5))
def test_relative_errors_do_not_depend_on_the_unit_and_rmse_scales_with_it(truth: Any, scale: float) -> None:
    t = np.array([truth])
    d = t * np.linspace(0.8, 1.3, len(truth))
    first, second = scored((t, d)).single(), scored((t * scale, d * scale)).single()
    assert first["abs_rel"] == pytest.approx(second["abs_rel"], rel=1e-4)
    assert first["rmse_log"] == pytest.approx(second["rmse_log"], rel=1e-4)
    assert first["rmse"] * scale == pytest.approx(second["rmse"], rel=1e-4)


def test_answering_the_truth_has_no_error_and_weights_repeat_pictures() -> None:
    truth = [[1.0, 2.0, 50.0]]
    values = scored((truth, truth)).single()
    assert values["abs_rel"] == values["rmse"] == 0.0
    assert values["delta1"] == values["coverage"] == 1.0
    family = scored((truth, [[1.1, 2.0, 40.0]]), (truth, [[3.0, 2.0, 50.0]]))
    again = scored(*[(truth, [[1.1, 2.0, 40.0]])] * 2, (truth, [[3.0, 2.0, 50.0]])).single()
    weighted = family.values(np.array([[2], [1]], np.float32))
    assert {k: float(v[0]) for k, v in weighted.items()} == pytest.approx(again, rel=1e-6)
