"""Shapes that label tools have and a dataset has not: turned rectangles and ellipses, as rings of points."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

ELLIPSE_POINTS = 72


def turn(points: Points, degrees: float) -> Points:
    """Points (N, 2) turned clockwise, as seen with y running down, about (0, 0)."""
    if not math.isfinite(degrees):
        return np.full(points.shape, math.nan)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned: Points = points @ np.array([[c, s], [-s, c]])
    return turned


def ellipse_ring(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> Points:
    """`ELLIPSE_POINTS` points on an ellipse; the ring has 0.13% less area than the ellipse."""
    t = np.linspace(0, 2 * math.pi, ELLIPSE_POINTS, endpoint=False)
    ring = turn(np.stack([np.cos(t), np.sin(t)], axis=1) * (rx, ry), degrees)
    moved: Points = np.array([cx, cy]) + ring
    return moved


def centred_rectangle(box: tuple[float, float, float, float], degrees: float) -> Points:
    """Corners (4, 2) of a box turned clockwise about its centre, from its own top left, clockwise."""
    x1, y1, x2, y2 = box
    a, b = (x2 - x1) / 2, (y2 - y1) / 2
    corners = turn(np.array([(-a, -b), (a, -b), (a, b), (-a, b)]), degrees)
    moved: Points = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) + corners
    return moved


def as_rectangle(ring: Points) -> tuple[float, float, float, float, float] | None:
    """Corner x, y, width, height and clockwise degrees of a ring that is a rectangle; None for others.

    The first point is the rectangle's own top left corner, the others follow clockwise.
    """
    ring = np.asarray(ring, np.float64)
    if ring.shape != (4, 2):
        return None
    along, down = ring[1] - ring[0], ring[3] - ring[0]
    width, height = float(np.hypot(*along)), float(np.hypot(*down))
    if width * height <= 0 or not np.allclose(ring[0] + along + down, ring[2], atol=0.01):
        return None
    square = abs(float(along @ down)) <= 1e-4 * width * height
    if not square or along[0] * down[1] - along[1] * down[0] <= 0:
        return None
    degrees = math.degrees(math.atan2(along[1], along[0])) % 360
    return float(ring[0, 0]), float(ring[0, 1]), width, height, degrees
