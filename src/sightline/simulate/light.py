"""Light and the sensor: linear light, exposure, flicker of the lamps, grain.

Pictures are encoded with a plain power of 1/2.2; what is averaged over time or mixed by coverage (motion
blur, the edge of a feather) is averaged in linear light, as a sensor does, and encoded afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

GAMMA = 2.2
MARGIN = 160
_LINEAR = ((np.arange(256) / 255.0) ** GAMMA).astype(np.float32)


def linear(pixels: U8) -> F32:
    """Linear light 0..1 of encoded pixels."""
    return np.asarray(_LINEAR[pixels], dtype=np.float32)


def encoded(light: F32) -> U8:
    """Encoded pixels of linear light; what is brighter than 1 is clipped, as by a sensor."""
    clipped = np.clip(light, 0, 1)
    return np.asarray(np.rint(np.power(clipped, np.float32(1 / GAMMA)) * 255), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a camera adds to the light: a field of grain, flicker, and how sharp its lens is.

    Attributes:
        grain: (H + MARGIN, W + MARGIN, 3) uint8 around 128; each frame sees another part of it.
        gain: (frames,) brightness of each frame.
        lens_px: sigma of the lens' blur in pixels.
    """

    grain: U8
    gain: NDArray[np.float64]
    lens_px: float

    def expose(self, rng: np.random.Generator, picture: U8, frame: int) -> U8:
        """The picture with this frame's gain and grain."""
        height, width = picture.shape[:2]
        x, y = self.skip(rng)
        grain = self.grain[y : y + height, x : x + width]
        return np.asarray(cv2.addWeighted(picture, float(self.gain[frame]), grain, 1.0, -128.0), np.uint8)

    def skip(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw where a frame's grain begins: all that is drawn for a frame, seen or not."""
        x, y = (int(v) for v in rng.integers(0, MARGIN, 2))
        return x, y


def draw_sensor(rng: np.random.Generator, size_wh: tuple[int, int], frames: int, fps: float) -> Sensor:
    """A sensor at random: grain of 1 to 4 grey levels, lamps that flicker at twice the mains' rate."""
    width, height = size_wh
    sigma = np.float32(rng.uniform(0.8, 3.8))
    shape = (height + MARGIN, width + MARGIN)
    luma = rng.standard_normal(shape, np.float32)
    colour = rng.standard_normal((*shape, 3), np.float32)
    field: F32 = sigma * (np.float32(0.85) * luma[..., None] + np.float32(0.5) * colour)
    if size_wh[0] >= 960:
        # Large sensors interpolate their colours: grain is not white.
        field = np.asarray(1.35 * cv2.GaussianBlur(field, (3, 3), 0.55), dtype=np.float32)
    time = np.arange(frames) / fps
    depth = rng.uniform(0, 0.012)
    beat = depth * np.sin(2 * np.pi * rng.choice([100.0, 120.0]) * time + rng.uniform(0, 6.3))
    slow = 0.01 * np.sin(2 * np.pi * rng.uniform(0.05, 0.3) * time)
    gain = 1 + beat + slow + rng.normal(0, 0.002, frames)
    grain = np.clip(np.rint(field + 128), 0, 255).astype(np.uint8)
    return Sensor(grain, gain, float(rng.uniform(0.45, 0.8) * max(0.5, min(1.0, width / 1280))))


def shifted(picture: U8, shift: NDArray[np.float64]) -> U8:
    """The picture moved by (x, y) pixels; its edge is repeated."""
    if not shift.any():
        return picture
    matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    size_wh = (picture.shape[1], picture.shape[0])
    moved = cv2.warpAffine(picture, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)
