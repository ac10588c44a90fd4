"""The shuttlecock as a camera sees it: a cork, a skirt of feathers, and the light of one open shutter.

Sizes are those of the laws of badminton: 62 to 70 mm feathers, a skirt of 58 to 68 mm across its end, a
cork of 25 to 28 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.simulate.camera import Camera
from sightline.simulate.light import encoded, linear

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

CORK_M, NECK_M, SKIRT_M = 0.0265, 0.024, 0.064
NECK_BACK_M, SKIRT_BACK_M = 0.010, 0.072
FINE = 4
SHIFT = 4
MOST_COPIES = 40
LEAST_SHARE, LEAST_CHANGE = 0.04, 8.0
_TURN = np.linspace(0, 2 * np.pi, 16, endpoint=False)


@dataclass(frozen=True, slots=True)
class Feathers:
    """How one shuttle looks: linear light of skirt and cork (3,), and how much the skirt covers (0..1)."""

    skirt: F32
    cork: F32
    cover: float


class Trace:
    """What the shuttle left in the picture, and how much of it is still to be seen.

    Args:
        xy: left top pixel.
        cover: (h, w) 0..1 of each pixel that it covers, averaged over the shutter.
        change: (h, w) absolute change of brightness in grey levels.
    """

    def __init__(self, xy: tuple[int, int], cover: F32, change: F32) -> None:
        self.xy, self.cover, self.change = xy, cover, change
        self._left = np.ones_like(cover)

    def hide(self, xy: tuple[int, int], cover: U8) -> None:
        """Something that covers (h, w) 0..255 was drawn over the picture at `xy`."""
        height, width = self.cover.shape
        x, y = self.xy[0] - xy[0], self.xy[1] - xy[1]
        x1, y1, x2, y2 = max(0, x), max(0, y), min(cover.shape[1], x + width), min(cover.shape[0], y + height)
        if x2 > x1 and y2 > y1:
            self._left[y1 - y : y2 - y, x1 - x : x2 - x] *= 1 - cover[y1:y2, x1:x2] / np.float32(255)

    def is_seen(self) -> bool:
        """Whether `LEAST_SHARE` of it is not hidden, and some pixel changes by `LEAST_CHANGE` grey levels."""
        whole = float(self.cover.sum())
        share = float((self.cover * self._left).sum()) / max(whole, 1e-6)
        return whole > 0 and share >= LEAST_SHARE and float((self.change * self._left).max()) >= LEAST_CHANGE


def draw_feathers(rng: np.random.Generator, *, plain: bool = False) -> Feathers:
    """Goose feathers as a rule, yellow or white nylon now and then; clean or used, well lit or not.

    With `plain` always clean, white and well lit.
    """
    light = rng.uniform(0.62, 1.15)
    tint = np.array([1.0, 1.0, 0.97]) + rng.normal(0, 0.02, 3)
    if rng.random() < 0.1:
        tint = np.array([1.0, 0.96, 0.42])
    if plain:
        bright = np.ones(3, np.float32)
        return Feathers(0.92 * bright, 1.1 * bright, 0.97)
    cork = np.array([1.0, 0.99, 0.95]) * rng.uniform(0.85, 1.1)
    if rng.random() < 0.1:
        cork = np.array([0.35, 0.75, 0.4])
    return Feathers(
        (tint * light * 0.86).astype(np.float32), (cork * light).astype(np.float32), rng.uniform(0.72, 0.94)
    )


def draw_shuttle(
    picture: U8, camera: Camera, heads: F64, axes: F64, feathers: Feathers, *, scale: float, lens_px: float
) -> Trace | None:
    """Draw the shuttle into `picture`, its light averaged over the moments of an open shutter.

    Args:
        picture: (H, W, 3) uint8, changed in place.
        camera: of this frame.
        heads: (N, 3) places of the cork at equal times of the shutter.
        axes: (N, 3) unit vectors from the skirt to the cork.
        feathers: its look.
        scale: how much larger than life.
        lens_px: sigma of the lens' blur.

    Gives None where nothing of it falls into the picture.
    """
    outlines = [_outline(camera, h, a, scale) for h, a in zip(heads, axes, strict=True)]
    every = np.concatenate([np.concatenate([o.skirt, o.cork]) for o in outlines])
    edge = 3 * lens_px + 1
    low = np.maximum(np.floor(every.min(0) - edge), 0).astype(int)
    high = np.minimum(np.ceil(every.max(0) + edge), camera.size_wh).astype(int)
    if (high - low < 1).any():
        return None
    (x1, y1), (x2, y2) = low.tolist(), high.tolist()
    skirt, cork = _covers(outlines, low, (x2 - x1, y2 - y1))
    skirt *= feathers.cover
    lit = skirt[..., None] * feathers.skirt + cork[..., None] * feathers.cork
    both = cv2.GaussianBlur(np.dstack([lit, skirt + cork]), (0, 0), lens_px, borderType=cv2.BORDER_REPLICATE)
    cover = np.asarray(both[..., 3], dtype=np.float32)
    patch = picture[y1:y2, x1:x2]
    before = patch.astype(np.float32)
    drawn = encoded(linear(patch) * (1 - cover[..., None]) + both[..., :3])
    drawn[cover < 1e-3] = patch[cover < 1e-3]
    change = np.abs((drawn - before) @ np.array([0.21, 0.72, 0.07], np.float32))
    picture[y1:y2, x1:x2] = drawn
    return Trace((x1, y1), cover, change)


@dataclass(frozen=True, slots=True)
class _Outline:
    """One moment in pixels: hull of the skirt (N, 2), ring of the cork (N, 2), whether the cork leads."""

    skirt: F64
    cork: F64
    facing: bool


def _outline(camera: Camera, head: F64, axis: F64, scale: float) -> _Outline:
    """The silhouette, projected as if all of it were as far away as its head."""
    centre, depth = camera.project(head)
    per_metre = camera.pixels(scale, float(depth[0]))
    flat, towards = camera.axes[:2] @ axis, float(camera.axes[2] @ axis)
    across = np.array([-flat[1], flat[0]])
    length = float(np.hypot(*flat))
    across = across / length if length > 1e-6 else np.array([1.0, 0.0])
    along = np.array([across[1], -across[0]])
    circle = np.outer(np.cos(_TURN), across) + np.outer(np.sin(_TURN) * abs(towards), along)
    skirt = np.concatenate(
        [
            -flat * NECK_BACK_M + circle * NECK_M / 2,
            -flat * SKIRT_BACK_M + circle * SKIRT_M / 2,
        ]
    )
    ring = np.column_stack([np.cos(_TURN), np.sin(_TURN)]) * CORK_M / 2
    return _Outline(centre[0] + skirt * per_metre, centre[0] + ring * per_metre, towards < 0.2)


def _covers(outlines: list[_Outline], low: NDArray[np.int_], size_wh: tuple[int, int]) -> tuple[F32, F32]:
    """Parts of each pixel (h, w) that skirt and cork cover on average; one hides the other."""
    width, height = size_wh
    skirt = np.zeros((height * FINE, width * FINE), np.float32)
    cork = np.zeros_like(skirt)
    a, b = np.zeros(skirt.shape, np.uint8), np.zeros(skirt.shape, np.uint8)
    for outline in outlines:
        hull = cv2.convexHull(_fixed(outline.skirt - low))
        ring = _fixed(outline.cork - low)
        a[:], b[:] = 0, 0
        cv2.fillConvexPoly(a, hull, 1, cv2.LINE_8, SHIFT)
        cv2.fillConvexPoly(b, ring, 1, cv2.LINE_8, SHIFT)
        if outline.facing:
            a[b > 0] = 0
        else:
            b[a > 0] = 0
        skirt += a
        cork += b
    shares = [cv2.resize(m, size_wh, interpolation=cv2.INTER_AREA) / len(outlines) for m in (skirt, cork)]
    return np.asarray(shares[0], dtype=np.float32), np.asarray(shares[1], dtype=np.float32)


def _fixed(points: F64) -> NDArray[np.int32]:
    """Continuous pixels as OpenCV's fixed-point pixel centres of the finer grid."""
    return np.asarray(np.rint((points * FINE - 0.5) * (1 << SHIFT)), dtype=np.int32)


def copies(blur_px: float) -> int:
    """How many moments of the shutter to average: one a pixel or so of motion, three at least."""
    return int(np.clip(np.ceil(blur_px * 1.2) + 2, 3, MOST_COPIES))
