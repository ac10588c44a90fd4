"""The one place where a mark is judged: kept as it is, fixed, or dropped, with the reason in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import FormatError
from sightline.core.geometry import polygon_area, polygon_box
from sightline.core.records import Annotation
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions

Box = tuple[float, float, float, float]
Size = tuple[int, int]

# Labels are written with two to six decimals: an edge this little outside is put on the border and
# counts as kept. More is a fault.
SNAP_PX = 0.05

# Beyond this no picture reaches; areas of such coordinates would overflow.
LARGEST_PX = 1e9

NOT_FINITE = "a coordinate is not a finite number (or beyond 1e9)"
NO_LABEL = "its class is not one of the dataset's"
INVERTED = "box corners were inverted and are put in order"
NO_AREA = "box has zero area"
OUTSIDE = "lies wholly outside the picture"
CUT = "left the picture and is cut to it"
CUT_MOST = "left the picture by more than half of its area and is cut to it"
LEAVES = "leaves the picture"
FEW_POINTS = "polygon has fewer than three points"
FEW_POINTS_CUT = "a ring of fewer than three points is removed"
FLAT = "polygon has zero area"
HULL = "box is replaced by the hull of its outline"
MASK_SIZE = "mask has another size than its picture"
MASK_EMPTY = "mask has no pixel"
POINT_OUTSIDE = "point lies outside the picture"


def admit(
    annotation: Annotation, size_wh: Size, options: ReadOptions, ledger: Ledger, place: object
) -> Annotation | None:
    """Judge one mark against its picture; None where it is dropped.

    The ledger gets one entry at most. Marks are *not* counted as read here: a format does that.
    Admitting what was admitted changes nothing.

    Args:
        annotation: in continuous pixels of the upright picture.
        size_wh: width and height of the picture; (0, 0) where unknown: bounds are then not judged.
        options: `boxes` is the policy for marks that leave the picture or are inverted.
        ledger: gets what was fixed or dropped.
        place: file and line, pointer or annotation id, for the ledger and for errors.

    Raises:
        FormatError: the policy is `fail` and the mark has a fault.
    """
    judge = _Judge(size_wh, options, ledger, place)
    try:
        return judge.judge(annotation)
    except _Dropped:
        return None


class _Dropped(Exception):
    """The mark under judgement goes."""


class _Judge:
    """One mark's hearing: what is found is told once, with the first reason."""

    def __init__(self, size_wh: Size, options: ReadOptions, ledger: Ledger, place: object) -> None:
        self.size_wh, self.options, self.ledger, self.place = size_wh, options, ledger, place
        self.fixes: list[tuple[str, str]] = []

    def judge(self, a: Annotation) -> Annotation:
        if a.label < 0:
            self.drop(NO_LABEL, f"class index {a.label}")
        if a.point is not None:
            a = self.point(a)
        if a.polygons:
            a = self.polygons(a)
        if a.mask is not None:
            a = self.mask(a)
        if a.box is not None:
            a = self.box(a, a.box)
        if self.fixes:
            reason, detail = self.fixes[0]
            self.ledger.fix("annotation", reason, self.place, detail)
        return a

    def drop(self, reason: str, detail: str) -> None:
        if self.options.boxes == "fail":
            raise FormatError(
                f"{detail}: {reason}",
                where=self.place,
                remedy="correct it, or pass --boxes clip or --boxes drop",
            )
        self.ledger.drop("annotation", reason, self.place, detail)
        raise _Dropped

    def fix(self, reason: str, detail: str) -> None:
        """Repair where the policy is `clip`; else drop, or stop."""
        if self.options.boxes == "clip":
            self.fixes.append((reason, detail))
            return
        self.drop(LEAVES if reason in (CUT, CUT_MOST) else reason, detail)

    def leaves(self, what: str, by: float, kept: float) -> None:
        """A mark that leaves the picture by so many pixels; inside is the share `kept` of its area."""
        width, height = self.size_wh
        if self.options.boxes == "fail":
            raise FormatError(
                f"{what} leaves the image ({width}x{height}) by {by:g} px",
                where=self.place,
                remedy="pass --boxes clip to cut it, or --boxes drop",
            )
        self.fix(CUT if kept >= 0.5 else CUT_MOST, f"{what} by {by:g} px, image {width}x{height}")

    def point(self, a: Annotation) -> Annotation:
        assert a.point is not None
        if not all(map(_finite, a.point)):
            if a.visible:
                self.drop(NOT_FINITE, f"point {a.point}")
            return replace(a, point=(0.0, 0.0))
        if not a.visible or self.size_wh == (0, 0):
            return a
        by = overshoot((*a.point, *a.point), self.size_wh)
        if by > SNAP_PX:
            self.drop(POINT_OUTSIDE, f"point {a.point} by {by:g} px, image {_size(self.size_wh)}")
        if by > 0:
            x, y, _, _ = _clip((*a.point, *a.point), self.size_wh)
            return replace(a, point=(x, y))
        return a

    def polygons(self, a: Annotation) -> Annotation:
        rings = a.polygons
        if not all((np.abs(ring) <= LARGEST_PX).all() for ring in rings):
            self.drop(NOT_FINITE, "polygon")
        whole = tuple(ring for ring in rings if len(ring) >= 3)
        if not whole:
            self.drop(FEW_POINTS, f"polygon of {max(map(len, rings))} points")
        if len(whole) < len(rings):
            self.fix(FEW_POINTS_CUT, f"ring of {min(map(len, rings))} points")
        if sum(polygon_area(ring) for ring in whole) <= 0:
            self.drop(FLAT, f"polygon {_shown(polygon_box(whole))}")
        hull = polygon_box(whole)
        by = 0.0 if self.size_wh == (0, 0) else overshoot(hull, self.size_wh)
        if by > 0:
            whole = self.cut_rings(whole, hull, by)
            # The author's own box goes through its own hearing; one he did not give follows the cut.
        changed = whole is not rings and (len(whole) != len(rings) or by > 0)
        if not changed and a.box is not None:
            return a
        return replace(a, polygons=whole, box=a.box if a.box is not None else polygon_box(whole))

    def cut_rings(
        self, rings: tuple[NDArray[np.float64], ...], hull: Box, by: float
    ) -> tuple[NDArray[np.float64], ...]:
        cut = tuple(r for r in (cut_ring(ring, self.size_wh) for ring in rings) if len(r) >= 3)
        cut = tuple(ring for ring in cut if polygon_area(ring) > 0)
        if not cut:
            self.drop(OUTSIDE, f"polygon {_shown(hull)}, image {_size(self.size_wh)}")
        if by > SNAP_PX:
            self.leaves(
                f"polygon {_shown(hull)}", by, sum(map(polygon_area, cut)) / sum(map(polygon_area, rings))
            )
        return cut

    def mask(self, a: Annotation) -> Annotation:
        assert a.mask is not None
        if self.size_wh != (0, 0) and a.mask.size_wh != self.size_wh:
            self.drop(MASK_SIZE, f"mask {_size(a.mask.size_wh)}, image {_size(self.size_wh)}")
        if not any(a.mask.counts[1::2]):
            self.drop(MASK_EMPTY, f"mask {_size(a.mask.size_wh)}")
        return a if a.box is not None else replace(a, box=_mask_box(a))

    def box(self, a: Annotation, box: Box) -> Annotation:
        outline = _outline(a)
        if not all(map(_finite, box)):
            return self.faulty(a, box, NOT_FINITE, outline)
        x1, y1, x2, y2 = box
        if x2 < x1 or y2 < y1:
            self.fix(INVERTED, f"box {_shown(box)}")
            box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        if box[2] <= box[0] or box[3] <= box[1]:
            return self.faulty(a, box, NO_AREA, outline)
        by = 0.0 if self.size_wh == (0, 0) else overshoot(box, self.size_wh)
        if by > 0:
            cut = _clip(box, self.size_wh)
            if cut[2] <= cut[0] or cut[3] <= cut[1]:
                return self.faulty(a, box, OUTSIDE, outline)
            if by > SNAP_PX:
                self.leaves(f"box {_shown(box)}", by, _area(cut) / _area(box))
            box = cut
        return a if box == a.box else replace(a, box=box)

    def faulty(self, a: Annotation, box: Box, reason: str, outline: Callable[[], Box] | None) -> Annotation:
        """A box that says nothing: its outline's hull stands in where there is one."""
        if outline is None:
            self.drop(reason, f"box {_shown(box)}, image {_size(self.size_wh)}")
            return a
        self.fix(HULL, f"box {_shown(box)}")
        return replace(a, box=outline())


def _outline(a: Annotation) -> Callable[[], Box] | None:
    if a.polygons:
        return lambda: polygon_box(a.polygons)
    return (lambda: _mask_box(a)) if a.mask is not None else None


def _mask_box(a: Annotation) -> Box:
    """Hull of a mask's pixels, their outer edges included."""
    assert a.mask is not None
    ys, xs = np.nonzero(a.mask.decode())
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


def overshoot(box: Box, size_wh: Size) -> float:
    """By how many pixels a box leaves the picture at its worst side; 0 where it is inside."""
    return max(0.0, -box[0], -box[1], box[2] - size_wh[0], box[3] - size_wh[1])


def cut_ring(ring: NDArray[np.float64], size_wh: Size) -> NDArray[np.float64]:
    """A ring cut to the picture (Sutherland and Hodgman 1974), one border after the other."""
    for axis, limit, keep_low in (
        (0, 0.0, False),
        (0, size_wh[0], True),
        (1, 0.0, False),
        (1, size_wh[1], True),
    ):
        if len(ring) == 0:
            break
        inside = ring[:, axis] <= limit if keep_low else ring[:, axis] >= limit
        out: list[NDArray[np.float64]] = []
        for i in range(len(ring)):
            a, b = ring[i - 1], ring[i]
            if inside[i] != inside[i - 1]:
                crossing = a + (b - a) * ((limit - a[axis]) / (b[axis] - a[axis]))
                crossing[axis] = limit
                out.append(crossing)
            if inside[i]:
                out.append(b)
        ring = np.array(out, dtype=np.float64).reshape(-1, 2)
    return ring


def _finite(value: float) -> bool:
    return abs(value) <= LARGEST_PX  # false for NaN


def _clip(box: Box, size_wh: Size) -> Box:
    (w, h), (x1, y1, x2, y2) = size_wh, box
    return (
        float(min(max(x1, 0.0), w)),
        float(min(max(y1, 0.0), h)),
        float(min(max(x2, 0.0), w)),
        float(min(max(y2, 0.0), h)),
    )


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shown(box: Box) -> str:
    return "({})".format(", ".join(f"{v:.1f}" for v in box))


def _size(size_wh: Size) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"
