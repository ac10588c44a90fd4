"""The verdict: each criterion held to its figure, and none to a figure that does not exist."""

from __future__ import annotations

from typing import Any

import pytest

from sightline.core.errors import ProblemError
from sightline.core.problem import Criterion, Problem
from sightline.lifecycle.verdict import Figure, check_criteria, judge

FIGURES = {"detect.map50": Figure(0.8, 0.7, 0.9), "bench.p95_ms": Figure(20.0, 20.0, 20.0)}


def criterion(**values: Any) -> Criterion:
    return Criterion.model_validate({"metric": "detect.map50", **values})


def problem(metric: str) -> Problem:
    return Problem.parse(
        {
            "name": "p",
            "why": "w",
            "task": "detect",
            "data": {"source": "s"},
            "model": {"name": "yolo-n"},
            "criteria": [{"metric": metric, "at_least": 0.5}],
        }
    )


def test_a_figure_on_the_right_side_of_its_bound_is_met() -> None:
    assert judge((criterion(at_least=0.8),), FIGURES).met
    assert not judge((criterion(at_least=0.81),), FIGURES).met
    assert judge((criterion(metric="bench.p95_ms", at_most=20),), FIGURES).met


def test_the_worst_end_of_the_interval_is_held_to_the_bound_where_asked() -> None:
    assert not judge((criterion(at_least=0.75, interval=True),), FIGURES).met
    assert not judge((criterion(at_most=0.85, interval=True),), FIGURES).met


def test_one_missed_criterion_fails_the_verdict() -> None:
    verdict = judge((criterion(at_least=0.5), criterion(at_least=0.95)), FIGURES)
    assert [row.met for row in verdict.rows] == [True, False] and not verdict.met


def test_a_criterion_without_a_figure_is_missed_and_written_as_null() -> None:
    verdict = judge((criterion(metric="detect.map_small", at_least=0.0),), FIGURES)
    assert not verdict.met and verdict.to_json()["criteria"][0]["value"] is None


def test_criteria_are_checked_before_anything_is_trained() -> None:
    check_criteria(problem("detect.map75"))
    with pytest.raises(ProblemError, match=r"'classify.accuracy' is not measured"):
        check_criteria(problem("classify.accuracy"))
