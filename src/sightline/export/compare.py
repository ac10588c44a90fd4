"""How far two answers are apart, in terms a tie cannot upset.

Rows after a top-k have no order where scores are equal, so detections and instances are compared as
matched sets: each row looks for an unused row of the same class with nearly the same score and corners.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Row = Mapping[str, Array]

SCORE_TOLERANCE = 1e-3
PIXEL_TOLERANCE = 0.05
SHARE_TOLERANCE = 1e-3
UNMATCHED_TOLERANCE = 0.01
RELATIVE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Gap:
    """One measured difference and the most allowed.

    Attributes:
        what: which quantity, with its unit.
        value: how far apart.
        limit: the largest value that passes.
    """

    what: str
    value: float
    limit: float

    @property
    def passes(self) -> bool:
        """Whether the gap is within its limit; NaN never is."""
        return self.value <= self.limit


def compare_raw(a: Array, b: Array) -> Gap:
    """Largest difference of two tensors, as a share of the largest magnitude."""
    if a.shape != b.shape:
        return Gap(f"shape {a.shape} against {b.shape}", float("inf"), 0.0)
    if a.dtype.kind != "f":
        return Gap("share of elements that differ", _share(a != b), SHARE_TOLERANCE)
    scale = max(float(np.abs(a).max(initial=0.0)), 1.0)
    return Gap("relative difference", _most(np.abs(a - b)) / scale, RELATIVE_TOLERANCE)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What two right answers may differ by.

    Attributes:
        point_px: largest distance of two points, pixels.
        edge: score at which a top-k or a threshold cut rows off; which of the rows there are kept is a
            matter of rounding.
    """

    point_px: float
    edge: float = 0.0


def cut_score(row: Row) -> float:
    """Score where a top-k cut decoded rows off: the lowest one if no row is empty, else 0."""
    scores = row.get("scores")
    if scores is None or "boxes" not in row or not scores.size:
        return 0.0
    return max(0.0, float(scores.min()))


def compare_answers(task: str, a: Row, b: Row, allowed: Allowance) -> list[Gap]:
    """Gaps between two answers to one task for one picture.

    Args:
        task: which task.
        a: fields of the task's answer, without a batch axis (decoded tensors or a result's fields).
        b: the same from the other side.
        allowed: the distance of points, and the score rows were cut off at.
    """
    return _BY_TASK[task](a, b, allowed)


def _classify(a: Row, b: Row, _: Allowance) -> list[Gap]:
    return [Gap("score", _most(np.abs(a["scores"] - b["scores"])), SCORE_TOLERANCE)]


def _segment(a: Row, b: Row, _: Allowance) -> list[Gap]:
    return [Gap("share of pixels that differ", _share(a["classes"] != b["classes"]), SHARE_TOLERANCE)]


def _locate(a: Row, b: Row, allowed: Allowance) -> list[Gap]:
    distance = np.linalg.norm(a["points"].astype(np.float64) - b["points"], axis=-1)
    return [
        Gap("point, px", _most(distance), allowed.point_px),
        Gap("visibility", _most(np.abs(a["visible"] - b["visible"])), SCORE_TOLERANCE),
    ]


def _depth(a: Row, b: Row, _: Allowance) -> list[Gap]:
    scale = np.maximum(np.abs(a["metres"]), 1e-3)
    far = np.abs(a["metres"] - b["metres"]) / scale > RELATIVE_TOLERANCE
    return [Gap("share of pixels that differ", _share(far), SHARE_TOLERANCE)]


def _panoptic(a: Row, b: Row, _: Allowance) -> list[Gap]:
    return [Gap("share of pixels that differ", _share(_labelled(a) != _labelled(b)), SHARE_TOLERANCE)]


def _labelled(row: Row) -> Array:
    """Class of each pixel, -1 where none; segment numbers themselves may be in any order."""
    segments = row["segments"].astype(np.int64)
    classes = np.concatenate([row["classes"].astype(np.int64), [-1]])
    found: Array = classes[segments]
    return found


def _detect(a: Row, b: Row, allowed: Allowance) -> list[Gap]:
    share = unmatched(a, b, allowed.edge)
    return [Gap("share of rows without a partner", share, UNMATCHED_TOLERANCE)]


def unmatched(a: Row, b: Row, cut: float = 0.0) -> float:
    """Share of the rows of both sides that find no partner; rows at the score `cut` need none."""
    rows_a, rows_b = _kept(a), _kept(b)
    if not rows_a and not rows_b:
        return 0.0
    edge = cut + SCORE_TOLERANCE if cut else 0.0
    pairs = _match(a, b, rows_a, rows_b)
    taken = set(pairs.values())
    lost = sum(1 for row in rows_a if row not in pairs and a["scores"][row] > edge)
    lost += sum(1 for row in rows_b if row not in taken and b["scores"][row] > edge)
    return lost / (len(rows_a) + len(rows_b))


def _kept(row: Row) -> list[int]:
    return np.flatnonzero(row["scores"] > 0).tolist()


def _match(a: Row, b: Row, rows_a: list[int], rows_b: list[int]) -> dict[int, int]:
    """Partners: same class, score and corners within tolerance, nearest corners first."""
    if not rows_a or not rows_b:
        return {}
    corner = np.abs(a["boxes"][rows_a][:, None] - b["boxes"][rows_b][None]).max(axis=-1)
    score = np.abs(a["scores"][rows_a][:, None] - b["scores"][rows_b][None])
    same = a["classes"][rows_a][:, None] == b["classes"][rows_b][None]
    if "masks" in a:
        same &= _mask_gap(a["masks"][rows_a], b["masks"][rows_b], same) <= RELATIVE_TOLERANCE * 10
    # f32 keeps about seven digits, so a box thousands of pixels wide is known less well.
    span = np.abs(a["boxes"][rows_a]).max(axis=-1)[:, None]
    fits = same & (score <= SCORE_TOLERANCE) & (corner <= PIXEL_TOLERANCE + span * 1e-4)
    pairs: dict[int, int] = {}
    used: set[int] = set()
    left, right = np.nonzero(fits)
    for k in np.argsort(corner[left, right], kind="stable"):
        i, j = rows_a[left[k]], rows_b[right[k]]
        if i not in pairs and j not in used:
            pairs[i] = j
            used.add(j)
    return pairs


def _mask_gap(a: Array, b: Array, pairs: Array) -> Array:
    """Mean difference of two masks where `pairs` is set, else infinity."""
    gap: Array = np.full(pairs.shape, np.inf)
    for i, j in zip(*np.nonzero(pairs), strict=True):
        gap[i, j] = np.abs(a[i].astype(np.float32) - b[j].astype(np.float32)).mean()
    return gap


def _most(values: Array) -> float:
    """Largest value; NaN where any is NaN, zero where there are none."""
    return float(values.max()) if values.size else 0.0


def _share(differs: Array) -> float:
    return float(differs.mean()) if differs.size else 0.0


_BY_TASK: dict[str, Callable[[Row, Row, Allowance], list[Gap]]] = {
    "classify": _classify,
    "detect": _detect,
    "instances": _detect,
    "segment": _segment,
    "locate": _locate,
    "depth": _depth,
    "panoptic": _panoptic,
}
