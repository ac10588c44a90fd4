"""The vectorised twin of `checks.admit`: which records of a table pass as they are.

It never repairs and never drops. A record with anything that `admit` would change, or that this cannot judge,
is handed to `admit`; so the two cannot differ in a verdict, only in speed. What must hold, and is tested: a
record that passes here passes there unchanged and without an entry in the ledger.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sightline.data.checks import LARGEST_PX

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def clean_records(table: pa.Table, widths: Ints, heights: Ints, classes: Bools) -> Bools:
    """Whether each record's marks all pass as they are, (N,) bool.

    Args:
        table: rows of `schema.RECORDS`.
        widths: of the pictures upright, (N,); 0 where unknown.
        heights: likewise.
        classes: whether each class passes, (C,) bool; a label outside them does not.
    """
    lists = table.column("annotations").combine_chunks()
    if isinstance(lists, pa.ChunkedArray):  # no rows at all
        return np.ones(table.num_rows, bool)
    marks = lists.flatten()
    owner = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy(zero_copy_only=False))
    clean = clean_marks(marks, widths[owner], heights[owner], classes)
    passed = np.ones(len(lists), bool)
    passed[owner[~clean]] = False
    return passed


def clean_marks(marks: pa.StructArray, width: Ints, height: Ints, classes: Bools) -> Bools:
    """Whether each annotation passes as it is, (M,) bool; sizes are of the pictures they are on."""
    labels = _numbers(marks.field("label"))
    has_box = _numbers(marks.field("box").is_valid())
    clean = (labels >= 0) & (labels < len(classes))
    clean[clean] &= classes[labels[clean]]
    clean &= _boxes(marks.field("box"), has_box, width, height)
    clean &= _polygons(marks.field("polygons"), has_box, width, height)
    clean &= _masks(marks.field("mask"), has_box, width, height)
    return clean & _points(marks, width, height)


def _numbers(array: Any) -> NDArray[Any]:
    found: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return found


def _column(array: pa.StructArray, name: str) -> Floats:
    """A child column; values of absent rows mean nothing."""
    return np.asarray(_numbers(array.field(name).fill_null(0.0)), np.float64)


def _finite(values: Floats) -> Bools:
    found: Bools = np.abs(values) <= LARGEST_PX
    return found


def _inside(x1: Floats, y1: Floats, x2: Floats, y2: Floats, width: Ints, height: Ints) -> Bools:
    """Whether spans lie in their pictures; NaN lies in none, and an unknown size holds every finite one."""
    free = (width == 0) & (height == 0)
    finite = _finite(x1) & _finite(y1) & _finite(x2) & _finite(y2)
    held: Bools = finite & (free | ((x1 >= 0) & (y1 >= 0) & (x2 <= width) & (y2 <= height)))
    return held


def _boxes(boxes: pa.StructArray, has_box: Bools, width: Ints, height: Ints) -> Bools:
    x1, y1, x2, y2 = (_column(boxes, name) for name in ("x1", "y1", "x2", "y2"))
    passed: Bools = ~has_box | (_inside(x1, y1, x2, y2, width, height) & (x2 > x1) & (y2 > y1))
    return passed


def _points(marks: pa.StructArray, width: Ints, height: Ints) -> Bools:
    points = marks.field("point")
    absent = ~_numbers(points.is_valid())
    x, y = _column(points, "x"), _column(points, "y")
    hidden = ~_numbers(marks.field("visible"))
    passed: Bools = absent | (hidden & _finite(x) & _finite(y)) | _inside(x, y, x, y, width, height)
    return passed


def _polygons(outlines: pa.ListArray, has_box: Bools, width: Ints, height: Ints) -> Bools:
    """Every ring has three points or more, all finite and inside, and together they cover something."""
    rings = outlines.flatten()
    counts = _numbers(outlines.value_lengths()).astype(np.int64)
    passed: Bools = (counts == 0) | has_box
    if not len(rings):
        return passed
    owner = np.repeat(np.arange(len(outlines)), counts)
    lengths = _numbers(rings.value_lengths()).astype(np.int64)
    short = lengths < 6
    passed[owner[short]] = False
    values = np.asarray(_numbers(rings.flatten()), np.float64)
    xs, ys = values[0::2], values[1::2]
    points = lengths // 2
    first = np.concatenate([[0], np.cumsum(points)])[:-1]
    full = points > 0
    starts = first[full]
    if not len(starts):
        return passed
    owners = owner[full]
    held = _inside(
        np.minimum.reduceat(xs, starts),
        np.minimum.reduceat(ys, starts),
        np.maximum.reduceat(xs, starts),
        np.maximum.reduceat(ys, starts),
        width[owners],
        height[owners],
    )
    passed[owners[~held]] = False
    area = np.zeros(len(outlines))
    with np.errstate(invalid="ignore", over="ignore"):
        np.add.at(area, owners, _areas(xs, ys, starts))
        # Below a millionth of a square pixel rounding decides: let `admit` look.
        passed[(counts > 0) & ~(area > 1e-6)] = False
    return passed


def _areas(xs: Floats, ys: Floats, starts: Ints) -> Floats:
    """Unsigned shoelace area of each ring; rings begin at `starts` and fill the arrays."""
    following = np.arange(1, len(xs) + 1)
    following[np.concatenate([starts[1:] - 1, [len(xs) - 1]])] = starts
    cross = xs * ys[following] - ys * xs[following]
    areas: Floats = np.abs(np.add.reduceat(cross, starts)) / 2
    return areas


def _masks(masks: pa.StructArray, has_box: Bools, width: Ints, height: Ints) -> Bools:
    valid = _numbers(masks.is_valid())
    passed: Bools = ~valid
    if not valid.any():
        return passed
    present = masks.filter(masks.is_valid())
    rows = np.flatnonzero(valid)
    runs = present.field("counts")
    lengths = _numbers(runs.value_lengths()).astype(np.int64)
    values = np.asarray(_numbers(runs.flatten()), np.int64)
    owner = np.repeat(np.arange(len(present)), lengths)
    within = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    covered = np.bincount(owner[within % 2 == 1], values[within % 2 == 1], len(present)) > 0
    free = (width[rows] == 0) & (height[rows] == 0)
    same = (_numbers(present.field("width")) == width[rows]) & (
        _numbers(present.field("height")) == height[rows]
    )
    passed[rows] = covered & (free | same) & has_box[rows]
    return passed
