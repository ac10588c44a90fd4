"""The success criteria held against what was measured of the package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sightline.core.errors import ProblemError
from sightline.core.files import write_json
from sightline.core.problem import Criterion, Problem


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value and its 95% interval (equal to the value where there is none)."""

    value: float
    low: float
    high: float


# What was not measured, because there was nothing to measure it on.
ABSENT = Figure(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Judged:
    """One criterion, what was measured, and whether it is met."""

    criterion: Criterion
    figure: Figure
    met: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """All criteria; met only where every one is."""

    rows: tuple[Judged, ...]

    @property
    def met(self) -> bool:
        """Whether the package may go."""
        return all(row.met for row in self.rows)

    def write(self, path: Path) -> None:
        """Write the verdict as JSON."""
        write_json(path, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        rows = [
            {
                "metric": row.criterion.metric,
                "bound": str(row.criterion),
                "value": _plain(row.figure.value),
                "low": _plain(row.figure.low),
                "high": _plain(row.figure.high),
                "met": row.met,
            }
            for row in self.rows
        ]
        return {"met": self.met, "criteria": rows}


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def check_criteria(problem: Problem) -> None:
    """Refuse a criterion that will not be measured, before anything is trained for it.

    Raises:
        ProblemError: the metric is unknown, or belongs to a task that the problem does not have.
    """
    from sightline.evaluate import MEASURES
    from sightline.lifecycle.bench import FIGURES

    known = [name for name in MEASURES if name.split(".")[0] in problem.tasks] + list(FIGURES)
    for criterion in problem.criteria:
        if criterion.metric not in known:
            near = get_close_matches(criterion.metric, known, n=1, cutoff=0.3)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ProblemError(
                f"{criterion.metric!r} is not measured for this problem",
                where="criteria",
                remedy=f"{hint}measured: {', '.join(sorted(known))}",
            )


def judge(criteria: tuple[Criterion, ...], figures: Mapping[str, Figure]) -> Verdict:
    """Hold each criterion to its figure; one without a figure (the mean error of no answers) is missed."""
    return Verdict(tuple(_judge(criterion, figures.get(criterion.metric, ABSENT)) for criterion in criteria))


def _judge(criterion: Criterion, figure: Figure) -> Judged:
    value = figure.value
    if criterion.interval:
        value = figure.low if criterion.at_least is not None else figure.high
    return Judged(criterion, figure, criterion.met(value))
