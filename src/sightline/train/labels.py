"""Labels of a record, carried by the matrix that moved its pixels, as the arrays of a training target."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.geometry import (
    Matrix,
    box_areas,
    clip_boxes,
    fill_polygons,
    move_boxes,
    move_points,
    polygon_box,
    warp,
)
from sightline.core.records import Annotation, Record
from sightline.core.specs import Task
from sightline.data.counting import VOID, ReadMap, truth_map
from sightline.data.points import looked_for

Array = NDArray[Any]
Target = dict[str, Array]

LEAST_SIDE_PX = 1.0
BOXED: frozenset[Task] = frozenset({"detect", "instances", "panoptic"})


class Labeller:
    """Makes targets for the tasks of a model.

    Args:
        tasks: what the model learns; only their labels are made.
        classes: names in the order of the records' class indices.
        read_map: gives a record's dense label of a task at the picture's size.
        min_visible: a box is kept while at least this share of its area stays on the canvas.
    """

    def __init__(
        self, tasks: Collection[Task], classes: Sequence[str], read_map: ReadMap, *, min_visible: float = 0.1
    ) -> None:
        self.tasks, self.classes, self.read_map = frozenset(tasks), tuple(classes), read_map
        self.min_visible = min_visible

    def __call__(self, record: Record, matrix: Matrix, size_wh: tuple[int, int]) -> Target:
        """Targets on a canvas, keyed as `models.base.Batch` says; arrays where it has tensors.

        `segment` is uint8 and `panoptic` int16 here, to be light between processes.

        Raises:
            DatasetError: a task needs a label that the record does not have.
        """
        target: Target = {}
        if "classify" in self.tasks:
            whole = [a.label for a in record.annotations if a.kind == "label"]
            if whole:  # a picture that nobody labelled counts nothing
                target["label"] = np.array(whole[0], np.int64)
        if self.tasks & BOXED:
            target |= self._boxed(record, matrix, size_wh)
        if "locate" in self.tasks:
            target |= self._points(record, matrix, size_wh)
        if "segment" in self.tasks:
            target["segment"] = self._segment(record, matrix, size_wh)
        if "depth" in self.tasks and "depth" in record.maps:
            metres = self.read_map(record, "depth").astype(np.float32)
            target["depth"] = warp(metres, matrix, size_wh, pad=0, nearest=True)
        return target

    def _boxed(self, record: Record, matrix: Matrix, size_wh: tuple[int, int]) -> Target:
        marks = [a for a in record.annotations if a.box is not None]
        moved = _moved_boxes(marks, matrix)
        boxes = clip_boxes(moved, size_wh)
        target: Target = {
            "boxes": boxes,
            "labels": np.array([a.label for a in marks], np.int64),
            "crowd": np.array([a.crowd for a in marks], bool),
        }
        if "instances" in self.tasks:
            masks = [mark_mask(a, record.size_wh, matrix, size_wh) for a in marks]
            target["masks"] = np.stack(masks) if masks else np.zeros((0, size_wh[1], size_wh[0]), bool)
            target["boxes"] = tightened(boxes, target["masks"])
        sides = target["boxes"][:, 2:] - target["boxes"][:, :2]
        keep = (box_areas(boxes) >= self.min_visible * box_areas(moved)) & (sides >= LEAST_SIDE_PX).all(
            axis=1
        )
        target = {name: value[keep] for name, value in target.items()}
        target["boxes"] = target["boxes"].astype(np.float32)
        if "panoptic" in self.tasks:
            target["panoptic"] = self._panoptic(record, marks, keep, matrix, size_wh)
        return target

    def _panoptic(
        self,
        record: Record,
        marks: Sequence[Annotation],
        keep: NDArray[np.bool_],
        matrix: Matrix,
        size_wh: tuple[int, int],
    ) -> Array:
        """The row of every pixel's segment among the boxes kept; -1 where there is none."""
        if "panoptic" not in record.maps:
            return np.full(size_wh[::-1], -1, np.int16)
        numbers = self.read_map(record, "panoptic").astype(np.int16)
        moved = warp(numbers, matrix, size_wh, pad=-1, nearest=True)
        place = {id(a): i for i, a in enumerate(record.annotations)}
        row = np.full(len(record.annotations) + 1, -1, np.int16)
        kept = [place[id(a)] for a, stays in zip(marks, keep, strict=True) if stays]
        row[kept] = np.arange(len(kept))
        return row[moved]  # -1 reads the last entry, which is -1

    def _points(self, record: Record, matrix: Matrix, size_wh: tuple[int, int]) -> Target:
        """Row k is the object of class k; one that is marked hidden or off the canvas is not visible, and of
        one that nobody marked, seen or hidden, nothing is known (`data.points`).
        """
        count = max(1, len(self.classes))
        points, visible = np.zeros((count, 2), np.float32), np.zeros(count, np.float32)
        known = np.zeros(count, np.float32)
        for label in looked_for(record):
            known[label] = 1.0
        for mark in record.annotations:
            if mark.point is None or not mark.visible:
                continue
            x, y = move_points(np.array(mark.point), matrix)
            if 0 <= x < size_wh[0] and 0 <= y < size_wh[1]:
                points[mark.label], visible[mark.label] = (x, y), 1.0
        return {"points": points, "visible": visible, "known": known}

    def _segment(self, record: Record, matrix: Matrix, size_wh: tuple[int, int]) -> Array:
        classes = truth_map(record, self.read_map, record.size_wh[::-1], self.classes)
        if classes is None:
            return np.full(size_wh[::-1], VOID, np.uint8)
        return warp(classes.astype(np.uint8), matrix, size_wh, pad=VOID, nearest=True)


def _moved_boxes(marks: Sequence[Annotation], matrix: Matrix) -> Array:
    """Hulls (N, 4) f64 of the moved marks: of the outline where the axes turn and there is one."""
    rows = np.array([a.box for a in marks], np.float64).reshape(-1, 4)
    moved = move_boxes(rows, matrix)
    straight = abs(matrix[0, 1]) + abs(matrix[1, 0]) < 1e-9
    if not straight:
        for i, mark in enumerate(marks):
            if mark.polygons:
                moved[i] = polygon_box(tuple(move_points(ring, matrix) for ring in mark.polygons))
    return moved


def mark_mask(
    mark: Annotation, source_wh: tuple[int, int], matrix: Matrix, size_wh: tuple[int, int]
) -> NDArray[np.bool_]:
    """The pixels (H, W) of a mark on the canvas; a box without an outline covers its rectangle."""
    if mark.mask is not None:
        full = mark.mask.decode().astype(np.uint8) * 255
        return warp(full, matrix, size_wh, pad=0) >= 128
    rings = mark.polygons
    if not rings and mark.box is not None:
        x1, y1, x2, y2 = mark.box
        rings = (np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64),)
    return fill_polygons(tuple(move_points(ring, matrix) for ring in rings), size_wh)


def tightened(boxes: Array, masks: NDArray[np.bool_]) -> Array:
    """Boxes (N, 4) cut to the pixels of their masks (N, H, W); an empty mask leaves an empty box."""
    out = np.array(boxes, np.float64).reshape(-1, 4)
    for i, mask in enumerate(masks):
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if not len(columns):
            out[i] = 0.0
            continue
        hull = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        out[i, :2] = np.maximum(out[i, :2], hull[:2])
        out[i, 2:] = np.minimum(out[i, 2:], hull[2:])
    return out
