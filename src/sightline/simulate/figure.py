"""A player in the picture: limbs, clothes, racket and shadow."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.simulate.camera import Camera
from sightline.simulate.light import GAMMA
from sightline.simulate.players import Colour, Outfit, Pose

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

SHIFT = 4
ONE = 1 << SHIFT
SHOULDER_Z, HIP_Z = 1.42, 0.92
RACKET_M = 0.56
STRINGS = 46
METAL = (206, 206, 212)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A layer in the picture: left top pixel of the patch, how much of each pixel it covers (h, w) 0..255."""

    xy: tuple[int, int]
    cover: U8


def vec(x: float, y: float, z: float) -> F64:
    """A place or a way in space, metres."""
    return np.array([x, y, z])


class Painter:
    """Draws one player, with one outfit, in one hall's light."""

    def __init__(self, rng: np.random.Generator, outfit: Outfit, light: float) -> None:
        self._outfit, self._light = outfit, light ** (1 / GAMMA)
        rough = rng.standard_normal((40, 20), np.float32)
        soft = cv2.resize(rough, (160, 320), interpolation=cv2.INTER_CUBIC)
        self._folds = np.clip(np.rint(128 + 13 * soft), 0, 255).astype(np.uint8)

    def draw(self, picture: U8, camera: Camera, pose: Pose, arms: list[Pose]) -> Drawn | None:
        """Shadow, legs, trunk, head, and the racket arm averaged over the poses `arms` of the open shutter.

        Changes `picture` in place; None where no part of the player falls into it.
        """
        ends, depth = camera.project(np.stack([pose.feet, pose.feet + vec(0, 0, 2.0)]))
        metre = camera.pixels(1.0, float(depth[0]))
        rackets = camera.project(np.stack([p.racket for p in arms]))[0]
        box = np.vstack(
            [ends - 0.65 * metre, ends + 0.65 * metre, rackets - 0.3 * metre, rackets + 0.3 * metre]
        )
        low = np.maximum(np.floor(box.min(0)), 0).astype(int)
        high = np.minimum(np.ceil(box.max(0)), camera.size_wh).astype(int)
        if (high - low < 2).any():
            return None
        patch = picture[low[1] : high[1], low[0] : high[0]]
        _shadow(patch, camera, pose.feet, low)
        body = Brush(camera, low, patch.shape[:2])
        self._body(body, pose)
        cover = body.lay_over(patch, self._folds)
        arm = self._arms(camera, low, patch.shape[:2], pose, arms)
        cover = np.maximum(cover, arm.lay_over(patch, self._folds))
        return Drawn((int(low[0]), int(low[1])), cover)

    def _arms(
        self, camera: Camera, low: NDArray[np.int_], shape: tuple[int, ...], pose: Pose, arms: list[Pose]
    ) -> Brush:
        """The arm over the open shutter: covers and colours averaged."""
        brushes = []
        for one in arms:
            brush = Brush(camera, low, shape)
            self._arm(brush, pose, one)
            brushes.append(brush)
        return brushes[0] if len(brushes) == 1 else Brush.mean(brushes)

    def _lit(self, colour: Colour) -> Colour:
        r, g, b = (int(min(255, v * self._light)) for v in colour)
        return r, g, b

    def _body(self, brush: Brush, pose: Pose) -> None:
        tall = self._outfit.tall / 1.75
        x, y, _ = pose.feet
        lean = -0.06 if pose.side else 0.06
        hip = np.array([x, y, (HIP_Z - 0.04 * min(pose.pace, 4.0)) * tall])
        neck = hip + np.array([0.02 * np.sin(6.3 * pose.stride), lean, 0.52 * tall])
        for sign in (-1, 1):
            self._leg(brush, pose, hip, sign, lean)
        self._trunk(brush, hip, neck, -1.0 if pose.racket[0] >= x else 1.0, lean)
        head = neck + np.array([0, 0, 0.19 * tall])
        brush.limb(neck, neck + vec(0, 0, 0.08), 0.05, 0.05, self._lit(self._outfit.skin))
        face = self._outfit.skin if pose.side else self._outfit.hair
        brush.limb(head, head + vec(0, 0, 0.03), 0.095, 0.095, self._lit(face))
        brush.limb(head + vec(0, 0, 0.06), head + vec(0, 0, 0.07), 0.09, 0.088, self._lit(self._outfit.hair))

    def _leg(self, brush: Brush, pose: Pose, hip: F64, sign: int, lean: float) -> None:
        o = self._outfit
        wide = min(0.32, 0.14 + 0.05 * pose.pace)
        step = min(0.45, 0.12 * pose.pace) * float(np.sin(2 * np.pi * pose.stride))
        lift = max(0.0, 0.06 * min(pose.pace, 3.0) * sign * float(np.cos(2 * np.pi * pose.stride)))
        foot = pose.feet + vec(sign * wide + 0.4 * sign * abs(step), sign * step, 0.06 + lift)
        knee = (hip + foot) / 2 + vec(0.04 * sign, -2.0 * lean, 0.02)
        side = hip + vec(0.09 * sign, 0, -0.02)
        brush.limb(side, knee, 0.085, 0.06, self._lit(o.skin))
        brush.limb(knee, foot, 0.058, 0.04, self._lit(o.skin))
        brush.limb(foot, foot + vec(0.0, 1.6 * lean, -0.02), 0.05, 0.045, self._lit(o.shoes))
        brush.limb(side + vec(0, 0, 0.04), (side + knee) / 2, 0.12, 0.10, self._lit(o.shorts))

    def _trunk(self, brush: Brush, hip: F64, neck: F64, other: float, lean: float) -> None:
        """Shirt, and the arm that holds no racket, on the side `other` (-1 or 1 along x)."""
        o = self._outfit
        shoulder = neck - vec(0, 0, 0.06)
        brush.limb(hip, hip + (shoulder - hip) * 0.75, 0.15, 0.185, self._lit(o.shirt))
        for sign in (-1, 1):
            brush.limb(shoulder, shoulder + vec(0.17 * sign, 0, -0.02), 0.08, 0.07, self._lit(o.shirt))
        if o.stripe is not None:
            middle = hip + (shoulder - hip) * 0.62
            brush.limb(middle - vec(0.13, 0, 0), middle + vec(0.13, 0, 0), 0.035, 0.035, self._lit(o.stripe))
        upper = shoulder + vec(0.2 * other, 0, -0.02)
        elbow = upper + vec(0.12 * other, 0.02, -0.22)
        brush.limb(upper, elbow, 0.055, 0.04, self._lit(o.skin))
        brush.limb(elbow, elbow + vec(0.06 * other, 3 * lean, 0.18), 0.04, 0.03, self._lit(o.skin))

    def _arm(self, brush: Brush, body: Pose, arm: Pose) -> None:
        """Upper arm, forearm, shaft and frame, from the shoulder to the racket's head."""
        o, tall = self._outfit, self._outfit.tall / 1.75
        across = 1.0 if body.racket[0] >= body.feet[0] else -1.0
        x, y, _ = body.feet
        shoulder = np.array([x + 0.18 * across, y, (SHOULDER_Z - 0.05 * min(body.pace, 4.0)) * tall])
        away = arm.racket - shoulder
        far = max(float(np.linalg.norm(away)), 1e-6)
        hand = shoulder + away / far * float(np.clip(far - RACKET_M, 0.12, 0.66))
        bend = float(np.sqrt(max(0.0, 0.34**2 - (float(np.linalg.norm(hand - shoulder)) / 2) ** 2)))
        elbow = (shoulder + hand) / 2 + vec(0.5 * bend * across, 0.0, -0.8 * bend)
        brush.limb(shoulder, elbow, 0.052, 0.042, self._lit(o.skin))
        brush.limb(shoulder, (shoulder + elbow) / 2, 0.075, 0.066, self._lit(o.shirt))
        brush.limb(elbow, hand, 0.042, 0.032, self._lit(o.skin))
        # A shuttle out of reach is missed: arm and racket are as long as they are.
        head = shoulder + away / far * min(far, float(np.linalg.norm(hand - shoulder)) + RACKET_M)
        brush.racket(hand, head, self._lit(METAL))


class Brush:
    """A patch that limbs are painted into, and a mask of what they cover."""

    def __init__(self, camera: Camera, low: NDArray[np.int_], shape: tuple[int, ...]) -> None:
        self._camera, self._low = camera, low
        self.paint = np.zeros((shape[0], shape[1], 3), np.uint8)
        self.mask = np.zeros((shape[0], shape[1]), np.uint8)

    @classmethod
    def mean(cls, brushes: list[Brush]) -> Brush:
        """Several moments as one: covers averaged, colours averaged by what they cover."""
        first = brushes[0]
        out = cls(first._camera, first._low, first.mask.shape)
        weights = [b.mask.astype(np.float32) for b in brushes]
        total = np.sum(weights, axis=0)
        colours = np.sum([b.paint * w[..., None] for b, w in zip(brushes, weights, strict=True)], axis=0)
        out.paint = (colours / np.maximum(total, 1)[..., None]).astype(np.uint8)
        out.mask = (total / len(brushes)).astype(np.uint8)
        return out

    def limb(self, a: F64, b: F64, a_m: float, b_m: float, colour: Colour) -> None:
        """A rounded, tapered bar between two points in space, with radii in metres."""
        pixels, depth = self._camera.project(np.stack([a, b]))
        ends = (pixels - self._low - 0.5) * ONE
        radii = [
            max(0.4, self._camera.pixels(r, float(d))) * ONE for r, d in zip((a_m, b_m), depth, strict=True)
        ]
        way = ends[1] - ends[0]
        length = float(np.hypot(*way))
        if length > 2:
            side = np.array([-way[1], way[0]]) / length
            corners = [ends[0] + side * radii[0], ends[1] + side * radii[1]]
            corners += [ends[1] - side * radii[1], ends[0] - side * radii[0]]
            ring = np.rint(corners).astype(np.int32)
            cv2.fillConvexPoly(self.paint, ring, colour, cv2.LINE_8, SHIFT)
            cv2.fillConvexPoly(self.mask, ring, (255,), cv2.LINE_8, SHIFT)
        for point, radius in zip(ends, radii, strict=True):
            x, y = (int(v) for v in np.rint(point))
            cv2.circle(self.paint, (x, y), round(radius), colour, -1, cv2.LINE_8, SHIFT)
            cv2.circle(self.mask, (x, y), round(radius), (255,), -1, cv2.LINE_8, SHIFT)

    def racket(self, hand: F64, head: F64, colour: Colour) -> None:
        """Shaft, frame and the veil of strings."""
        pixels, depth = self._camera.project(np.stack([hand, head]))
        ends = (pixels - self._low - 0.5) * ONE
        metre = self._camera.pixels(1.0, float(depth[1])) * ONE
        thick = max(1, round(0.012 * metre / ONE))
        way = ends[1] - ends[0]
        along = way / max(float(np.hypot(*way)), 1e-6)
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        across = np.array([-along[1], along[0]])
        oval = np.outer(np.cos(turn) * 0.14, along) + np.outer(np.sin(turn) * 0.10, across)
        ring = np.rint(ends[1] + oval * metre).astype(np.int32)
        rim = np.rint(ends[1] - along * 0.14 * metre).astype(int).tolist()
        grip = np.rint(ends[0]).astype(int).tolist()
        bare = self.mask == 0
        cv2.fillPoly(self.mask, [ring], (STRINGS,), cv2.LINE_8, SHIFT)
        self.mask[~bare] = 255
        # Its colour lies under its soft edges too, yet nowhere else: the arm's edges keep the arm's.
        under = np.zeros_like(self.mask)
        cv2.fillPoly(under, [ring], (255,), cv2.LINE_8, SHIFT)
        cv2.line(under, grip, rim, (255,), thick + 2, cv2.LINE_8, SHIFT)
        cv2.polylines(under, [ring], True, (255,), thick + 2, cv2.LINE_8, SHIFT)
        self.paint[bare & (under > 0)] = colour
        for canvas, value in ((self.paint, colour), (self.mask, (255,))):
            cv2.line(canvas, grip, rim, value, thick, cv2.LINE_AA, SHIFT)
            cv2.polylines(canvas, [ring], True, value, thick, cv2.LINE_AA, SHIFT)

    def lay_over(self, patch: U8, folds: U8) -> U8:
        """Lay what was painted over `patch`, with the folds of cloth as shade; gives how much it covers."""
        height, width = self.mask.shape
        fold = cv2.resize(folds, (width, height), interpolation=cv2.INTER_LINEAR)
        # Colours reach one pixel past the mask, so that its soft edge does not show the black behind them.
        wide = cv2.dilate(self.paint, np.ones((3, 3), np.uint8))
        self.paint[self.mask == 0] = wide[self.mask == 0]
        shaded = cv2.multiply(self.paint, cv2.merge([fold, fold, fold]), scale=1 / 128)
        cover = cv2.GaussianBlur(self.mask, (3, 3), 0.8)
        blend(patch, np.asarray(shaded, dtype=np.uint8), np.asarray(cover, dtype=np.uint8))
        return np.asarray(cover, dtype=np.uint8)


def blend(patch: U8, over: U8, cover: U8) -> None:
    """Mix `over` into `patch` by `cover` (h, w) 0..255, in place."""
    wide = cv2.merge([cover, cover, cover])
    kept = cv2.multiply(patch, cv2.bitwise_not(wide), scale=1 / 255)
    laid = cv2.multiply(over, wide, scale=1 / 255)
    patch[:] = cv2.add(kept, laid)


def _shadow(patch: U8, camera: Camera, feet: F64, low: NDArray[np.int_]) -> None:
    """A soft dark patch on the floor."""
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    for wide, strength in ((0.45, 0.92), (0.30, 0.86)):
        ring = feet + np.column_stack([np.cos(turn) * wide, np.sin(turn) * wide * 1.3, np.full(20, 0.0)])
        pixels, _ = camera.project(ring)
        fixed = np.rint((pixels - low - 0.5) * ONE).astype(np.int32)
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, fixed, (255,), cv2.LINE_AA, SHIFT)
        soft = max(1.0, camera.pixels(0.06, float(camera.project(feet)[1][0])))
        x, y, w, h = cv2.boundingRect(mask)
        if w == 0 or h == 0:
            return
        region, part = patch[y : y + h, x : x + w], mask[y : y + h, x : x + w]
        blurred = cv2.GaussianBlur(part, (0, 0), min(soft, 6.0), borderType=cv2.BORDER_CONSTANT)
        dark = 1 - (1 - strength) * (blurred.astype(np.float32) / 255)[..., None]
        region[:] = (region * dark).astype(np.uint8)
