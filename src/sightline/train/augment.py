"""Random change as two matrices: one moves the pixels and the labels, one changes the colours.

Everything is drawn from (seed, epoch, index, repeat), so that any element of any epoch can be made
again, in any order, by any worker: that is what exact resume stands on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.geometry import Matrix, compose, identity
from sightline.core.problem import AugmentSection

Array = NDArray[Any]
Colour = NDArray[np.float32]
Random = np.random.Generator

GREY = (0.299, 0.587, 0.114)  # BT.601 luma of RGB
MIDDLE = 127.5

NO_CHANGE = AugmentSection(flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0)

# RGB to YIQ, for hue as a rotation of the chroma plane.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_RGB = np.linalg.inv(_YIQ)


@dataclass(frozen=True, slots=True)
class Move:
    """Geometric change in units of the canvas, so that inputs of several sizes move alike.

    Attributes:
        flip_x: -1 mirrors left and right, 1 does not.
        flip_y: -1 mirrors top and bottom.
        degrees: rotation, clockwise on the screen.
        scale: enlargement about the centre.
        shear_xy: degrees along x and y.
        shift_xy: translation in shares of width and height.
    """

    flip_x: float = 1.0
    flip_y: float = 1.0
    degrees: float = 0.0
    scale: float = 1.0
    shear_xy: tuple[float, float] = (0.0, 0.0)
    shift_xy: tuple[float, float] = (0.0, 0.0)

    def matrix(self, size_wh: tuple[int, int]) -> Matrix:
        """The change about the centre of a canvas, as a matrix from it to itself."""
        if self == Move():
            return identity()
        centre = np.array(size_wh, dtype=np.float64) / 2
        turn = math.radians(self.degrees)
        rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        shear = np.array([[1.0, math.tan(math.radians(self.shear_xy[0]))], [0.0, 1.0]])
        shear = np.array([[1.0, 0.0], [math.tan(math.radians(self.shear_xy[1])), 1.0]]) @ shear
        linear = self.scale * rotate @ shear @ np.diag([self.flip_x, self.flip_y])
        offset = centre - linear @ centre + np.array(self.shift_xy) * np.array(size_wh)
        return np.column_stack([linear, offset])


@dataclass(frozen=True, slots=True)
class Draw:
    """What is done to one source picture.

    Attributes:
        move: geometric change on the placed canvas.
        colour: (3, 4) f32 on RGB in 0..255, or None for no change.
        noise: standard deviation of Gaussian noise in grey levels, 0 for none.
        noise_seed: seed of that noise.
        still: whether a clip shows its current frame throughout.
    """

    move: Move = Move()
    colour: Colour | None = None
    noise: float = 0.0
    noise_seed: int = 0
    still: bool = False


def generator(seed: int, epoch: int, index: int, repeat: int = 0) -> Random:
    """The random numbers of one element of one epoch; `repeat` counts its earlier uses in that epoch.

    The first word of the counter is the generator's own, so that streams never overlap.
    """
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, epoch, index, repeat]))


def draw(random: Random, section: AugmentSection) -> Draw:
    """Draw one change from the ranges of a section."""
    flips = random.random(2)
    spread = random.uniform(-1.0, 1.0, 9)
    quarter = int(random.integers(0, 4)) if random.random() < section.rotate90 else 0
    low, high = np.log(section.scale)
    move = Move(
        flip_x=-1.0 if flips[0] < section.flip else 1.0,
        flip_y=-1.0 if flips[1] < section.flip_vertical else 1.0,
        degrees=float(spread[0]) * section.rotate + 90.0 * quarter,
        scale=float(np.exp(random.uniform(low, high))),
        shear_xy=(float(spread[1]) * section.shear, float(spread[2]) * section.shear),
        shift_xy=(float(spread[3]) * section.translate, float(spread[4]) * section.translate),
    )
    colour = colour_matrix(
        brightness=1.0 + float(spread[5]) * section.brightness,
        contrast=1.0 + float(spread[6]) * section.contrast,
        saturation=1.0 + float(spread[7]) * section.saturation,
        hue=float(spread[8]) * section.hue,
    )
    drawn, noise_seed = float(random.uniform(0, section.noise or 1.0)), int(random.integers(1 << 31))
    noise = drawn if section.noise_strength == "random" else section.noise
    # Drawn only where it is asked for: what was drawn without it stays what it was.
    still = bool(section.still) and bool(random.random() < section.still)
    return Draw(move, colour, noise if section.noise else 0.0, noise_seed, still)


def colour_matrix(
    *, brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0, hue: float = 0.0
) -> Colour | None:
    """One (3, 4) matrix on RGB in 0..255, or None where nothing changes.

    Hue (degrees) turns the chroma, saturation blends with the grey of each pixel, contrast with
    middle grey, brightness multiplies; they act in that order.
    """
    if brightness == contrast == saturation == 1.0 and hue == 0.0:
        return None
    linear = np.eye(3)
    if hue:
        turn = math.radians(hue)
        chroma = np.eye(3)
        chroma[1:, 1:] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        linear = _RGB @ chroma @ _YIQ
    grey = np.tile(np.array(GREY), (3, 1))
    linear = (saturation * np.eye(3) + (1.0 - saturation) * grey) @ linear
    linear = brightness * contrast * linear
    offset = np.full((3, 1), brightness * (1.0 - contrast) * MIDDLE)
    return np.hstack([linear, offset]).astype(np.float32)


def recolour(picture: Array, change: Draw) -> Array:
    """Apply the colours and the noise of a draw to uint8 RGB (H, W, 3) or grey (H, W).

    Grey takes the matrix's mean row, so that brightness and contrast reach it; other types pass.
    """
    if picture.dtype != np.uint8:
        return picture
    out: Array = picture
    if change.colour is not None:
        if picture.ndim == 3:
            out = cv2.transform(picture, change.colour)
        else:
            gain, offset = float(change.colour[:, :3].sum() / 3), float(change.colour[:, 3].mean())
            levels = np.clip(np.arange(256) * gain + offset, 0, 255).round().astype(np.uint8)
            out = cv2.LUT(picture, levels)
    return _noisy(out, change) if change.noise else out


def _noisy(picture: Array, change: Draw) -> Array:
    """Add Gaussian noise; OpenCV's generator is seeded for this picture alone."""
    cv2.setRNGSeed(change.noise_seed)
    noise = np.empty((picture.shape[0], picture.size // picture.shape[0]), np.int16)
    cv2.randn(noise, np.zeros(1), np.full(1, change.noise))
    out: Array = cv2.add(picture, noise.reshape(picture.shape), dtype=cv2.CV_8U)
    return out


def perturbed(
    track: NDArray[np.float32], size_wh: tuple[int, int], random: Random, section: AugmentSection
) -> NDArray[np.float32]:
    """A track's rows (T, 3) of (x, y, visible) as a model's own past answers might have left them.

    Seen rows tremble, drop out (all zero), or lie anywhere in the picture; hidden rows stay hidden.
    """
    noise = random.normal(0, 1, (len(track), 2)) * section.track_noise
    chance, anywhere = random.random(len(track)), random.uniform(0, 1, (len(track), 2)) * size_wh
    wrong = chance > 1 - section.track_wrong
    out = track.copy()
    out[:, :2] = np.where(wrong[:, None], anywhere, track[:, :2] + noise)
    out[(track[:, 2] == 0) | (chance < section.track_drop)] = 0
    return out


def on_canvas(placed: Matrix, move: Move, size_wh: tuple[int, int]) -> Matrix:
    """One matrix from the source picture to the changed canvas: placing, then moving."""
    return compose(placed, move.matrix(size_wh))
