"""Points of tiny objects and the trails they leave."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.draw.canvas import Canvas
from sightline.draw.theme import Colour, class_colour

Trail = NDArray[Any]


def paint_point(canvas: Canvas, point_xy: NDArray[Any], colour: Colour, *, visible: bool = True) -> None:
    """A ring around the object, which stays uncovered; a cross where it is hidden."""
    radius = canvas.text * 0.75
    if visible:
        canvas.ring(point_xy, radius, colour)
        return
    arm = radius * 0.7 / canvas.scale
    for slope in (1, -1):
        ends = np.array([(-arm, -arm * slope), (arm, arm * slope)]) + point_xy
        canvas.outline(ends, colour, closed=False, width=max(1, canvas.line // 2))


def paint_trails(canvas: Canvas, trails: Sequence[Trail]) -> None:
    """Tracks as tapering lines, oldest thinnest; a gap where a row is not finite.

    Args:
        canvas: what to draw on.
        trails: (N, 2) xy in source pixels for each track, oldest first, the newest last.
    """
    for index, trail in enumerate(trails):
        points = np.asarray(trail, np.float64).reshape(-1, 2)
        pieces = []
        for age, (a, b) in enumerate(pairwise(points)):
            if np.isfinite(a).all() and np.isfinite(b).all():
                fresh = (age + 1) / (len(points) - 1)
                pieces.append((np.stack([a, b]), max(1, round(canvas.line * (0.5 + 1.2 * fresh)))))
        canvas.taper(pieces, class_colour(index))
