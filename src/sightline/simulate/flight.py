"""How a shuttlecock flies: gravity and drag, from one racket to the next.

Metres and seconds; x runs across the court from its middle, y along it from the near baseline, z up.
The drag is quadratic with one aerodynamic length, as measured by Cohen, Darbois Texier, Quéré and
Clanet, "The physics of badminton", New Journal of Physics 17 (2015): a terminal speed of 6.7 m/s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

GRAVITY = 9.81
AERODYNAMIC_LENGTH = 4.6
STEP_S = 1 / 480
MAX_SPEED = 110.0
MAX_FLIGHT_S = 2.5


@dataclass(frozen=True, slots=True)
class Shot:
    """One stroke: its name, elevation range in degrees and the height it is taken and met at."""

    name: str
    elevation_deg: tuple[float, float]
    start_z: tuple[float, float]
    end_z: tuple[float, float]
    share: float


SHOTS = (
    Shot("clear", (28, 50), (1.0, 2.6), (1.6, 2.7), 0.36),
    Shot("drop", (4, 18), (2.0, 2.6), (0.4, 1.0), 0.20),
    Shot("drive", (2, 12), (1.3, 1.8), (1.2, 1.8), 0.14),
    Shot("smash", (-16, -9), (2.5, 2.8), (0.3, 1.0), 0.14),
    Shot("lift", (50, 62), (0.5, 1.3), (1.6, 2.4), 0.16),
)


def flight(start: F64, velocity: F64, seconds: float, *, step: float = STEP_S) -> F64:
    """Positions (N, 3) every `step` seconds of a shuttle let go at `start` with `velocity`.

    Integrated by the midpoint rule; the shuttle stays where it meets the floor.
    """
    count = max(2, round(seconds / step) + 1)
    path = np.empty((count, 3))
    position, speed = start.astype(np.float64).copy(), velocity.astype(np.float64).copy()
    for i in range(count):
        path[i] = position
        if position[2] <= 0 and i:
            path[i:] = position * (1, 1, 0)
            break
        middle = speed + 0.5 * step * _acceleration(speed)
        position = position + step * middle
        speed = speed + step * _acceleration(middle)
    return path


def _acceleration(velocity: F64) -> F64:
    drag: F64 = -np.linalg.norm(velocity) * velocity / AERODYNAMIC_LENGTH
    drag[2] -= GRAVITY
    return drag


def aim(start: F64, end: F64, elevation_deg: float) -> tuple[F64, float] | None:
    """Velocity that carries a shuttle from `start` to `end`, and the seconds it takes.

    The elevation is given, the speed is found by bisection: faster flies higher at a given distance.
    None where no speed up to `MAX_SPEED` does it.
    """
    flat = end[:2] - start[:2]
    distance = float(np.hypot(*flat))
    if distance < 0.3:
        return None
    heading = np.append(flat / distance, 0.0)
    angle = np.radians(elevation_deg)
    direction = heading * np.cos(angle) + np.array([0.0, 0.0, np.sin(angle)])
    low, high, found = 1.0, MAX_SPEED, None
    for _ in range(24):
        speed = (low + high) / 2
        path = flight(start, direction * speed, MAX_FLIGHT_S, step=1 / 120)
        along = (path[:, :2] - start[:2]) @ heading[:2]
        reached = int(np.searchsorted(along, distance))
        if reached < len(along) and path[reached, 2] >= end[2]:
            high, found = speed, reached / 120
        else:
            low = speed
    return (direction * high, found) if found is not None else None


def rally(rng: np.random.Generator, seconds: float) -> tuple[F64, NDArray[np.int64]]:
    """A rally: positions (N, 3) every `STEP_S`, and the step indices of the strokes.

    Strokes alternate between the two sides; their kinds and places are drawn from `SHOTS`.
    """
    total = round(seconds / STEP_S) + 1
    side = int(rng.integers(2))
    position = np.array([rng.uniform(-2, 2), _depth(rng, side), 1.2])
    pieces: list[F64] = []
    strokes, length = [0], 0
    while length < total:
        piece = _stroke(rng, position, 1 - side)
        pieces.append(piece[:-1])
        length += len(piece) - 1
        strokes.append(length)
        position, side = piece[-1], 1 - side
    path = np.concatenate(pieces)[:total]
    hits = np.array([s for s in strokes if s < total], dtype=np.int64)
    return path, hits


def _depth(rng: np.random.Generator, side: int) -> float:
    """How far along the court a player of `side` (0 near, 1 far) stands."""
    reach = float(rng.uniform(0.8, 5.6))
    return reach if side == 0 else 13.4 - reach


def _stroke(rng: np.random.Generator, start: F64, receiver: int) -> F64:
    """One flight from `start` to somewhere on the receiver's side, above the net."""
    shares = np.array([shot.share for shot in SHOTS])
    for _ in range(60):
        shot = SHOTS[rng.choice(len(SHOTS), p=shares / shares.sum())]
        end = np.array([rng.uniform(-2.4, 2.4), _depth(rng, receiver), rng.uniform(*shot.end_z)])
        begin = np.array([start[0], start[1], np.clip(start[2], *shot.start_z)])
        found = aim(begin, end, float(rng.uniform(*shot.elevation_deg)))
        if found is None:
            continue
        velocity, seconds = found
        path = flight(begin, velocity, seconds)
        if _clears_net(path):
            return path
    # Nothing drawn passed the net from here: a high clear always does.
    end = np.array([0.0, 2.0 if receiver == 0 else 11.4, 2.0])
    fallback = aim(start, end, 55.0)
    if fallback is None:
        return np.linspace(start, end, round(1.0 / STEP_S))
    return flight(start, fallback[0], fallback[1])


def _clears_net(path: F64) -> bool:
    beyond = path[:, 1] > 6.7
    crossing = int(np.argmax(beyond != beyond[0]))
    return crossing == 0 or bool(path[crossing, 2] > 1.55)
