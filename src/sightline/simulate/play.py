"""How a rally goes: serves, clears, drops, smashes, drives, lifts and net shots, one after the other.

The ranges below are of the sport (court, reach and net heights from the laws of badminton); the shares are
tuned until speeds, accelerations and gaps agree with real tracks (docs/simulate.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.simulate.flight import NET_Y, STEP_S, aim, clears_net, flight

F64 = NDArray[np.float64]

HALF_WIDTH = 2.55
FLOOR_Z = 0.03
MOST_TRIES = 40
# What a player can give the shuttle, metres a second: club players to the best.
FASTEST = (55.0, 105.0)


@dataclass(frozen=True, slots=True)
class Shot:
    """One kind of stroke.

    Attributes:
        name: of the stroke.
        elevation_deg: range of the angle it leaves the racket at.
        start_z, end_z: ranges of the height it is taken at and met at, metres.
        start_off, end_off: ranges of the distance from the net, metres.
        share: how often it is chosen among those that fit.
    """

    name: str
    elevation_deg: tuple[float, float]
    start_z: tuple[float, float]
    end_z: tuple[float, float]
    start_off: tuple[float, float]
    end_off: tuple[float, float]
    share: float


SHOTS = (
    Shot("clear", (10, 38), (2.0, 2.9), (2.1, 2.75), (3.0, 6.6), (4.6, 6.4), 0.24),
    Shot("drop", (-6, 12), (2.0, 2.9), (0.3, 1.2), (3.0, 6.6), (0.6, 2.2), 0.30),
    Shot("smash", (-13, -3), (2.3, 2.9), (0.4, 1.1), (2.4, 6.4), (2.0, 5.2), 0.34),
    Shot("drive", (-2, 12), (1.2, 2.2), (1.0, 1.8), (1.5, 5.0), (2.0, 5.0), 0.16),
    Shot("push", (8, 24), (0.9, 1.9), (1.0, 1.9), (0.4, 3.5), (3.0, 5.6), 0.12),
    Shot("lift", (34, 54), (0.2, 1.4), (2.1, 2.75), (0.4, 5.6), (4.4, 6.4), 0.34),
    Shot("net", (38, 74), (0.4, 1.5), (0.5, 1.4), (0.3, 1.9), (0.3, 1.4), 0.26),
    Shot("block", (14, 40), (0.3, 1.3), (0.4, 1.2), (1.8, 5.4), (0.5, 1.8), 0.30),
)
SERVES = (
    Shot("short serve", (14, 24), (0.95, 1.1), (0.6, 1.2), (2.1, 2.9), (2.0, 2.6), 0.75),
    Shot("high serve", (42, 60), (0.9, 1.1), (2.1, 2.6), (2.1, 3.2), (4.8, 6.2), 0.25),
)
FALLBACK = Shot("lift", (34, 62), (0.2, 2.9), (2.1, 2.7), (0.0, 9.0), (4.4, 6.2), 1.0)


@dataclass(frozen=True, slots=True)
class Stroke:
    """A racket meets the shuttle: at which step of the path, on which side (0 near, 1 far), and how."""

    step: int
    side: int
    name: str


@dataclass(frozen=True, slots=True)
class Play:
    """What the shuttle does.

    Attributes:
        path: (N, 3) positions of its head every `STEP_S`, NaN where it is out of play and nowhere to be seen.
        strokes: in order.
    """

    path: F64
    strokes: tuple[Stroke, ...]


def rally(rng: np.random.Generator, seconds: float) -> Play:
    """Rallies one after the other, until `seconds` are full.

    Each begins with a shuttle held for a serve and ends with one that lies on the floor; then it is out of
    play for a moment.
    """
    total = round(seconds / STEP_S) + 2
    pieces: list[F64] = []
    strokes: list[Stroke] = []
    length = 0
    while length < total:
        for piece, stroke in _one_rally(rng):
            if stroke is not None:
                strokes.append(Stroke(length, *stroke))
            pieces.append(piece)
            length += len(piece)
    return Play(np.concatenate(pieces)[:total], tuple(s for s in strokes if s.step < total))


def _one_rally(rng: np.random.Generator) -> list[tuple[F64, tuple[int, str] | None]]:
    """Pieces of the path, each with the stroke (side, name) that begins it, if one does."""
    side = int(rng.integers(2))
    serve = SERVES[int(rng.random() < SERVES[1].share)]
    start = _place(rng, side, serve.start_off, serve.start_z, across=0.9)
    pieces: list[tuple[F64, tuple[int, str] | None]] = [(_held(rng, start), None)]
    position, shot, strokes = start, serve, int(rng.geometric(0.1)) + 1
    for number in range(strokes):
        if number:
            shot = _choose(rng, position, side)
        path, shot = _fly(rng, position, 1 - side, shot)
        if number == strokes - 1:
            path = _to_the_floor(path)
        pieces.append((path[:-1], (side, shot.name)))
        position, side = path[-1], 1 - side
    pieces.append((np.repeat(position[None] * (1, 1, 0) + (0, 0, FLOOR_Z), _steps(rng, 0.3, 1.6), 0), None))
    pieces.append((np.full((_steps(rng, 0.2, 0.8), 3), np.nan), None))
    return pieces


def _steps(rng: np.random.Generator, low_s: float, high_s: float) -> int:
    return round(rng.uniform(low_s, high_s) / STEP_S)


def _held(rng: np.random.Generator, start: F64) -> F64:
    """A shuttle in the hand before a serve: it hardly moves."""
    count = _steps(rng, 0.3, 1.3)
    sway = np.cumsum(rng.normal(0, 1, (count, 3)), axis=0)
    wide = np.hanning(121)[:, None]
    smooth = np.stack([np.convolve(c, wide[:, 0] / wide.sum(), "same") for c in sway.T], 1)
    return np.asarray(start + (smooth - smooth[-1]) * 0.0012)


def _place(
    rng: np.random.Generator,
    side: int,
    off: tuple[float, float],
    z: tuple[float, float],
    across: float = HALF_WIDTH,
) -> F64:
    """A point of one side: so far from the net, so high."""
    away = rng.uniform(*off)
    return np.array([rng.uniform(-across, across), NET_Y + (away if side else -away), rng.uniform(*z)])


def _choose(rng: np.random.Generator, position: F64, side: int) -> Shot:
    """A stroke that is played from there."""
    off = abs(position[1] - NET_Y)
    fits = [s for s in SHOTS if _within(position[2], s.start_z) and _within(off, s.start_off)]
    if not fits:
        return FALLBACK
    shares = np.array([s.share for s in fits])
    return fits[int(rng.choice(len(fits), p=shares / shares.sum()))]


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _fly(rng: np.random.Generator, start: F64, receiver: int, shot: Shot) -> tuple[F64, Shot]:
    """One flight from `start` to the receiver's side, over the net, and the stroke that it became."""
    fastest = rng.uniform(*FASTEST)
    for number in range(MOST_TRIES):
        if number == MOST_TRIES // 2:
            shot = FALLBACK
        end = _place(rng, receiver, shot.end_off, shot.end_z)
        found = aim(start, end, float(rng.uniform(*shot.elevation_deg)))
        if found is None:
            continue
        velocity, seconds = found
        if np.linalg.norm(velocity) > fastest:
            continue
        path = flight(start, velocity, seconds)
        if len(path) > 12 and clears_net(path):
            return path, shot
    # Nothing drawn passed the net from here: a steep lift up to the middle always does.
    over = np.array([0.0, NET_Y + (3.0 if receiver else -3.0), 1.0])
    velocity, seconds = aim(start, over, 70.0) or ((over - start) * 1.5, 1.0)
    return flight(start, velocity, seconds), FALLBACK


def _to_the_floor(path: F64) -> F64:
    """The same flight, missed: on to the floor, with a small hop."""
    speed = (path[-1] - path[-2]) / STEP_S
    down = flight(path[-1], speed, 3.0)
    landed = int(np.argmax(down[:, 2] <= 0)) or len(down) - 1
    down = down[: landed + 1]
    arrive = (down[-1] - down[-2]) / STEP_S if len(down) > 1 else speed
    hop = flight(down[-1] * (1, 1, 0) + (0, 0, 0.001), arrive * (0.25, 0.25, -0.22), 0.6)
    out = np.concatenate([path, down[1:], hop])
    out[:, 2] = np.maximum(out[:, 2], FLOOR_Z)
    return out
