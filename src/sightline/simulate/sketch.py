"""Sketched rallies: quickly drawn, few distractions, a shuttle larger than life, for small pictures.

The demo and its like learn from them in two minutes. `simulate.rallies` is what a locator is trained and
judged on.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.simulate.camera import Camera
from sightline.simulate.flight import STEP_S, aim, clears_net, flight
from sightline.simulate.rallies import RallyFrame
from sightline.simulate.sketch_hall import Look, Player, background, draw_look, draw_player, hides

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

HEAD_M, SKIRT_M, LENGTH_M = 0.028, 0.066, 0.085
# Elevation range in degrees, ranges of the height it is taken and met at, share.
SHOTS = (
    ((28, 50), (1.0, 2.6), (1.6, 2.7), 0.36),
    ((4, 18), (2.0, 2.6), (0.4, 1.0), 0.20),
    ((2, 12), (1.3, 1.8), (1.2, 1.8), 0.14),
    ((-16, -9), (2.5, 2.8), (0.3, 1.0), 0.14),
    ((50, 62), (0.5, 1.3), (1.6, 2.4), 0.16),
)


def sketch_rally(
    seed: int,
    *,
    frames: int = 60,
    fps: float = 30.0,
    size_wh: tuple[int, int] = (384, 216),
    shutter: float = 0.4,
    head_scale: float = 1.6,
) -> Iterator[RallyFrame]:
    """Frames of one rally, simply drawn.

    Args:
        seed: everything is drawn from it; equal seeds give equal frames.
        frames: how many.
        fps: frames a second.
        size_wh: width and height in pixels.
        shutter: share of a frame's time that the shutter is open (motion blur).
        head_scale: how much larger than life the shuttle is drawn, so that small pictures hold it.
    """
    rng = np.random.default_rng(seed)
    camera, look = stand(rng, size_wh), draw_look(rng)
    empty = background(rng, camera, look)
    path, strokes = _rally(rng, frames / fps + 0.1)
    cast = _Players(rng, path, strokes)
    for i in range(frames):
        steps = _exposure(i, fps, shutter, len(path))
        yield _frame(rng, camera, look, empty, path, steps, cast, i / fps, head_scale)


def _exposure(index: int, fps: float, shutter: float, count: int) -> NDArray[np.int64]:
    """Steps of the path that the open shutter sees."""
    first = round(index / fps / STEP_S)
    last = max(first + 1, round((index + shutter) / fps / STEP_S))
    return np.clip(np.arange(first, last + 1), 0, count - 2)


class _Players:
    """Both players, walking from one stroke to the next."""

    def __init__(self, rng: np.random.Generator, path: F64, strokes: NDArray[np.int64]) -> None:
        self._path, self._strokes = path, strokes
        self._phase = rng.uniform(0, 1, 2)

    def at(self, step: int) -> list[Player]:
        """Far player first, so that the near one is drawn over them."""
        return [self._one(step, 1), self._one(step, 0)]

    def _one(self, step: int, side: int) -> Player:
        """Stand under the last own stroke, walk to the next one's place."""
        mine = [
            s for s in self._strokes if (self._path[min(s + 1, len(self._path) - 1), 1] > 6.7) == bool(side)
        ]
        before = max((s for s in mine if s <= step), default=None)
        after = min((s for s in mine if s > step), default=None)
        home = np.array([0.0, 10.4 if side else 3.0, 0.0])
        start = self._place(before, home)
        end = self._place(after, home)
        low, high = (before or 0), (after if after is not None else len(self._path))
        share = np.clip((step - low) / max(1, high - low), 0, 1)
        feet = start + (end - start) * (3 * share**2 - 2 * share**3)
        near = [s for s in mine if abs(s - step) * STEP_S < 0.12]
        reach = self._path[near[0]] if near else feet + np.array([0.35, 0.0, 1.7])
        return Player(feet, reach, side)

    def _place(self, stroke: int | None, home: F64) -> F64:
        if stroke is None:
            return home
        x, y, _ = self._path[stroke]
        return np.array([x - 0.45, y + (0.2 if y > 6.7 else -0.2), 0.0])


def _frame(
    rng: np.random.Generator,
    camera: Camera,
    look: Look,
    empty: U8,
    path: F64,
    steps: NDArray[np.int64],
    cast: _Players,
    time_s: float,
    head_scale: float,
) -> RallyFrame:
    """Draw one exposure: hall, far player, shuttle and near player by distance, blur, light, noise."""
    picture = empty.copy()
    middle = int(steps[len(steps) // 2])
    players = cast.at(middle)
    head = path[middle]
    hidden = any(hides(camera, player, head) for player in players)
    for player in players:
        draw_player(picture, camera, player, look.shirts[player.side], time_s * 2 + player.side / 2)
    if not hidden:
        picture = _draw_shuttle(picture, camera, path, steps, head_scale)
    picture, shift = _shake(rng, picture)
    point, _ = camera.project(head)
    x, y = (point[0] + shift).tolist()
    inside = 0 <= x < camera.size_wh[0] and 0 <= y < camera.size_wh[1]
    return RallyFrame(_noise(rng, picture), (x, y), bool(inside and not hidden), time_s)


def _draw_shuttle(picture: U8, camera: Camera, path: F64, steps: NDArray[np.int64], scale: float) -> U8:
    """Skirt and head, averaged over the open shutter in a patch around them."""
    points, depths = camera.project(path[steps])
    ahead, _ = camera.project(path[steps + 1])
    size = camera.pixels(LENGTH_M * scale, float(depths.mean()))
    low = np.floor(points.min(0) - 2 * size - 3).astype(int)
    high = np.ceil(points.max(0) + 2 * size + 3).astype(int)
    x1, y1 = np.maximum(low, 0)
    x2, y2 = np.minimum(high, camera.size_wh)
    if x2 <= x1 or y2 <= y1:
        return picture
    patch = picture[y1:y2, x1:x2]
    total = np.zeros(patch.shape, np.float32)
    for point, towards, depth in zip(points, ahead, depths, strict=True):
        step = towards - point
        way = step / max(float(np.hypot(*step)), 1e-6)
        copy = patch.copy()
        origin = np.array([x1, y1])
        _shuttle(copy, point - origin, way, camera, float(depth), scale)
        total += copy
    picture[y1:y2, x1:x2] = np.round(total / len(steps)).astype(np.uint8)
    return picture


def _shuttle(patch: U8, head_xy: F64, way: F64, camera: Camera, depth: float, scale: float) -> None:
    """A white cone that narrows to a round head, pointing the way it flies."""
    head = camera.pixels(HEAD_M * scale, depth) / 2
    skirt = camera.pixels(SKIRT_M * scale, depth) / 2
    tail = head_xy - way * camera.pixels(LENGTH_M * scale, depth)
    side = np.array([-way[1], way[0]])
    ring = np.stack([head_xy + side * head, head_xy - side * head, tail - side * skirt, tail + side * skirt])
    one = 1 << 6
    cv2.fillPoly(patch, [np.round((ring - 0.5) * one).astype(np.int32)], (236, 238, 240), cv2.LINE_AA, 6)
    x, y = (int(v) for v in np.round((head_xy - 0.5) * one))
    cv2.circle(patch, (x, y), max(one // 2, round(head * one)), (252, 250, 244), -1, cv2.LINE_AA, 6)


def _shake(rng: np.random.Generator, picture: U8) -> tuple[U8, F64]:
    """A camera that trembles by a fraction of a pixel; the shift moves the truth too."""
    shift = rng.normal(0, 0.25, 2)
    matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    size_wh = (picture.shape[1], picture.shape[0])
    moved = cv2.warpAffine(picture, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8), shift


def _noise(rng: np.random.Generator, picture: U8) -> U8:
    """Flicker of the lamps and the grain of the sensor."""
    gain = rng.normal(1.0, 0.015)
    grain = rng.normal(0, rng.uniform(1.5, 5.0), picture.shape[:2])[..., None]
    return np.clip(picture * gain + grain, 0, 255).astype(np.uint8)


def _rally(rng: np.random.Generator, seconds: float) -> tuple[F64, NDArray[np.int64]]:
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
    shares = np.array([shot[3] for shot in SHOTS])
    for _ in range(60):
        elevation, start_z, end_z, _ = SHOTS[rng.choice(len(SHOTS), p=shares / shares.sum())]
        end = np.array([rng.uniform(-2.4, 2.4), _depth(rng, receiver), rng.uniform(*end_z)])
        begin = np.array([start[0], start[1], np.clip(start[2], *start_z)])
        found = aim(begin, end, float(rng.uniform(*elevation)))
        if found is None:
            continue
        velocity, seconds = found
        path = flight(begin, velocity, seconds)
        if clears_net(path):
            return path
    # Nothing drawn passed the net from here: a high clear always does.
    end = np.array([0.0, 2.0 if receiver == 0 else 11.4, 2.0])
    fallback = aim(start, end, 55.0)
    if fallback is None:
        return np.linspace(start, end, round(1.0 / STEP_S))
    return flight(start, fallback[0], fallback[1])


def stand(rng: np.random.Generator, size_wh: tuple[int, int]) -> Camera:
    """A camera on a stand behind the near baseline, placed a little differently in every rally."""
    eye = np.array([rng.uniform(-1.2, 1.2), rng.uniform(-6.0, -4.2), rng.uniform(2.8, 4.6)])
    target = np.array([rng.uniform(-0.3, 0.3), rng.uniform(6.0, 7.4), rng.uniform(1.7, 2.5)])
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    focal = size_wh[0] * rng.uniform(0.9, 1.1)
    return Camera(eye, np.stack([right, down, forward]), float(focal), size_wh)
