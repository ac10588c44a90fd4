"""A pinhole camera that looks at the court from behind a baseline, and shakes a little."""

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

    def ray(self, pixels: F64) -> F64:
        """Directions (N, 3) in space of pixels (N, 2); one metre along the axis each."""
        middle = np.array(self.size_wh) / 2
        flat = (np.atleast_2d(pixels) - middle) / self.focal_px
        return np.asarray(np.column_stack([flat, np.ones(len(flat))]) @ self.axes)


@dataclass(frozen=True, slots=True)
class View:
    """Ranges that a camera's place is drawn from.

    Attributes:
        behind: metres behind the near baseline.
        height: metres above the floor.
        focal: focal length over the picture's width.
        baseline: where the near baseline appears, as a part of the picture's height.
    """

    behind: tuple[float, float]
    height: tuple[float, float]
    focal: tuple[float, float]
    baseline: tuple[float, float]


# Broadcast: the picture of the real rallies that motion is compared with. Club: a camera on a low balcony.
# Gallery: further away, with a wide lens, where shuttles are smallest. Stand: on a tripod close behind the
# court, the near player cut by the picture's edge.
VIEWS = {
    "broadcast": View((14.0, 18.0), (6.8, 9.0), (1.6, 1.85), (0.91, 0.98)),
    "club": View((7.5, 10.5), (3.6, 5.4), (1.02, 1.25), (0.86, 0.98)),
    "gallery": View((11.0, 15.0), (4.5, 7.5), (0.95, 1.2), (0.72, 0.86)),
    "stand": View((4.2, 6.0), (2.8, 4.6), (0.9, 1.1), (1.3, 1.6)),
}


def behind_court(rng: np.random.Generator, size_wh: tuple[int, int], view: str = "club") -> Camera:
    """A camera behind the near baseline, placed a little differently in every hall.

    Args:
        rng: everything is drawn from it.
        size_wh: width and height of the picture.
        view: a name in `VIEWS`.
    """
    ranges = VIEWS[view]
    eye = np.array([rng.uniform(-1.0, 1.0), -rng.uniform(*ranges.behind), rng.uniform(*ranges.height)])
    focal = size_wh[0] * rng.uniform(*ranges.focal)
    # Tilt so that the middle of the near baseline falls where the view wants it.
    below = np.arctan2(eye[2], -eye[1])
    low = np.arctan2((rng.uniform(*ranges.baseline) - 0.5) * size_wh[1], focal)
    tilt, turn = below - low, rng.normal(0, 0.012) - eye[0] / 25
    forward = np.array([np.sin(turn) * np.cos(tilt), np.cos(turn) * np.cos(tilt), -np.sin(tilt)])
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    roll = rng.normal(0, 0.006)
    down = np.cross(forward, right)
    right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    return Camera(eye, np.stack([right, down, forward]), float(focal), size_wh)


def sway(rng: np.random.Generator, frames: int, fps: float, width: int) -> F64:
    """Shifts (frames, 2) in pixels of a camera that is touched, stands on a floor that gives, or does not.

    Three in ten stand still. The others drift by a few pixels over seconds and tremble by parts of one (at
    1920 wide; smaller pictures in proportion).
    """
    if rng.random() < 0.3:
        return np.zeros((frames, 2))
    scale = width / 1920
    time = np.arange(frames)[:, None] / fps
    slow = np.zeros((frames, 2))
    for _ in range(3):
        rate, phase = rng.uniform(0.05, 0.6, (1, 2)), rng.uniform(0, 2 * np.pi, (1, 2))
        slow += rng.uniform(0, 1.2) * np.sin(2 * np.pi * rate * time + phase)
    tremor = np.zeros((frames, 2))
    step = rng.normal(0, 1, (frames, 2))
    for i in range(1, frames):
        tremor[i] = 0.8 * tremor[i - 1] + 0.6 * step[i]
    return np.asarray((slow + tremor * rng.uniform(0.05, 0.4)) * scale)
