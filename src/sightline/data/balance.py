"""How much a class or a record counts where classes are uneven. Pure functions over counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import UsageError

How = Literal["plain", "over", "under", "balanced"]

REPEAT_LIMIT = 20.0


def effective_number(counts: Sequence[int] | NDArray[Any], beta: float | None = None) -> NDArray[np.float64]:
    """Effective number of samples (C,) of classes with `counts` (C,): (1 - beta^n) / (1 - beta).

    Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.

    Args:
        counts: examples a class, 0 or more.
        beta: in [0, 1); 0 makes every seen class 1, near 1 gives the counts back. By default
            (N - 1) / N with N all examples.

    Raises:
        UsageError: a negative count, or beta outside [0, 1).
    """
    n = np.asarray(counts, np.float64)
    if (n < 0).any() or not np.isfinite(n).all():
        raise UsageError("counts must be finite and not negative")
    if beta is None:
        beta = 1 - 1 / max(float(n.sum()), 1.0)
    if not 0 <= beta < 1:
        raise UsageError(f"beta is {beta}, it must be at least 0 and below 1")
    return -np.expm1(n * np.log(beta)) / (1 - beta) if beta > 0 else np.minimum(n, 1.0)


def class_weights(counts: Sequence[int] | NDArray[Any], beta: float | None = None) -> NDArray[np.float32]:
    """Weights (C,) f32 of a loss, inverse to the effective number, mean 1 over the classes that occur.

    A class without examples gets 1: it has no gradient to weigh but its background still counts.

    Args:
        counts: examples a class.
        beta: see `effective_number`; a set of N examples is commonly weighed with 0.99 to 0.9999.
    """
    effective = effective_number(counts, beta)
    seen = effective > 0
    weights = np.ones(len(effective), np.float64)
    if seen.any():
        inverse = 1 / effective[seen]
        weights[seen] = inverse / inverse.mean()
    return weights.astype(np.float32)


def record_weights(
    labels_per_record: Sequence[Sequence[int]], how: How, *, limit: float = REPEAT_LIMIT
) -> NDArray[np.float64]:
    """How often (N,) each record is drawn in an epoch, on average; the sum is the epoch's length.

    A record's class is the rarest one on it, counted in records. `over` repeats the records of a class
    until it is as frequent as the most frequent one; `under` thins them out to the rarest one; `balanced`
    does both about an unchanged epoch length. Records without labels are drawn once.

    Args:
        labels_per_record: class indices marked on each record, in any number.
        how: `plain` draws every record once.
        limit: the most that one record is repeated or thinned out, at least 1.

    Raises:
        UsageError: `how` is none of the four, or the limit is below 1.
    """
    if how not in ("plain", "over", "under", "balanced") or limit < 1:
        raise UsageError(f"sampling {how!r} (limit {limit:g}) is none of plain, over, under, balanced")
    weights = np.ones(len(labels_per_record), np.float64)
    marked = [np.unique(np.asarray(labels, np.int64)) for labels in labels_per_record]
    if how == "plain" or not any(len(labels) for labels in marked):
        return weights
    frequency = np.bincount(np.concatenate(marked))
    rarest = np.array([frequency[labels].min() if len(labels) else 0 for labels in marked])
    labelled = rarest > 0
    own = rarest[labelled].astype(np.float64)
    if how == "over":
        weights[labelled] = np.minimum(own.max() / own, limit)
    elif how == "under":
        weights[labelled] = np.maximum(own.min() / own, 1 / limit)
    else:
        share = own.max() / own
        share = np.minimum(share, limit)
        weights[labelled] = share * len(own) / share.sum()
    return weights
