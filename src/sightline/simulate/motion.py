"""How fast shuttles move across pictures: the figures in which simulated and real tracks are compared.

Lengths are parts of the picture's height, times are thirtieths of a second, so that tracks of other sizes and
rates compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.simulate.camera import behind_court
from sightline.simulate.flight import STEP_S
from sightline.simulate.play import rally
from sightline.simulate.rallies import MOST_LEAD_S

F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

RATE = 30.0
MARKED_PX = 1.2


@dataclass(frozen=True, slots=True)
class Motion:
    """Samples of several tracks.

    Attributes:
        speed: steps between visible neighbours, heights per 1/30 s.
        acceleration: changes of such steps, heights per (1/30 s) squared.
        gap: lengths of runs of invisible frames between visible ones, thirtieths of a second.
        hidden: share of frames that are not visible.
    """

    speed: F64
    acceleration: F64
    gap: F64
    hidden: float


def motion(tracks: list[tuple[F64, Bool]], fps: float, size_wh: tuple[int, int]) -> Motion:
    """Motion of tracks: points (N, 2) in pixels, visible (N,); one rate, a multiple of 30, and one size."""
    every = max(1, round(fps / RATE))
    speeds, accelerations, gaps, seen = [], [], [], []
    for points, visible in tracks:
        p, v = points[::every] / size_wh[1], visible[::every]
        step, ok = np.diff(p, axis=0), v[1:] & v[:-1]
        speeds.append(np.hypot(*step[ok].T))
        change, both = np.diff(step, axis=0), ok[1:] & ok[:-1]
        accelerations.append(np.hypot(*change[both].T))
        gaps.append(_gaps(v))
        seen.append(v)
    shown = np.concatenate(seen) if seen else np.ones(1, bool)
    joined = [np.concatenate(parts) if parts else np.zeros(0) for parts in (speeds, accelerations, gaps)]
    return Motion(joined[0], joined[1], joined[2], float(1 - shown.mean()))


def _gaps(visible: Bool) -> F64:
    """Lengths of the invisible runs that have something visible before and after."""
    known = np.flatnonzero(visible)
    lengths = np.diff(known) - 1
    return lengths[lengths > 0].astype(np.float64)


def distance(a: F64, b: F64) -> float:
    """Kolmogorov and Smirnov's distance: the largest difference of two samples' distributions, 0..1."""
    both = np.sort(np.concatenate([a, b]))
    shares = [np.searchsorted(np.sort(s), both, side="right") / max(1, len(s)) for s in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max()) if len(both) else 0.0


def simulated_tracks(
    count: int,
    seconds: float,
    *,
    seed: int = 0,
    view: str = "broadcast",
    size_wh: tuple[int, int] = (1280, 720),
) -> list[tuple[F64, Bool]]:
    """Tracks of rallies that are played and not drawn, 30 points a second, marked as people mark them.

    Marks are off by a pixel or so (`MARKED_PX` of a picture 720 high) and rounded. Visible is what falls into
    the picture; players hide nothing here.
    """
    every = round(1 / RATE / STEP_S)
    tracks = []
    for number in range(seed, seed + count):
        rng = np.random.default_rng(number)
        camera = behind_court(rng, size_wh, view)
        lead = float(rng.uniform(0, MOST_LEAD_S))
        path = rally(rng, lead + seconds).path[int(lead / STEP_S) :: every]
        there = np.isfinite(path[:, 0])
        points = camera.project(np.nan_to_num(path))[0]
        points = np.rint(points + rng.normal(0, MARKED_PX * size_wh[1] / 720, points.shape))
        inside = (points >= 0).all(1) & (points < size_wh).all(1)
        tracks.append((points, there & inside))
    return tracks
