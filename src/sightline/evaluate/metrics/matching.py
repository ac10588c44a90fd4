"""Which detection answers which object, for every IoU threshold and object size at once.

The rules are those of the COCO evaluation (Lin et al. 2014, and its reference implementation): in each
picture and class, detections choose in order of score; each takes the free object with the highest IoU at or
above the threshold, objects that count before objects that are ignored; a crowd region can be taken by many.
At most 100 detections a picture and class are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.evaluate.metrics.base import F64, I64

IOU_THRESHOLDS: F64 = np.linspace(0.5, 0.95, 10)
AREAS: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
MOST = 100
PAIRS_AT_ONCE = 4_000_000
PREFER = 1 << 20

Bools = NDArray[np.bool_]


@dataclass(slots=True)
class Marks:
    """Boxes of many pictures laid end to end.

    Attributes:
        picture: (N,) number of the sample.
        label: (N,) class.
        xywh: (N, 4) left, top, width, height in pixels.
        area: (N,) square pixels, by which sizes are told apart.
        score: (N,) of a detection; zeros for truth.
        crowd: (N,) true for a crowd region; false for detections.
    """

    picture: I64
    label: I64
    xywh: F64
    area: F64
    score: F64
    crowd: Bools

    def take(self, index: Any) -> Marks:
        """The marks at `index`."""
        return Marks(*(getattr(self, name)[index] for name in self.__slots__))

    def __len__(self) -> int:
        return len(self.picture)


@dataclass(slots=True)
class Pairs:
    """Detections and truths that overlap: indices (P,), (P,) and IoU (P,), sorted by detection."""

    det: I64
    truth: I64
    iou: F64


def ordered(dets: Marks, classes: int, *, most: int = MOST) -> I64:
    """Indices of the detections that are read, by picture, class and falling score (ties as they came)."""
    group = dets.picture * classes + dets.label
    order = np.lexsort((-dets.score, group))
    sorted_group = group[order]
    first = np.flatnonzero(np.diff(sorted_group, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    return order[rank < most]


def overlapping(dets: Marks, truths: Marks, least: float, *, classes: int | None) -> Pairs:
    """Pairs in one picture (and one class, where `classes` is their number) with IoU at least `least`."""
    det_group, truth_group = dets.picture, truths.picture
    if classes is not None:
        det_group = det_group * classes + dets.label
        truth_group = truth_group * classes + truths.label
    by_group = np.argsort(truth_group, kind="stable")
    sorted_group = truth_group[by_group]
    low = np.searchsorted(sorted_group, det_group, "left")
    count = np.searchsorted(sorted_group, det_group, "right") - low
    parts = []
    for rows in _chunks(count):
        det = np.repeat(rows, count[rows])
        ends = np.cumsum(count[rows])
        within = np.arange(len(det)) - np.repeat(ends - count[rows], count[rows])
        truth = by_group[low[det] + within]
        iou = pair_iou(dets.xywh[det], truths.xywh[truth], truths.crowd[truth])
        keep = iou >= least
        parts.append((det[keep], truth[keep], iou[keep]))
    if not parts:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _chunks(count: I64) -> list[I64]:
    """Rows with any pair, cut so that each part makes a bounded number of pairs."""
    rows = np.flatnonzero(count)
    part = np.cumsum(count[rows]) // PAIRS_AT_ONCE
    return [np.asarray(c) for c in np.split(rows, np.flatnonzero(np.diff(part)) + 1)] if len(rows) else []


def pair_iou(det: F64, truth: F64, crowd: Bools) -> F64:
    """IoU (P,) of boxes xywh beside each other; of a crowd, the share of the detection that lies in it."""
    high = np.minimum(det[:, :2] + det[:, 2:], truth[:, :2] + truth[:, 2:])
    side = np.maximum(high - np.maximum(det[:, :2], truth[:, :2]), 0.0)
    meet = side[:, 0] * side[:, 1]
    own = det[:, 2] * det[:, 3]
    union = np.where(crowd, own, own + truth[:, 2] * truth[:, 3] - meet)
    iou: F64 = np.divide(meet, union, out=np.zeros_like(meet), where=union > 0)
    return iou


@dataclass(slots=True)
class Matches:
    """What became of each detection; axes are detections with any pair, sizes (`AREAS`), IoU thresholds.

    Attributes:
        det: (D,) index of each such detection.
        hit: (D, A, T) it answers an object that counts.
        spare: (D, A, T) it answers an object that is ignored.
        truth: (D, T) index of the object it answers in size `all`, -1 where none.
    """

    det: I64
    hit: Bools
    spare: Bools
    truth: I64


def ignored(truths: Marks) -> Bools:
    """(G, A): truths that are neither hit nor miss, being crowds or outside the size."""
    outside = [(truths.area < low) | (truths.area > high) for low, high in AREAS.values()]
    return np.stack([truths.crowd | out for out in outside], axis=1)


def match(dets: Marks, truths: Marks, pairs: Pairs, classes: int) -> Matches:
    """Greedy matching of every picture and class side by side.

    The n-th detections of all pictures and classes choose together, since they compete for nothing.

    Args:
        dets: in the order of `ordered`.
        truths: the objects.
        pairs: of one class each, IoU at least the lowest threshold.
        classes: number of classes.
    """
    order = np.lexsort((pairs.truth, pairs.iou, pairs.det))
    det, truth, iou = pairs.det[order], pairs.truth[order], pairs.iou[order]
    first = np.flatnonzero(np.diff(det, prepend=-1))
    found = det[first]
    size = np.diff(first, append=len(det))
    shape = (len(found), len(AREAS), len(IOU_THRESHOLDS))
    out = Matches(found, np.zeros(shape, bool), np.zeros(shape, bool), np.full((shape[0], shape[2]), -1))
    counts = ~ignored(truths)
    taken = np.zeros((len(truths), *shape[1:]), bool)
    thresholds = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)
    for turn in _turns(dets.picture[found] * classes + dets.label[found]):
        start, length = first[turn], size[turn]
        ends = np.cumsum(length)
        row = np.repeat(start - (ends - length), length) + np.arange(ends[-1])
        mine = truth[row]
        free = (~taken[mine] | truths.crowd[mine, None, None]) & (iou[row, None] >= thresholds)[:, None]
        worth = (row - np.repeat(start, length))[:, None] + PREFER * counts[mine]
        best = np.maximum.reduceat(np.where(free, worth[:, :, None], -1), ends - length, axis=0)
        chosen = truth[start[:, None, None] + np.maximum(best, 0) % PREFER]
        out.hit[turn], out.spare[turn] = best >= PREFER, (best >= 0) & (best < PREFER)
        out.truth[turn] = np.where(best[:, 0] >= 0, chosen[:, 0], -1)
        _, a, t = np.nonzero(best >= 0)
        taken[chosen[best >= 0], a, t] = True
    return out


def _turns(group: I64) -> list[I64]:
    """Indices by their place within their group: first of all groups, second of all groups, ..."""
    first = np.flatnonzero(np.diff(group, prepend=-1))
    rank = np.arange(len(group)) - np.repeat(first, np.diff(first, append=len(group)))
    order = np.argsort(rank, kind="stable")
    return (
        [np.asarray(t) for t in np.split(order, np.flatnonzero(np.diff(rank[order])) + 1)]
        if len(group)
        else []
    )
