"""Dividing whole units so that every class is shared out as asked.

The idea of iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label
Data", ECML PKDD 2011), taken from single examples to units of many: the rarest class is served first, and
each unit goes where it brings the parts closest to what they should hold of *all* classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def stratified(table: NDArray[Any], shares: Sequence[float], seed: int) -> NDArray[np.int64]:
    """Part (U,) of every unit.

    Args:
        table: what each unit holds (U, K), not negative; columns are classes or totals.
        shares: share (P,) of each part, above 0; they are scaled to sum to 1.
        seed: order of units that are otherwise equal.

    Returns:
        Index into `shares` for each unit; no part is empty where there are enough units.
    """
    amounts = np.asarray(table, np.float64)
    share = np.asarray(shares, np.float64) / np.sum(shares)
    totals = amounts.sum(axis=0)
    amounts, totals = amounts[:, totals > 0], totals[totals > 0]
    if not len(totals):  # units that hold nothing are shared out by their number
        amounts, totals = np.ones((len(amounts), 1)), np.array([float(len(amounts))])
    want = share[:, None] * totals
    have = np.zeros_like(want)
    chosen = np.empty(len(amounts), np.int64)
    for unit in _order(amounts, totals, seed):
        step = amounts[unit] / want
        fill = have / want - 1
        # Growth of the squared relative error, summed over classes, if the unit went to each part.
        growth = (share[:, None] * step * (2 * fill + step)).sum(axis=1)
        part = int(growth.argmin())
        chosen[unit] = part
        have[part] += amounts[unit]
    return _none_empty(chosen, amounts, want)


def _order(amounts: NDArray[np.float64], totals: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Units with the rarest class first; of these the ones that hold most of it; of these at random."""
    shuffled = np.random.default_rng(seed).permutation(len(amounts))
    scarcity = np.where(amounts > 0, totals, np.inf)
    rarest = scarcity.argmin(axis=1)
    rows = np.arange(len(amounts))
    own = amounts[rows, rarest]
    size = amounts.sum(axis=1)
    return np.asarray(np.lexsort((shuffled, -size, -own, scarcity[rows, rarest])), np.int64)


def _none_empty(
    chosen: NDArray[np.int64], amounts: NDArray[np.float64], want: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Give a part that got nothing the smallest unit of the part that can best spare one."""
    size = amounts.sum(axis=1)
    for part in range(len(want)):
        if (chosen == part).any():
            continue
        counts = np.bincount(chosen, minlength=len(want))
        loads = np.bincount(chosen, weights=size, minlength=len(want)) / want.sum(axis=1)
        loads[counts < 2] = -1
        if loads.max() < 0:
            break
        donors = np.flatnonzero(chosen == int(loads.argmax()))
        chosen[donors[size[donors].argmin()]] = part
    return chosen
