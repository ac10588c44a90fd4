"""Average precision under many weightings of the pictures at once.

Precision can only peak where a true positive stands, so the curve is kept at those places alone: between two
of them only the summed weight of what was detected matters. That makes a thousand resamples cost little more
than the sum itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.evaluate.metrics.base import F64, I64
from sightline.evaluate.metrics.matching import AREAS, IOU_THRESHOLDS, Bools, Marks, Matches, ignored

RECALLS: F64 = np.linspace(0.0, 1.0, 101)
LATE: Bools = np.arange(101) / 100 < RECALLS
SLACK = 1e-4
Weights = Any


@dataclass(slots=True)
class Ranked:
    """One class's detections by falling score, with their fate.

    Attributes:
        picture: (M,) sample of each detection.
        score: (M,).
        inside: (M, A) its own area lies in the size.
        matched: (D,) places (rising) of detections with a fate, the axes below beside them.
        hit: (D, A, T).
        spare: (D, A, T).
        truth_picture: (G,) sample of each object.
        counts: (G, A) objects that count.
    """

    picture: I64
    score: F64
    inside: Bools
    matched: I64
    hit: Bools
    spare: Bools
    truth_picture: I64
    counts: Bools


def ranked_by_class(dets: Marks, truths: Marks, matches: Matches, classes: int) -> list[Ranked]:
    """Detections and truths of each class, ranked."""
    order = np.lexsort((-dets.score, dets.label))
    bounds = np.searchsorted(dets.label[order], np.arange(classes + 1))
    inside = np.stack([(dets.area >= low) & (dets.area <= high) for low, high in AREAS.values()], axis=1)
    fate = np.full(len(dets), -1)
    fate[matches.det] = np.arange(len(matches.det))
    counts = ~ignored(truths)
    truth_order = np.argsort(truths.label, kind="stable")
    truth_bounds = np.searchsorted(truths.label[truth_order], np.arange(classes + 1))
    out = []
    for c in range(classes):
        mine = order[bounds[c] : bounds[c + 1]]
        theirs = truth_order[truth_bounds[c] : truth_bounds[c + 1]]
        place = np.flatnonzero(fate[mine] >= 0)
        row = fate[mine[place]]
        out.append(
            Ranked(
                dets.picture[mine],
                dets.score[mine],
                inside[mine],
                place,
                matches.hit[row],
                matches.spare[row],
                truths.picture[theirs],
                counts[theirs],
            )
        )
    return out


def average_precision(ranked: Ranked, weights: Weights, area: int) -> tuple[F64, F64]:
    """AP and highest recall, (T, R) each, of one class and size; NaN where no object counts.

    AP is the mean over 101 recalls of the highest precision at that recall or beyond.

    Args:
        ranked: the class.
        weights: (N, R) float, how often each sample counts.
        area: index into `AREAS`.
    """
    rounds = weights.shape[1]
    thresholds = len(IOU_THRESHOLDS)
    positives = weights[ranked.truth_picture[ranked.counts[:, area]]].sum(axis=0, dtype=np.float64)
    ap, recall = np.zeros((thresholds, rounds)), np.zeros((thresholds, rounds))
    hit, spare = ranked.hit[:, area], ranked.spare[:, area]
    peaks = np.flatnonzero(hit.any(axis=1))
    if len(peaks):
        place = ranked.matched[peaks]
        inside = np.flatnonzero(ranked.inside[: place[-1] + 1, area])
        seen = running_weight(place, inside, np.ones(len(inside), np.int8), ranked.picture, weights)
        # The sum above takes every detection of this size; what is ignored at a threshold goes, and what
        # is of another size but answers an object of this one comes.
        within = ranked.inside[ranked.matched, area]
        for t in range(thresholds):
            at = np.flatnonzero(hit[peaks, t])
            if not len(at):
                continue
            change = np.where(within, -spare[:, t].astype(np.int8), hit[:, t].astype(np.int8))
            other = np.flatnonzero(change)
            total = seen[at]
            if len(other):
                total += running_weight(
                    place[at], ranked.matched[other], change[other], ranked.picture, weights
                )
            found = run_down(weights[ranked.picture[place[at]]], np.add)
            ap[t], recall[t] = _area_under(found, total, positives)
    nothing = positives == 0
    ap[:, nothing] = recall[:, nothing] = np.nan
    return ap, recall


def running_weight(at: I64, place: I64, sign: Any, picture: I64, weights: Weights) -> Any:
    """Weight (len(at), R) of the detections at `place` that stand at or before each of `at` (rising)."""
    # A row for each of `at`, holding the detections since the one before; those past the last are left out.
    ends = np.searchsorted(place, at, "right")
    read = place[: ends[-1]]
    if weights.shape[1] == 1:
        running = np.cumsum(sign[: ends[-1]] * weights[picture[read], 0])
        return np.where(ends > 0, running[ends - 1], 0.0)[:, None] if len(read) else np.zeros((len(at), 1))
    from scipy.sparse import csr_matrix

    cells = (sign[: ends[-1]].astype(weights.dtype), picture[read], np.append(0, ends))
    return run_down(csr_matrix(cells, shape=(len(at), len(weights))) @ weights, np.add)


def run_down(rows: Any, operation: np.ufunc) -> Any:
    """`operation.accumulate(rows, axis=0)` in place. NumPy does that column by column; by rows is sixfold."""
    if rows.shape[1] == 1:
        return operation.accumulate(rows, axis=0, out=rows)
    above = rows[0]
    for row in rows[1:]:
        operation(row, above, out=row)
        above = row
    return rows


def _area_under(found: Any, total: Any, positives: F64) -> tuple[F64, F64]:
    """AP (R,) and last recall (R,) from running true positives and detections at the true positives."""
    envelope = np.divide(found, np.maximum(total, 1, out=total), out=total)
    run_down(envelope[::-1], np.maximum)
    recall = found / np.maximum(positives, 1).astype(found.dtype)
    steps = recalls_reached(recall)
    steps[1:] -= steps[:-1].copy()
    ap = np.einsum("nr,nr->r", steps.astype(found.dtype, copy=False), envelope) / len(RECALLS)
    return ap, recall[-1].astype(np.float64)


def recalls_reached(recall: Any) -> Any:
    """How many of `RECALLS` are at or below each recall, a ratio of whole numbers.

    In single precision (many resamples) by arithmetic, since a search for each of them would cost the most. A
    recall of exactly k / 100 needs care: some of the 101 stand one rounding error above it.
    """
    if recall.dtype == np.float64:
        return np.searchsorted(RECALLS, recall, "right")
    scaled = recall * np.float32(100) + np.float32(SLACK)
    whole = np.floor(scaled)
    exact = np.flatnonzero(scaled - whole < 2 * SLACK)
    flat = whole.reshape(-1)
    flat[exact] -= LATE[flat[exact].astype(np.int64)]
    return whole + 1


def precision_at_recalls(ranked: Ranked, pictures: int) -> F64:
    """Precision (T, 101) of one class over all its pictures, size `all`."""
    weights = np.ones((pictures, 1))
    out = np.zeros((len(IOU_THRESHOLDS), len(RECALLS)))
    positives = int(ranked.counts[:, 0].sum())
    for t in range(len(IOU_THRESHOLDS)):
        place = ranked.matched[ranked.hit[:, 0, t]]
        if not len(place) or not positives:
            continue
        precision, recall = curve(ranked, t, weights, place, positives)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, RECALLS, "left")
        out[t, at < len(place)] = envelope[at[at < len(place)]]
    return out


def curve(ranked: Ranked, t: int, weights: Weights, place: I64, positives: int) -> tuple[F64, F64]:
    """Precision and recall (K,) at the true positives that stand at `place`, one weighting, size `all`."""
    spare = np.zeros(len(ranked.picture), bool)
    spare[ranked.matched[ranked.spare[:, 0, t]]] = True
    total = np.cumsum(~spare)[place]
    found = np.arange(1, len(place) + 1)
    return found / total, found / positives
