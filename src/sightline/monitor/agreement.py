"""How far two models' answers for one picture agree, as a number 0..1 for each task."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sightline.core.results import (
    ClassScores,
    DepthMap,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)
from sightline.monitor.review_reasons import paired

# Points this far apart, in pixels, are the same.
NEAR_PX = 4.0
# Depths whose ratio lies within this are the same (Eigen et al. 2014 count so).
NEAR_DEPTH = 1.25
UNKNOWN = 255


def agreement(a: Mapping[str, Result], b: Mapping[str, Result]) -> dict[str, float]:
    """By task that both answer: 1 where they say the same, 0 where nothing is common.

    The best class of a classification is the same or not. Boxes: twice the pairs of one class that overlap
    by half, over all boxes of both (the F1 of one against the other). Points: the share that both see
    within `NEAR_PX`, or both do not see. Maps: the share of the pixels that both put into one class, or at
    depths whose ratio is below `NEAR_DEPTH`.
    """
    found = {task: _alike(a[task], b[task]) for task in a if task in b}
    return {task: value for task, value in found.items() if value is not None}


def _alike(a: Result, b: Result) -> float | None:
    """Agreement of two results of one type; None where they cannot be compared."""
    if isinstance(a, ClassScores) and isinstance(b, ClassScores):
        return float(a.names[a.best] == b.names[b.best])
    if isinstance(a, (Detections, Instances)) and isinstance(b, (Detections, Instances)):
        total = len(a.scores) + len(b.scores)
        return 2 * paired(a.boxes, a.classes, b.boxes, b.classes) / total if total else 1.0
    if isinstance(a, Points) and isinstance(b, Points) and len(a.points) == len(b.points):
        return _points(a, b)
    if isinstance(a, SemanticMap) and isinstance(b, SemanticMap) and a.classes.shape == b.classes.shape:
        known = (a.classes != UNKNOWN) | (b.classes != UNKNOWN)
        return float((a.classes == b.classes)[known].mean()) if known.any() else 1.0
    if isinstance(a, PanopticMap) and isinstance(b, PanopticMap) and a.segments.shape == b.segments.shape:
        return float((_classes(a) == _classes(b)).mean())
    if isinstance(a, DepthMap) and isinstance(b, DepthMap) and a.metres.shape == b.metres.shape:
        return _depth(a, b)
    return None


def _points(a: Points, b: Points) -> float:
    if not len(a.points):
        return 1.0
    near = np.hypot(*(a.points - b.points).T) <= NEAR_PX
    return float(np.where(a.seen & b.seen, near, a.seen == b.seen).mean())


def _classes(found: PanopticMap) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Class of each pixel, -1 where there is none."""
    table = np.append(np.asarray(found.classes, np.int64), -1)
    return table[np.where(found.segments >= 0, found.segments, len(table) - 1)]


def _depth(a: DepthMap, b: DepthMap) -> float:
    known = (a.metres > 0) & (b.metres > 0)
    if not known.any():
        return 1.0
    ratio = a.metres[known] / b.metres[known]
    return float((np.maximum(ratio, 1 / ratio) < NEAR_DEPTH).mean())
