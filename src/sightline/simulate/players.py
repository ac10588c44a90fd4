"""Two players: where they run and how they reach for the shuttle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.simulate.flight import NET_Y, STEP_S
from sightline.simulate.play import Play

F64 = NDArray[np.float64]
Colour = tuple[int, int, int]

WHITE = 0.4
WINDUP_S, THROUGH_S, REST_S = 0.22, 0.10, 0.32
RATE = 120.0


@dataclass(frozen=True, slots=True)
class Outfit:
    """Colours of one player, RGB 0..255, and how tall they are (metres)."""

    shirt: Colour
    shorts: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    stripe: Colour | None
    tall: float


def draw_outfit(rng: np.random.Generator) -> Outfit:
    """An outfit at random; white shirts and shoes are common on purpose."""

    def any_colour(low: int, high: int) -> Colour:
        r, g, b = (int(v) for v in rng.integers(low, high, 3))
        return r, g, b

    shirt = (236, 236, 233) if rng.random() < WHITE else any_colour(20, 230)
    skin = [(224, 178, 148), (198, 150, 118), (150, 104, 76), (96, 66, 50)][int(rng.integers(4))]
    return Outfit(
        shirt,
        (235, 235, 235) if rng.random() < 0.2 else any_colour(15, 90),
        skin,
        any_colour(15, 70),
        (240, 240, 240) if rng.random() < 0.5 else any_colour(20, 220),
        (240, 240, 240) if rng.random() < 0.3 else any_colour(10, 240) if rng.random() < 0.4 else None,
        float(rng.uniform(1.6, 1.92)),
    )


@dataclass(frozen=True, slots=True)
class Pose:
    """One player at one moment: feet, racket head (3,) in metres, speed, phase of the stride, side."""

    feet: F64
    racket: F64
    pace: float
    stride: float
    side: int


class Track:
    """Where one player is over a whole play: under the strokes of their side, running in between."""

    def __init__(self, rng: np.random.Generator, play: Play, side: int) -> None:
        self.side = side
        seconds = len(play.path) * STEP_S
        self._time = np.arange(int(seconds * RATE) + 2) / RATE
        hits = [(s.step * STEP_S, play.path[s.step]) for s in play.strokes if s.side == side]
        hits = [(t, p) for t, p in hits if np.isfinite(p).all()]
        self._hand = 1.0 if rng.random() < 0.85 else -1.0
        self._feet = self._run(rng, hits, seconds)
        speed = np.gradient(self._feet, 1 / RATE, axis=0)
        self._pace = np.hypot(speed[:, 0], speed[:, 1])
        self._stride = np.cumsum(self._pace) / RATE / 1.5 + rng.random()
        self._racket = self._swing(rng, hits)

    def _run(self, rng: np.random.Generator, hits: list[tuple[float, F64]], seconds: float) -> F64:
        """Feet (N, 3): at each stroke beside and behind it, near the middle of the half in between."""
        home = np.array([0.0, NET_Y + (3.4 if self.side else -3.4)])
        keys = [(0.0, home + rng.normal(0, 0.4, 2))]
        for number, (time, point) in enumerate(hits):
            low = point[2] < 1.2
            back = (0.35 if low else 0.15) * (1 if self.side else -1)
            beside = (0.55 if low else 0.28) * self._hand * (-1 if self.side else 1)
            keys.append((time, np.array([point[0] - beside, point[1] + back])))
            after = hits[number + 1][0] if number + 1 < len(hits) else time + 1.6
            if after - time > 0.9:
                keys.append((time + 0.55 * (after - time), home + rng.normal(0, 0.35, 2)))
        keys.append((max(seconds, keys[-1][0]) + 0.5, home))
        times, places = np.array([k[0] for k in keys]), np.array([k[1] for k in keys])
        flat = np.column_stack([np.interp(self._time, times, places[:, i]) for i in range(2)])
        return np.column_stack([_smooth(flat, 0.09), np.zeros(len(flat))])

    def _swing(self, rng: np.random.Generator, hits: list[tuple[float, F64]]) -> F64:
        """Racket head (N, 3): at rest before the chest, swung back, through the shuttle, and out."""
        toward = np.array([0.0, -1.0 if self.side else 1.0, 0.0])
        across = np.array([self._hand * (-1.0 if self.side else 1.0), 0.0, 0.0])
        rest = across * 0.4 + toward * 0.45 + np.array([0.0, 0.0, 1.25])
        keys: list[tuple[float, F64]] = [(-1.0, rest)]
        for time, point in hits:
            here = point - self._at(self._feet, time)
            high = here[2] > 1.6
            back = across * 0.35 - toward * 0.45 + np.array([0.0, 0.0, 1.5 if high else 0.9])
            out = here + toward * 0.55 - across * 0.35 + np.array([0.0, 0.0, -0.75 if high else 0.6])
            for moment, place in (
                (time - WINDUP_S - 0.2, rest),
                (time - WINDUP_S * 0.5, back),
                (time, here),
                (time + THROUGH_S, out),
                (time + REST_S, rest),
            ):
                if moment > keys[-1][0] + 0.01:
                    keys.append((moment, place))
        times, places = np.array([k[0] for k in keys]), np.array([k[1] for k in keys])
        times, places = np.append(times, self._time[-1] + 1), np.vstack([places, rest])
        swing = np.column_stack([np.interp(self._time, times, places[:, i]) for i in range(3)])
        idle = np.cumsum(rng.normal(0, 1, (len(swing), 3)), axis=0)
        idle = _smooth(idle, 0.3)
        idle = (idle - _smooth(idle, 2.0)) * 0.012
        return np.asarray(_smooth(swing, 0.012) + idle + self._feet)

    def _at(self, values: F64, time: float) -> F64:
        return np.array([np.interp(time, self._time, values[:, i]) for i in range(values.shape[1])])

    def pose(self, time: float) -> Pose:
        """At a time in seconds since the play began."""
        pace = float(np.interp(time, self._time, self._pace))
        stride = float(np.interp(time, self._time, self._stride))
        return Pose(self._at(self._feet, time), self._at(self._racket, time), pace, stride, self.side)


def _smooth(values: F64, sigma_s: float) -> F64:
    """Rows averaged over time by a Gaussian window."""
    reach = max(1, int(3 * sigma_s * RATE))
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (sigma_s * RATE)) ** 2)
    window /= window.sum()
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    return np.column_stack([np.convolve(column, window, "valid") for column in padded.T])
