"""Turning marks with their picture, where they count stored pixels and EXIF turns the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sightline.core.geometry import Matrix, move_boxes, move_points
from sightline.core.media import turn_upright
from sightline.core.records import Annotation, Rle

Size = tuple[int, int]


def upright_matrix(stored_wh: Size, orientation: int) -> Matrix:
    """Matrix (2, 3) from stored to upright pixels of an EXIF orientation, 1..8."""
    w, h = stored_wh
    rows = {
        1: [[1, 0, 0], [0, 1, 0]],
        2: [[-1, 0, w], [0, 1, 0]],
        3: [[-1, 0, w], [0, -1, h]],
        4: [[1, 0, 0], [0, -1, h]],
        5: [[0, 1, 0], [1, 0, 0]],
        6: [[0, -1, h], [1, 0, 0]],
        7: [[0, -1, h], [-1, 0, w]],
        8: [[0, 1, 0], [-1, 0, w]],
    }
    return np.array(rows[orientation], dtype=np.float64)


def turned(annotation: Annotation, stored_wh: Size, orientation: int) -> Annotation:
    """A mark on stored pixels as a mark on the upright picture."""
    matrix = upright_matrix(stored_wh, orientation)
    a = annotation
    if a.box is not None:
        x1, y1, x2, y2 = move_boxes(np.array([a.box], np.float64), matrix)[0].tolist()
        a = replace(a, box=(x1, y1, x2, y2))
    if a.polygons:
        a = replace(a, polygons=tuple(move_points(ring, matrix) for ring in a.polygons))
    if a.mask is not None and a.mask.size_wh == stored_wh:
        a = replace(a, mask=Rle.encode(turn_upright(a.mask.decode(), orientation)))
    if a.point is not None:
        x, y = move_points(np.array(a.point, np.float64), matrix).tolist()
        a = replace(a, point=(x, y))
    return a
