"""A pinhole camera that looks at the court, and shakes a little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera stands and what it sees.

    Attributes:
        eye: position (3,) in metres.
        axes: rows (3, 3): right, down and forward, unit vectors.
        focal_px: focal length in pixels.
        size_wh: width and height of the picture.
    """

    eye: F64
    axes: F64
    focal_px: float
    size_wh: tuple[int, int]

    def project(self, points: F64) -> tuple[F64, F64]:
        """Pixels (N, 2), continuous, and distances along the axis (N,) in metres of points (N, 3)."""
        local = (np.atleast_2d(points) - self.eye) @ self.axes.T
        depth = np.maximum(local[:, 2], 1e-3)
        middle = np.array(self.size_wh) / 2
        return local[:, :2] / depth[:, None] * self.focal_px + middle, depth

    def pixels(self, metres: float, depth: float) -> float:
        """Length in pixels of something `metres` long at a distance."""
        return metres / depth * self.focal_px


def behind_court(rng: np.random.Generator, size_wh: tuple[int, int]) -> Camera:
    """A camera on a stand behind the near baseline, placed a little differently in every hall."""
    eye = np.array([rng.uniform(-1.2, 1.2), rng.uniform(-6.0, -4.2), rng.uniform(2.8, 4.6)])
    target = np.array([rng.uniform(-0.3, 0.3), rng.uniform(6.0, 7.4), rng.uniform(1.7, 2.5)])
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    focal = size_wh[0] * rng.uniform(0.9, 1.1)
    return Camera(eye, np.stack([right, down, forward]), float(focal), size_wh)
