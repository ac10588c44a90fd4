"""A picture as the review store may keep it: as it was sent, blurred, or not at all."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError
from sightline.monitor.review_items import Privacy

Array = NDArray[Any]

# A blurred picture is this many pixels on its longer side before it is drawn out again.
BLURRED_TO = 16
SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp", b"BM": ".bmp"}


def stored(data: bytes, pixels: Array, privacy: Privacy) -> tuple[bytes, str]:
    """A picture as it is stored, and its suffix: the file as it was sent, a blurred JPEG, or nothing.

    Args:
        data: the file as it was sent; empty for a bare tensor, which is kept as PNG.
        pixels: the picture (H, W, 3) or (H, W).
        privacy: what may be kept.
    """
    if privacy == "results":
        return b"", ""
    if privacy == "blur":
        return _encoded(blurred(eight_bits(pixels)), ".jpg"), ".jpg"
    suffix = SUFFIXES.get(data[:2], "") if data else ""
    return (data, suffix) if suffix else (_encoded(pixels, ".png"), ".png")


def blurred(pixels: Array) -> Array:
    """A picture of the same size in which nobody can be known: at most `BLURRED_TO` cells on a side."""
    height, width = pixels.shape[:2]
    scale = BLURRED_TO / max(height, width, BLURRED_TO)
    small_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, small_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def eight_bits(pixels: Array) -> NDArray[np.uint8]:
    """Pixels as uint8; 16 bits lose their lower half."""
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else np.asarray(pixels, np.uint8)


def _encoded(pixels: Array, suffix: str) -> bytes:
    bgr = pixels[:, :, ::-1] if pixels.ndim == 3 else pixels
    done, data = cv2.imencode(suffix, np.ascontiguousarray(bgr))
    if not done:
        raise MediaError(f"a picture of shape {pixels.shape} cannot be stored as {suffix}")
    return bytes(data)
