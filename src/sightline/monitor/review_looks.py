"""Telling that a picture is in the queue already: hashes to find candidates, fine structure to be sure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.core.likeness import (
    MAX_BITS,
    MIN_CORRELATION,
    THUMB_SIDE,
    Look,
    likeness,
    look,
    perceptual_hash,
)

HASH_BITS = 64
# Where no thumbnail is kept the hash alone decides, and must agree better.
BARE_BITS = 2
_GREY = THUMB_SIDE * THUMB_SIDE


class Looks:
    """Hashes of the items of each model, in memory."""

    def __init__(self) -> None:
        self._hashes: dict[str, dict[int, int]] = {}
        self._arrays: dict[str, tuple[NDArray[np.int64], NDArray[np.uint64]]] = {}

    def knows(self, model: str) -> bool:
        """Whether a model's items were read."""
        return model in self._hashes

    def learn(self, model: str, rows: list[tuple[int, int]]) -> None:
        """Take the numbers and hashes of a model's items."""
        self._hashes[model] = dict(rows)
        self._arrays.pop(model, None)

    def add(self, model: str, number: int, hash: int) -> None:
        """Take one more."""
        self._hashes.setdefault(model, {})[number] = hash
        self._arrays.pop(model, None)

    def drop(self, model: str, number: int) -> None:
        """Forget one."""
        if self._hashes.get(model, {}).pop(number, None) is not None:
            self._arrays.pop(model, None)

    def forget(self) -> None:
        """Forget all: what was written may not have come to be."""
        self._hashes.clear()
        self._arrays.clear()

    def near(self, model: str, hash: int) -> list[int]:
        """Numbers of items whose hash differs in at most `MAX_BITS` bits, the nearest first."""
        if model not in self._arrays:
            known = self._hashes.get(model, {})
            numbers = np.fromiter(known, np.int64, len(known))
            self._arrays[model] = numbers, np.fromiter(known.values(), np.uint64, len(known))
        numbers, hashes = self._arrays[model]
        bits = np.bitwise_count(hashes ^ np.uint64(hash))
        close = np.flatnonzero(bits <= MAX_BITS)
        return [int(n) for n in numbers[close[np.argsort(bits[close], kind="stable")]]]


def look_of(picture: NDArray[np.uint8]) -> tuple[int, bytes]:
    """Hash of a picture (H, W, 3) or (H, W), and the thumbnail that confirms a likeness."""
    rgb = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    seen = look(np.ascontiguousarray(rgb))
    return seen.hash, seen.thumb.tobytes() + seen.colour.tobytes()


def alike(hash_a: int, thumb_a: bytes, hash_b: int, thumb_b: bytes) -> bool:
    """Whether two pictures show the same; a plain picture only where the hashes are one."""
    bits = (hash_a ^ hash_b).bit_count()
    if not thumb_a or not thumb_b:
        return bits <= BARE_BITS
    return thumb_a == thumb_b or (
        bits <= MAX_BITS and likeness(_look(thumb_a), _look(thumb_b)) >= MIN_CORRELATION
    )


def _look(thumb: bytes) -> Look:
    grey = np.frombuffer(thumb[:_GREY], np.uint8).reshape(THUMB_SIDE, THUMB_SIDE)
    colour = np.frombuffer(thumb[_GREY:], np.uint8)
    return Look(perceptual_hash(grey), 0, grey, colour)


def signed(hash: int) -> int:
    """A hash as the signed number that databases hold."""
    return hash - (1 << HASH_BITS) if hash >> (HASH_BITS - 1) else hash
