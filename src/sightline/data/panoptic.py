"""Panoptic maps: RGB pictures whose R + 256 G + 65536 B numbers a record's annotations from 1; 0 is void."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError
from sightline.core.media import read_map


def segment_numbers(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Numbers (H, W) of a map's colours (H, W, 3)."""
    numbers: NDArray[np.int32] = rgb.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    return numbers


def encode_segments(segments: NDArray[np.int32]) -> bytes:
    """PNG of segments (H, W), index into the annotations, -1 void."""
    numbers = segments.astype(np.int32) + 1
    bgr = np.stack([numbers >> 16 & 255, numbers >> 8 & 255, numbers & 255], axis=-1).astype(np.uint8)
    done, data = cv2.imencode(".png", bgr)
    if not done:
        raise MediaError("a panoptic map cannot be encoded as PNG")
    return data.tobytes()


def renumbered(origin: Path | Callable[[], bytes], kept: Sequence[int], count: int) -> bytes:
    """A map after annotations were dropped.

    Args:
        origin: the map's file, or what makes its bytes.
        kept: old indices of the annotations that are left, in order.
        count: how many there were.
    """
    stored: Any
    if callable(origin):
        data = np.frombuffer(origin(), np.uint8)
        stored = cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    else:
        stored = read_map(origin)
    if stored.ndim != 3:
        raise MediaError("a panoptic map must be an RGB PNG", where=origin)
    new = np.full(count + 1, -1, np.int32)
    new[np.asarray(kept, np.intp) + 1] = np.arange(len(kept))
    numbers = segment_numbers(stored)
    return encode_segments(np.where(numbers <= count, new[np.minimum(numbers, count)], -1))
