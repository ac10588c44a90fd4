"""Checks of single marks: inside the picture, with an area, once."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from sightline.core.geometry import box_areas, box_iou, polygon_area
from sightline.core.records import Annotation, Record
from sightline.data.audit.case import Case, finding
from sightline.data.audit.findings import Finding, Level

OUTSIDE_PX = 0.5
DOUBLED_IOU = 0.98
NEARLY_IOU = 0.85
TWO_CLASSES_IOU = 0.95
SLIVER_PX = 2.0
SLIVER_ASPECT = 25.0


def check_marks(case: Case) -> Iterator[Finding]:
    """Faults of boxes, polygons and points, one finding a mark or pair of marks."""
    for record in case.records:
        fact = case.facts.get(record.id)
        size_wh = record.size_wh if fact is None or fact.fault else fact.size_wh
        for index, annotation in enumerate(record.annotations):
            fault = _fault(annotation, size_wh)
            if fault is not None:
                level, kind, text = fault
                where = f"{record.id}: {case.class_name(annotation.label)} {text}"
                yield finding(level, kind, where, [record], marks={record.id: (index,)})
        yield from _pairs(case, record)


def _fault(a: Annotation, size_wh: tuple[int, int]) -> tuple[Level, str, str] | None:
    """The gravest fault of one mark, if any."""
    numbers = [*(a.box or ()), *(a.point or ()), *(float(v) for ring in a.polygons for v in ring.ravel())]
    if not all(map(isfinite, numbers)):
        return "error", "not-finite", "has a coordinate that is no finite number"
    for check in (_point, _box, _polygon):
        fault = check(a, size_wh)
        if fault is not None:
            return fault
    return None


def _point(a: Annotation, size_wh: tuple[int, int]) -> tuple[Level, str, str] | None:
    if a.point is None or not a.visible:
        return None
    x, y = a.point
    # A tool that counts pixel centres moves its zero by half a pixel.
    if max(abs(x), abs(y)) <= OUTSIDE_PX:
        return "error", "point-at-origin", f"is visible at ({x:g}, {y:g})"
    if size_wh != (0, 0) and _overshoot((x, y, x, y), size_wh) > OUTSIDE_PX:
        return "error", "point-outside", f"is at ({x:g}, {y:g}), the picture is {size_wh[0]}x{size_wh[1]}"
    return None


def _box(a: Annotation, size_wh: tuple[int, int]) -> tuple[Level, str, str] | None:
    if a.box is None:
        return None
    x1, y1, x2, y2 = a.box
    shown = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if x2 < x1 or y2 < y1:
        return "error", "box-inverted", f"{shown} has its corners the wrong way round"
    if x2 == x1 or y2 == y1:
        return "error", "box-empty", f"{shown} has no area"
    over = _overshoot(a.box, size_wh) if size_wh != (0, 0) else 0.0
    if over > OUTSIDE_PX:
        return (
            "error",
            "box-outside",
            f"{shown} leaves the picture ({size_wh[0]}x{size_wh[1]}) by {over:g} px",
        )
    thin, long = sorted((x2 - x1, y2 - y1))
    if thin < SLIVER_PX or long / thin > SLIVER_ASPECT:
        return "warning", "box-sliver", f"{shown} is {x2 - x1:.3g}x{y2 - y1:.3g} px"
    return None


def _polygon(a: Annotation, size_wh: tuple[int, int]) -> tuple[Level, str, str] | None:
    if a.mask is not None and not any(a.mask.counts[1::2]):
        return "error", "box-empty", "mask has no pixel"
    if a.mask is not None and size_wh not in ((0, 0), a.mask.size_wh):
        return "error", "box-outside", f"mask is {a.mask.size_wh}, the picture {size_wh}"
    for ring in a.polygons:
        if len(ring) < 3 or polygon_area(ring) <= 0:
            return "error", "box-empty", f"polygon of {len(ring)} points has no area"
        x1, y1 = ring.min(axis=0)
        x2, y2 = ring.max(axis=0)
        over = _overshoot((x1, y1, x2, y2), size_wh) if size_wh != (0, 0) else 0.0
        if over > OUTSIDE_PX:
            return "error", "box-outside", f"polygon leaves the picture by {over:g} px"
        if _crosses_itself(ring):
            return "warning", "polygon-crosses-itself", f"polygon of {len(ring)} points crosses itself"
    return None


def _overshoot(box: tuple[float, float, float, float], size_wh: tuple[int, int]) -> float:
    return max(-box[0], -box[1], box[2] - size_wh[0], box[3] - size_wh[1], 0.0)


def _crosses_itself(ring: NDArray[np.float64]) -> bool:
    """Whether two sides that are not neighbours properly cross; rings of over 300 points are not judged."""
    n = len(ring)
    if n < 4 or n > 300:
        return False
    a, b = ring, np.roll(ring, -1, axis=0)
    side = b - a

    def turn(p: NDArray[np.float64]) -> NDArray[np.float64]:
        rel = p[None] - a[:, None]
        return np.asarray(side[:, None, 0] * rel[..., 1] - side[:, None, 1] * rel[..., 0])

    start, end = turn(a), turn(b)
    split = (start * end) < 0
    crossing = split & split.T
    i, j = np.nonzero(np.triu(crossing, 2))
    return bool(((j - i) % n != n - 1).any())


def _pairs(case: Case, record: Record) -> Iterator[Finding]:
    """Marks of one place: doubled, nearly doubled, or of two classes."""
    places = [i for i, a in enumerate(record.annotations) if a.box is not None and not a.crowd]
    boxes = np.array([record.annotations[i].box for i in places], np.float64).reshape(-1, 4)
    if len(boxes) > 1 and box_areas(boxes).all():
        for i, j, iou in _overlaps(boxes, NEARLY_IOU):
            fault = _pair(case, record, places[i], places[j], iou)
            if fault is not None:
                yield fault
    yield from _equal_others(case, record)


def _overlaps(boxes: NDArray[np.float64], least: float) -> Iterator[tuple[int, int, float]]:
    """Pairs of boxes with at least this IoU, in blocks so that ten thousand boxes do not fill the memory."""
    step = max(1, 2_000_000 // len(boxes))
    for start in range(0, len(boxes), step):
        iou = box_iou(boxes[start : start + step], boxes)
        for i, j in np.argwhere(iou >= least):
            if start + i < j:
                yield int(start + i), int(j), float(iou[i, j])


def _pair(case: Case, record: Record, i: int, j: int, iou: float) -> Finding | None:
    a, b = record.annotations[i], record.annotations[j]
    names = case.class_name(a.label), case.class_name(b.label)
    marks = {record.id: (i, j)}
    if a.label != b.label:
        if iou < TWO_CLASSES_IOU:
            return None
        text = f"{record.id}: {names[0]} and {names[1]} share a box (IoU {iou:.2f})"
        return finding("warning", "box-two-classes", text, [record], marks=marks)
    if a.track and b.track and a.track != b.track and iou < DOUBLED_IOU:
        return None  # two tracked objects, one behind the other
    if _outlines_differ(a, b):
        return None
    kind = "box-doubled" if iou >= DOUBLED_IOU else "box-nearly-doubled"
    text = f"{record.id}: two marks of {names[0]} overlap by IoU {iou:.2f}"
    return finding("warning", kind, text, [record], marks=marks)


def _outlines_differ(a: Annotation, b: Annotation) -> bool:
    """Whether two outlines with the same hull enclose clearly different areas."""
    if not (a.polygons and b.polygons):
        return False
    areas = sorted(sum(polygon_area(ring) for ring in x.polygons) for x in (a, b))
    return areas[0] < 0.7 * areas[1]


def _equal_others(case: Case, record: Record) -> Iterator[Finding]:
    """Points and whole-picture labels written twice, and several labels of one picture."""
    whole = [i for i, a in enumerate(record.annotations) if a.kind == "label"]
    labels = {record.annotations[i].label for i in whole}
    if len(labels) > 1:
        names = ", ".join(sorted(case.class_name(label) for label in labels))
        text = f"{record.id}: labelled {names}"
        yield finding("info", "several-labels", text, [record], marks={record.id: tuple(whole)})
    seen: dict[tuple[object, ...], int] = {}
    for index, a in enumerate(record.annotations):
        if a.kind not in ("label", "point") or not a.visible:
            continue
        key = (a.label, a.point, a.track)
        if key in seen:
            text = f"{record.id}: {case.class_name(a.label)} is written twice"
            yield finding("warning", "box-doubled", text, [record], marks={record.id: (seen[key], index)})
        seen.setdefault(key, index)
