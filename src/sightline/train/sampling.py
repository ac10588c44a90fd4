"""Which elements an epoch holds, how often each, and in what order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.core.problem import Sampling
from sightline.data.balance import record_weights

Counts = NDArray[np.float64]
Labels = Sequence[Sequence[int]]  # classes in each element

LOSS_FLOOR = 0.1  # least weight by loss, as a share of the mean: nothing is forgotten


class Sampler:
    """Epochs of (index, repeat), from (seed, epoch) and, for `loss`, the past losses.

    Every epoch has the same length, so that the schedule is known beforehand.

    Args:
        kind: `plain` (each once), `over` (rare classes repeated, common ones once), `under` (common
            classes thinned, rare ones once), `balanced` (classes drawn alike), `loss` (drawn by each
            element's last loss); see `data.balance.record_weights`.
        labels: the classes in each element.
        seed: of the order.
        share: of that, how much one epoch draws.
    """

    def __init__(self, kind: Sampling, labels: Labels, seed: int, share: float = 1.0) -> None:
        self.kind, self.seed, self.size = kind, seed, len(labels)
        self.expected: Counts = share * record_weights(labels, "plain" if kind == "loss" else kind)
        self.length = max(1, round(float(self.expected.sum())))

    def epoch(self, epoch: int, losses: NDArray[np.float32]) -> NDArray[np.int64]:
        """Rows (length, 2) of index and repeat, shuffled.

        Args:
            epoch: 0-based.
            losses: (N,) last loss of each element, NaN where not seen yet.
        """
        expected = by_loss(losses) * self.size if self.kind == "loss" else self.expected
        return drawn_rows(expected, self.length, self.seed, epoch)


def drawn_rows(expected: Counts, length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Rows (length, 2) of index and repeat, shuffled, from how often each index is expected (N,)."""
    random = np.random.Generator(np.random.Philox(key=seed, counter=[0, epoch, 0, 1 << 32]))
    counts = drawn(expected, length, random)
    indices = np.repeat(np.arange(len(expected)), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.column_stack([indices, np.arange(len(indices)) - starts]).astype(np.int64)
    return rows[random.permutation(len(rows))]


def by_loss(losses: NDArray[np.float32]) -> Counts:
    """Weights (N,) that sum to one, in proportion to the last loss; unseen elements weigh as the mean."""
    seen = np.isfinite(losses)
    mean = float(losses[seen].mean()) if seen.any() else 1.0
    mean = mean if mean > 0 else 1.0
    weights = np.where(seen, np.maximum(losses, LOSS_FLOOR * mean), mean).astype(np.float64)
    shares: Counts = weights / weights.sum()
    return shares


def drawn(expected: Counts, length: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Whole counts (N,) that sum to `length`, each within one of its expectation (systematic sampling)."""
    order = random.permutation(len(expected))
    edges = np.concatenate([[0.0], np.cumsum(expected[order])])
    edges *= length / edges[-1]
    ticks = np.floor(edges + random.random())
    ticks[-1] = ticks[0] + length  # the sum of floats may miss the last tick
    counts = np.empty(len(expected), np.int64)
    counts[order] = np.diff(ticks).astype(np.int64)
    return counts


def steps_of(length: int, batch: int, accumulate: int) -> int:
    """Optimiser steps of an epoch."""
    return max(1, math.ceil(length / (batch * accumulate)))


def divided(rows: NDArray[np.int64], batch: int, accumulate: int) -> list[list[NDArray[np.int64]]]:
    """An epoch's rows as optimiser steps of micro-batches, as even in size as can be.

    Even sizes leave no last batch of one, which batch norm could not take.
    """
    steps = np.array_split(rows, steps_of(len(rows), batch, accumulate))
    parts = [np.array_split(step, min(accumulate, math.ceil(len(step) / batch))) for step in steps]
    return [[part for part in step if len(part)] for step in parts]
