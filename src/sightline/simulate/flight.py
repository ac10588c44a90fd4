"""How a shuttlecock flies: gravity and drag, from one racket to the next.

Metres and seconds; x runs across the court from its middle, y along it from the near baseline, z up.
The drag is quadratic with one aerodynamic length, as measured by Cohen, Darbois Texier, Quéré and
Clanet, "The physics of badminton", New Journal of Physics 17 (2015): a terminal speed of 6.7 m/s
(Peastrel, Lynch and Armenti, American Journal of Physics 48 (1980), found 6.8).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

GRAVITY = 9.81
AERODYNAMIC_LENGTH = 4.65
STEP_S = 1 / 480
MAX_SPEED = 115.0
MAX_FLIGHT_S = 2.6
NET_Y, NET_Z = 6.7, 1.55


def flight(start: F64, velocity: F64, seconds: float, *, step: float = STEP_S) -> F64:
    """Positions (N, 3) every `step` seconds of a shuttle let go at `start` with `velocity`.

    Integrated by the midpoint rule; the shuttle stays where it meets the floor.
    """
    count = max(2, round(seconds / step) + 1)
    flat = math.hypot(float(velocity[0]), float(velocity[1]))
    heading = velocity[:2] / flat if flat > 1e-9 else np.zeros(2)
    along, height, fast, rise = 0.0, float(start[2]), flat, float(velocity[2])
    track = np.empty((count, 2))
    for i in range(count):
        track[i] = along, height
        if height <= 0 and i:
            track[i:] = along, 0.0
            break
        drag = math.hypot(fast, rise) / AERODYNAMIC_LENGTH
        half_fast = fast - 0.5 * step * drag * fast
        half_rise = rise - 0.5 * step * (drag * rise + GRAVITY)
        along, height = along + step * half_fast, height + step * half_rise
        drag = math.hypot(half_fast, half_rise) / AERODYNAMIC_LENGTH
        fast -= step * drag * half_fast
        rise -= step * (drag * half_rise + GRAVITY)
    return np.column_stack([start[:2] + track[:, :1] * heading, track[:, 1]])


def aim(start: F64, end: F64, elevation_deg: float) -> tuple[F64, float] | None:
    """Velocity that carries a shuttle from `start` to `end`, and the seconds it takes.

    The elevation is given, the speed is found: faster flies higher at a given distance.
    None where no speed up to `MAX_SPEED` does it.
    """
    flat = end[:2] - start[:2]
    distance = float(np.hypot(*flat))
    if distance < 0.3:
        return None
    rise = float(end[2] - start[2])
    speeds = np.geomspace(1.0, MAX_SPEED, 32)
    for _ in range(2):
        heights, seconds = _arrivals(speeds, elevation_deg, distance)
        above = np.flatnonzero(heights >= rise)
        if not len(above) or above[0] == 0:
            return None
        first = int(above[0])
        speeds = np.linspace(speeds[first - 1], speeds[first], 24)
    heights, seconds = _arrivals(speeds, elevation_deg, distance)
    best = int(np.argmin(np.abs(heights - rise)))
    angle = np.radians(elevation_deg)
    direction = np.append(flat / distance * np.cos(angle), np.sin(angle))
    return direction * speeds[best], float(seconds[best])


def _arrivals(speeds: F64, elevation_deg: float, distance: float) -> tuple[F64, F64]:
    """Height above the start, and time, at which each of several launches has flown `distance` forwards.

    Height is -inf where it never gets there.
    """
    step, angle = 1 / 160, math.radians(elevation_deg)
    fast, rise = speeds * math.cos(angle), speeds * math.sin(angle)
    along, height = np.zeros_like(speeds), np.zeros_like(speeds)
    heights, seconds = np.full_like(speeds, -np.inf), np.full_like(speeds, np.inf)
    for i in range(round(MAX_FLIGHT_S / step)):
        drag = np.hypot(fast, rise) / AERODYNAMIC_LENGTH
        half_fast = fast - 0.5 * step * drag * fast
        half_rise = rise - 0.5 * step * (drag * rise + GRAVITY)
        further, higher = along + step * half_fast, height + step * half_rise
        now = (along < distance) & (further >= distance)
        if now.any():
            share = (distance - along[now]) / (further[now] - along[now])
            heights[now] = height[now] + share * (higher[now] - height[now])
            seconds[now] = (i + share) * step
        along, height = further, higher
        drag = np.hypot(half_fast, half_rise) / AERODYNAMIC_LENGTH
        fast = fast - step * drag * half_fast
        rise = rise - step * (drag * half_rise + GRAVITY)
        if (along >= distance).all():
            break
    return heights, seconds


def clears_net(path: F64) -> bool:
    """Whether a flight passes over the net, or does not come to it."""
    beyond = path[:, 1] > NET_Y
    crossing = int(np.argmax(beyond != beyond[0]))
    return crossing == 0 or bool(path[crossing, 2] > NET_Z + 0.02)
