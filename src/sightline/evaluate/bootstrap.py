"""How sure a figure is: percentile intervals from resampling whole groups, alone and in pairs.

Frames of one video resemble one another, so resampling frames would promise more than was seen: whole groups
are drawn, with replacement, as many as there are (the cluster bootstrap; Efron and Tibshirani 1993).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.core.errors import UsageError
from sightline.evaluate.metrics.base import F32, F64, I64, Family, Values

LEVEL = 0.95
FEW_GROUPS = 10
ROUNDS_AT_ONCE = 1000
CELLS_AT_ONCE = 16_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95% interval.

    Attributes:
        value: over all samples.
        low: lower end; equals `value` where no bootstrap ran.
        high: upper end.
        n: groups resampled.
    """

    value: float
    low: float
    high: float
    n: int

    def pessimistic(self, higher: bool) -> float:
        """The end of the interval that a doubter would take."""
        return self.low if higher else self.high


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more `a` has of a figure than `b`, on the same samples.

    Attributes:
        value: a minus b over all samples.
        low: lower end of the 95% interval of the difference.
        high: upper end.
        p: two-sided bootstrap p-value of no difference.
        better: 1 where `a` is better and the interval excludes 0, -1 where `b` is, 0 where neither is sure.
    """

    value: float
    low: float
    high: float
    p: float
    better: int


def draws(groups: Sequence[str], rounds: int, seed: int) -> Iterator[F32]:
    """Weights (N, R') of the samples under each resample of whole groups, some rounds at a time.

    Args:
        groups: group of each of N samples.
        rounds: resamples in all.
        seed: of the draws; equal seeds and groups give equal draws.
    """
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = int(member.max()) + 1 if len(member) else 0
    at_once = max(1, min(ROUNDS_AT_ONCE, CELLS_AT_ONCE // max(1, len(member))))
    for start in range(0, rounds, at_once):
        size = min(at_once, rounds - start)
        yield _weights(count, member, size, np.random.default_rng([seed, start]))


def _weights(count: int, member: I64, rounds: int, rng: np.random.Generator) -> F32:
    """One draw of `count` groups with replacement for each round, given to their members."""
    table = np.zeros((count, rounds), np.float32)
    for column in range(rounds):
        table[:, column] = np.bincount(rng.integers(0, count, count), minlength=count)
    return table[member]


def resampled(family: Family, groups: Sequence[str], rounds: int, seed: int) -> Values:
    """Every figure of a family under `rounds` resamples: (R,) each, (C, R) where it is per class."""
    parts = [family.values(weights) for weights in draws(groups, rounds, seed)]
    return {name: np.concatenate([p[name] for p in parts], axis=-1) for name in parts[0]} if parts else {}


def interval(rounds: F64) -> tuple[F64, F64]:
    """Percentile interval over the last axis, leaving out rounds where the figure is not defined."""
    tail = (1 - LEVEL) / 2
    known = ~np.isnan(rounds)
    filled = np.where(known.any(axis=-1, keepdims=True), rounds, 0.0)
    low, high = np.nanquantile(filled, [tail, 1 - tail], axis=-1)
    none = ~known.any(axis=-1)
    return np.where(none, np.nan, low), np.where(none, np.nan, high)


def summary(values: Values, rounds: Values, n: int) -> dict[str, Estimate]:
    """Estimates of the scalar figures among `values`, with intervals from `rounds` where given."""
    out = {}
    for name, value in values.items():
        if value.ndim != 1 or np.isnan(value[0]):
            continue
        low, high = interval(rounds[name]) if name in rounds else (value[0], value[0])
        out[name] = Estimate(float(value[0]), float(low), float(high), n)
    return out


def difference(a: Family, b: Family, groups: Sequence[str], rounds: int, seed: int) -> dict[str, Difference]:
    """Paired bootstrap: both families are weighted by the same draws.

    Raises:
        UsageError: the two families are of different tasks.
    """
    if a.task != b.task:
        raise UsageError(f"cannot compare {a.task} with {b.task}")
    higher = {m.name: m.higher for m in a.measures}
    first, second = a.values(), b.values()
    one, two = resampled(a, groups, rounds, seed), resampled(b, groups, rounds, seed)
    out = {}
    for name, up in higher.items():
        if name not in first or name not in second or np.isnan(first[name][0] - second[name][0]):
            continue
        gaps = one[name] - two[name]
        low, high = (float(v) for v in interval(gaps))
        gaps = gaps[~np.isnan(gaps)]
        tail = min(float((gaps <= 0).mean()), float((gaps >= 0).mean())) if len(gaps) else 1.0
        sign = 1 if low > 0 else -1 if high < 0 else 0
        value = float(first[name][0] - second[name][0])
        out[name] = Difference(value, low, high, min(1.0, 2 * tail), sign if up else -sign)
    return out
