"""Why a detector loses average precision: every error has one cause, and each cause its price.

After Bolya et al. 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors". At IoU 0.5 a
detection that answers no object has one of these causes, the first that holds:

    duplicate     it overlaps an object of its class by 0.5 or more, which a better detection already answers
    class         it overlaps an object of another class by 0.5 or more
    localisation  it overlaps an object of its class by 0.1 to 0.5
    both          it overlaps an object of another class by 0.1 to 0.5
    background    it overlaps nothing by 0.1

and an object that no detection answers, and that no `class` or `localisation` error aims at, is `missed`. The
price of a cause is by how much AP at IoU 0.5 would rise if an oracle mended that cause alone: errors of class
and place become hits (the best one where several aim at one object, and none where it is answered already),
other false detections vanish, missed objects are forgiven. Prices do not add up to all that is lost: one
mended error uncovers another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.evaluate.metrics.average_precision import RECALLS
from sightline.evaluate.metrics.base import F64, I64
from sightline.evaluate.metrics.matching import Bools, Marks, Matches, Pairs

FOREGROUND = 0.5
BACKGROUND = 0.1
CAUSES = ("duplicate", "class", "localisation", "both", "background", "missed")
HIT, SPARE = 6, 7
DUPLICATE, CLASS, PLACE, BOTH, NOTHING, MISSED = range(6)


@dataclass(slots=True)
class Errors:
    """Every detection and object with its cause.

    Attributes:
        cause: (M,) index into `CAUSES` of each detection, 6 a hit, 7 ignored (in a crowd).
        target: (M,) the object that an error of class or place aims at, else -1.
        missed: (G,) objects without an answer or a near one.
        found: (G,) objects that are answered.
        ap50: AP at IoU 0.5, averaged over classes.
        price: AP at IoU 0.5 lost to each cause, by name, and to all `false_positives` and `false_negatives`.
    """

    cause: I64
    target: I64
    missed: Bools
    found: Bools
    ap50: float
    price: dict[str, float]

    def counts(self, dets: Marks, least_score: float) -> dict[str, int]:
        """Errors of each cause among detections of at least a score; objects missed at any score."""
        above = dets.score >= least_score
        out = {name: int((above & (self.cause == i)).sum()) for i, name in enumerate(CAUSES)}
        return out | {"missed": int(self.missed.sum())}


def errors_by_cause(dets: Marks, truths: Marks, matches: Matches, pairs: Pairs, classes: int) -> Errors:
    """Give every error its cause and every cause its price.

    Args:
        dets: detections in the order of `matching.ordered`.
        truths: objects.
        matches: of these, from `matching.match`.
        pairs: of one picture, any classes, IoU at least 0.1.
        classes: number of classes C.
    """
    cause, target = _causes(dets, truths, matches, pairs)
    counts = ~truths.crowd
    found = np.zeros(len(truths), bool)
    answered = matches.truth[:, 0]
    found[answered[matches.hit[:, 0, 0]]] = True
    aimed = np.zeros(len(truths), bool)
    aimed[target[target >= 0]] = True
    missed = counts & ~found & ~aimed
    hit, real = cause == HIT, cause != SPARE
    base = _Ap(dets, classes, np.bincount(truths.label[counts], minlength=classes))
    ap50 = base.value(hit, real)
    price = {}
    for index, name in enumerate(CAUSES[:-1]):
        right, kept, label = hit.copy(), real & (cause != index), dets.label.copy()
        if index in (CLASS, PLACE):
            mended = _mended(dets, cause == index, target, found)
            right[mended] = kept[mended] = True
            label[mended] = truths.label[target[mended]]
        price[name] = base.value(right, kept, label if index == CLASS else None) - ap50
    price["false_positives"] = base.value(hit, hit) - ap50
    for name, still in (("missed", counts & ~missed), ("false_negatives", found)):
        positives = np.bincount(truths.label[still], minlength=classes)
        price[name] = _Ap(dets, classes, positives).value(hit, real) - ap50
    return Errors(cause, target, missed, found, ap50, price)


def _causes(dets: Marks, truths: Marks, matches: Matches, pairs: Pairs) -> tuple[I64, I64]:
    """Cause and target of each detection."""
    real = ~truths.crowd[pairs.truth]
    det, truth, iou = pairs.det[real], pairs.truth[real], pairs.iou[real]
    same = dets.label[det] == truths.label[truth]
    own, own_iou = _best(det[same], truth[same], iou[same], len(dets))
    other, other_iou = _best(det[~same], truth[~same], iou[~same], len(dets))
    conditions = [
        own_iou >= FOREGROUND,
        other_iou >= FOREGROUND,
        own_iou >= BACKGROUND,
        other_iou >= BACKGROUND,
    ]
    cause = np.select(conditions, [DUPLICATE, CLASS, PLACE, BOTH], NOTHING)
    cause[matches.det[matches.hit[:, 0, 0]]] = HIT
    cause[matches.det[matches.spare[:, 0, 0]]] = SPARE
    target = np.select([cause == CLASS, cause == PLACE], [other, own], -1)
    return cause, target


def _best(det: I64, truth: I64, iou: F64, count: int) -> tuple[I64, F64]:
    """For each of `count` detections the truth it overlaps most, and by how much; -1 and 0 where none."""
    best, most = np.full(count, -1), np.zeros(count)
    order = np.lexsort((iou, det))
    last = np.flatnonzero(np.diff(det[order], append=-1))
    rows = order[last]
    best[det[rows]], most[det[rows]] = truth[rows], iou[rows]
    return best, most


def _mended(dets: Marks, wrong: Bools, target: I64, found: Bools) -> I64:
    """Which of the wrong detections become hits: the best one for each object not yet answered."""
    rows = np.flatnonzero(wrong)
    rows = rows[~found[target[rows]]]
    order = np.lexsort((-dets.score[rows], target[rows]))
    first = np.flatnonzero(np.diff(target[rows][order], prepend=-1))
    return np.asarray(rows[order[first]])


class _Ap:
    """AP at one threshold under changes of the detections, averaged over classes that have objects."""

    def __init__(self, dets: Marks, classes: int, positives: Any) -> None:
        self._dets, self._classes, self._positives = dets, classes, positives
        self._order = np.lexsort((-dets.score, dets.label))

    def value(self, hit: Bools, kept: Bools, label: I64 | None = None) -> float:
        """AP where only `kept` detections stand, `hit` of them right, classes being `label`."""
        labels = self._dets.label if label is None else label
        order = self._order if label is None else np.lexsort((-self._dets.score, labels))
        order = order[kept[order]]
        at = np.flatnonzero(hit[order])
        bounds = np.searchsorted(labels[order], np.arange(self._classes + 1))
        splits = np.searchsorted(at, bounds)
        total = 0.0
        for c in np.flatnonzero(self._positives):
            rank = at[splits[c] : splits[c + 1]] - bounds[c] + 1
            total += _area(rank, int(self._positives[c]))
        return total / max(1, int((self._positives > 0).sum()))


def _area(rank: I64, positives: int) -> float:
    """AP from the ranks (from 1, rising) of the hits."""
    if not len(rank):
        return 0.0
    found = np.arange(1, len(rank) + 1)
    envelope = np.maximum.accumulate((found / rank)[::-1])[::-1]
    steps = np.diff(np.searchsorted(RECALLS, found / positives, "right"), prepend=0)
    return float(steps @ envelope) / len(RECALLS)
