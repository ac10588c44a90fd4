"""Masks that label tools store as a crop at a place, and datasets as run lengths of the whole picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.core.media import MAX_PIXELS
from sightline.core.records import Rle

Mask = NDArray[np.bool_]


def placed(crop: Mask, left: int, top: int, size_wh: tuple[int, int]) -> Rle | None:
    """A crop (h, w) in its place of a picture, what hangs over cut off; None for a picture of no size."""
    width, height = size_wh
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        return None
    whole = np.zeros((height, width), bool)
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + crop.shape[1], width), min(top + crop.shape[0], height)
    if x2 > x1 and y2 > y1:
        whole[y1:y2, x1:x2] = crop[y1 - top : y2 - top, x1 - left : x2 - left]
    return Rle.encode(whole)


def cropped(mask: Rle) -> tuple[int, int, Mask]:
    """Left, top and the smallest crop (h, w) that holds every pixel of a mask; one pixel of an empty one."""
    whole = mask.decode()
    ys, xs = np.flatnonzero(whole.any(axis=1)), np.flatnonzero(whole.any(axis=0))
    if not len(ys):
        return 0, 0, whole[:1, :1]
    return int(xs[0]), int(ys[0]), whole[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
