"""Floor and walls of a hall as flat pictures, to be seen in perspective: lines, seats, banners."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Colour = tuple[int, int, int]

WIDTH, LENGTH, NET_Y = 6.1, 13.4, 6.7
FLOOR_X, FLOOR_Y = (-11.0, 11.0), (-7.0, 18.0)
WALL_X, WALL_Z, WALL_Y = (-16.0, 16.0), (0.0, 10.0), 18.0
FLOOR_SCALE, WALL_SCALE = 80, 60
LINE_M = 0.04
WORDS = (
    "OPEN",
    "CUP",
    "SPORT",
    "VIKTOR",
    "AERO",
    "HALL 3",
    "BANK",
    "CITY",
    "24",
    "MASTERS",
    "NORD",
    "2026",
    "FLY",
)
FONTS = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


def tint(rng: np.random.Generator, low: int, high: int) -> Colour:
    """A colour at random."""
    r, g, b = (int(v) for v in rng.integers(low, high, 3))
    return r, g, b


def floor(rng: np.random.Generator, mat: Colour, surround: Colour, crowd: float = 1.0) -> U8:
    """The floor from above, `FLOOR_SCALE` pixels a metre, far end first; `crowd` 0..1 of what misleads."""
    high = round((FLOOR_Y[1] - FLOOR_Y[0]) * FLOOR_SCALE)
    wide = round((FLOOR_X[1] - FLOOR_X[0]) * FLOOR_SCALE)
    out = np.full((high, wide, 3), surround, np.uint8)
    if rng.random() < 0.4:
        _planks(rng, out)
    cv2.rectangle(out, _spot(-WIDTH / 2 - 0.9, LENGTH + 1.3), _spot(WIDTH / 2 + 0.9, -1.3), mat, -1)
    colour = (238, 238, 234) if rng.random() < 0.85 else (222, 200, 60)
    for (x1, y1), (x2, y2) in court_lines():
        cv2.line(out, _spot(x1, y1), _spot(x2, y2), colour, round(LINE_M * FLOOR_SCALE), cv2.LINE_AA)
    if rng.random() < 0.5 * crowd:
        for shift in (-8.0, 8.0):
            for (x1, y1), (x2, y2) in court_lines():
                a, b = _spot(x1 + shift, y1), _spot(x2 + shift, y2)
                cv2.line(out, a, b, colour, round(LINE_M * FLOOR_SCALE), cv2.LINE_AA)
    if rng.random() < 0.3 * crowd:
        # Lines of other games on the same floor.
        for _ in range(int(rng.integers(2, 7))):
            a, b = _spot(*rng.uniform((-11, -6), (11, 18))), _spot(*rng.uniform((-11, -6), (11, 18)))
            end = (b[0], a[1]) if rng.random() < 0.5 else (a[0], b[1])
            cv2.line(out, a, end, tint(rng, 20, 240), 4, cv2.LINE_AA)
    if crowd > 0:
        _things(rng, out, crowd)
    return _mottled(rng, out, 5.0)


def court_lines() -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Court lines as pairs of floor points."""
    half = WIDTH / 2
    along = [-half, -half + 0.46, half - 0.46, half]
    across = [0.0, 0.76, NET_Y - 1.98, NET_Y + 1.98, LENGTH - 0.76, LENGTH]
    lines = [((x, 0.0), (x, LENGTH)) for x in along] + [((-half, y), (half, y)) for y in across]
    middle = [((0.0, 0.0), (0.0, NET_Y - 1.98)), ((0.0, NET_Y + 1.98), (0.0, LENGTH))]
    return lines + middle


def _spot(x: float, y: float) -> tuple[int, int]:
    return round((x - FLOOR_X[0]) * FLOOR_SCALE), round((FLOOR_Y[1] - y) * FLOOR_SCALE)


def _planks(rng: np.random.Generator, out: U8) -> None:
    """Boards of a wooden floor."""
    for x in range(0, out.shape[1], 7):
        out[:, x : x + 7] = np.clip(out[:, x : x + 7] + rng.normal(0, 5), 0, 255).astype(np.uint8)


def _things(rng: np.random.Generator, out: U8, crowd: float) -> None:
    """Bags, boxes and towels beside the court; spare shuttles and scraps of tape that lie about."""
    for _ in range(int(crowd * rng.integers(0, 7))):
        x = rng.choice([-1, 1]) * rng.uniform(4.3, 10)
        a = _spot(x, rng.uniform(-5, 17))
        size = rng.integers(20, 70, 2)
        cv2.rectangle(out, a, (a[0] + int(size[0]), a[1] + int(size[1])), tint(rng, 10, 230), -1)
    for _ in range(int(crowd * rng.integers(0, 12))):
        a = _spot(rng.choice([-1, 1]) * rng.uniform(3.2, 9), rng.uniform(-3, 17))
        cv2.ellipse(
            out,
            a,
            (3, int(rng.integers(3, 7))),
            rng.uniform(0, 180),
            0,
            360,
            (242, 242, 238),
            -1,
            cv2.LINE_AA,
        )


def wall(rng: np.random.Generator, paint: Colour, crowd: float = 1.0) -> U8:
    """The far wall, `WALL_SCALE` pixels a metre, top first: paint, seats with people, banners, windows."""
    high = round((WALL_Z[1] - WALL_Z[0]) * WALL_SCALE)
    wide = round((WALL_X[1] - WALL_X[0]) * WALL_SCALE)
    out = np.full((high, wide, 3), paint, np.uint8)
    for x in range(0, wide, int(rng.integers(90, 260))):
        cv2.line(out, (x, 0), (x, high), tuple(int(v * 0.88) for v in paint), 2)
    if rng.random() < 0.65 * crowd:
        _seats(rng, out)
    _banners(rng, out, words=crowd > 0.5)
    if rng.random() < 0.3 * crowd:
        _windows(rng, out)
    for _ in range(int(crowd * rng.integers(0, 30))):
        x, y = int(rng.integers(0, wide)), int(rng.integers(0, high))
        size = int(rng.integers(1, 5))
        cv2.circle(out, (x, y), size, (245, 245, 240), -1, cv2.LINE_AA)
    return _mottled(rng, out, 4.0)


def _seats(rng: np.random.Generator, out: U8) -> None:
    """Rows of people, further up the further back; some wear white, some seats are empty."""
    pitch, base = int(rng.integers(30, 44)), out.shape[0] - int(rng.uniform(0.6, 1.6) * WALL_SCALE)
    rows, full = int(rng.integers(3, 11)), rng.uniform(0.25, 0.95)
    seat = tint(rng, 25, 130)
    for row in reversed(range(rows)):
        y = base - row * int(pitch * 0.8)
        cv2.rectangle(
            out, (0, y - pitch // 3), (out.shape[1], y + pitch), tuple(int(v * 0.7) for v in seat), -1
        )
        for x in range(int(rng.integers(0, pitch)), out.shape[1], int(pitch * 0.8)):
            if rng.random() > full:
                cv2.rectangle(out, (x - 9, y - 8), (x + 9, y + 14), seat, -1)
                continue
            shirt = (232, 232, 230) if rng.random() < 0.2 else tint(rng, 15, 220)
            skin = [(214, 168, 140), (180, 134, 104), (110, 78, 60)][int(rng.integers(3))]
            dx, dy = (int(v) for v in rng.integers(-4, 5, 2))
            cv2.ellipse(out, (x + dx, y + 14 + dy), (11, 16), 0, 0, 360, shirt, -1, cv2.LINE_AA)
            cv2.circle(out, (x + dx, y - 6 + dy), 6, skin, -1, cv2.LINE_AA)
            cv2.ellipse(out, (x + dx, y - 9 + dy), (6, 4), 0, 0, 360, tint(rng, 15, 90), -1, cv2.LINE_AA)


def _banners(rng: np.random.Generator, out: U8, *, words: bool) -> None:
    """Boards, with words if wanted, along the foot of the wall and above it."""
    high, wide = out.shape[:2]
    rows = [(high - int(0.95 * WALL_SCALE), int(0.9 * WALL_SCALE))] if rng.random() < 0.8 else []
    rows += [
        (int(rng.integers(0, high // 2)), int(rng.integers(30, 90))) for _ in range(int(rng.integers(0, 3)))
    ]
    for y, tall in rows:
        x = int(rng.integers(-200, 0))
        while x < wide:
            length = int(rng.integers(120, 420))
            back = (232, 232, 230) if rng.random() < 0.15 else tint(rng, 10, 190)
            cv2.rectangle(out, (x, y), (x + length, y + tall), back, -1)
            ink = (245, 245, 245) if sum(back) < 380 else tint(rng, 0, 90)
            word = WORDS[int(rng.integers(len(WORDS)))]
            size, font = tall / 42, FONTS[int(rng.integers(len(FONTS)))]
            if words:
                cv2.putText(out, word, (x + 14, y + int(tall * 0.75)), font, size, ink, 3, cv2.LINE_AA)
            x += length + (0 if rng.random() < 0.7 else int(rng.integers(40, 300)))


def _windows(rng: np.random.Generator, out: U8) -> None:
    """A row of bright panes under the roof."""
    y, pitch = int(rng.integers(20, 120)), int(rng.integers(90, 200))
    light = tuple(int(v) for v in rng.integers(170, 255) + rng.integers(-10, 1, 3))
    for x in range(int(rng.integers(0, pitch)), out.shape[1], pitch):
        cv2.rectangle(out, (x, y), (x + pitch - 18, y + int(pitch * 0.7)), light, -1)


def _mottled(rng: np.random.Generator, picture: U8, strength: float) -> U8:
    """Wear, dust and uneven light: slow and fine changes of brightness."""
    high, wide = picture.shape[:2]
    slow = cv2.resize(rng.standard_normal((7, 9), np.float32), (wide, high), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.standard_normal((high // 6, wide // 6), np.float32), (wide, high))
    gain = np.clip(128 + 1.28 * strength * (1.2 * slow + 0.5 * fine), 0, 255).astype(np.uint8)
    return np.asarray(cv2.multiply(picture, cv2.merge([gain, gain, gain]), scale=1 / 128), dtype=np.uint8)
