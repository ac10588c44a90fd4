"""Which pictures look alike: a perceptual hash to find candidates, and a comparison that confirms them.

The hash is the usual one from the discrete cosine transform: the signs, against their median, of the 64
lowest frequencies of a 32x32 picture. Two pictures whose hashes differ in few of 64 bits *may* be copies;
plain backgrounds, bursts and microscope fields often collide. So every candidate pair is compared again by
the correlation of its fine structure (gradients of a 64x64 picture), where other pictures of the same kind do
not agree but a recompressed, resized or brightened copy does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

HASH_SIDE = 32
THUMB_SIDE = 64
MAX_BITS = 7
BANDS = 4
BAND_BITS = 16
MIN_CONTRAST = 3.0
MIN_CORRELATION = 0.85
MAX_COLOUR = 24
PAIRS_AT_ONCE = 1 << 20

U64 = NDArray[np.uint64]
Pairs = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Look:
    """What is remembered of one picture.

    Attributes:
        hash: 64-bit perceptual hash.
        mirrored: the hash of the picture flipped left to right.
        thumb: (64, 64) uint8 grey.
        colour: (16,) x 3 uint8, mean RGB of a 4x4 grid, as (48,).
    """

    hash: int
    mirrored: int
    thumb: NDArray[np.uint8]
    colour: NDArray[np.uint8]


def look(picture: NDArray[np.uint8]) -> Look:
    """Hash and thumbnail of an upright RGB picture (H, W, 3) of any size."""
    small = cv2.resize(picture, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    colour = np.asarray(cv2.resize(small, (4, 4), interpolation=cv2.INTER_AREA), np.uint8).ravel()
    return Look(perceptual_hash(grey), perceptual_hash(grey[:, ::-1]), grey, colour)


def perceptual_hash(grey: NDArray[Any]) -> int:
    """64-bit hash of a grey picture (H, W)."""
    small = cv2.resize(np.ascontiguousarray(grey), (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(np.asarray(small, np.float32))
    # The mean is left out; one wave of the ninth row takes its place, to make 64.
    low = np.append(waves[:8, :8].ravel()[1:], waves[8, 0])
    bits = low > np.median(low)
    return int(np.packbits(bits).view(">u8")[0])


def near_pairs(hashes: U64, max_bits: int = MAX_BITS) -> Pairs:
    """Index pairs (P, 2), i < j, of every two hashes (N,) that differ in at most `max_bits` <= 7 bits.

    By the pigeonhole: of four bands of 16 bits one differs in at most one bit, so it is enough to look up
    each band and its 16 neighbours. Time grows with the number of pictures and of pairs, not its square.
    Equal hashes are paired along a chain (first with each other one), so that a thousand equal pictures
    give a thousand pairs and not half a million.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    rest = np.flatnonzero(first[inverse] != np.arange(len(hashes)))
    found = [np.stack([first[inverse[rest]], rest], axis=1)]
    found.extend(first[block] for block in _unique_pairs(unique, min(max_bits, MAX_BITS)))
    pairs = np.sort(np.concatenate(found).astype(np.int64), axis=1)
    return np.unique(pairs, axis=0)


def _unique_pairs(hashes: U64, max_bits: int) -> Iterator[Pairs]:
    """Pairs of positions among distinct hashes."""
    flips = [0] + [1 << bit for bit in range(BAND_BITS)]
    for band in range(BANDS):
        keys = (hashes >> np.uint64(BAND_BITS * band)).astype(np.int64) & 0xFFFF
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        for flip in flips:
            wanted = keys ^ flip
            low = np.searchsorted(ordered, wanted, "left")
            high = np.searchsorted(ordered, wanted, "right")
            for left, right in _expanded(low, high):
                a, b = left, order[right]
                keep = a < b
                a, b = a[keep], b[keep]
                close = np.bitwise_count(hashes[a] ^ hashes[b]) <= max_bits
                yield np.stack([a[close], b[close]], axis=1)


def _expanded(low: Pairs, high: Pairs) -> Iterator[tuple[Pairs, Pairs]]:
    """Rows and positions low[row]..high[row]-1, in blocks of bounded size."""
    counts = high - low
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        base = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + PAIRS_AT_ONCE, "right")))
        part = counts[start:stop]
        rows = np.repeat(np.arange(start, stop), part)
        offsets = np.arange(len(rows)) - np.repeat(np.cumsum(part) - part, part)
        yield rows, np.repeat(low[start:stop], part) + offsets
        start = stop


def likeness(a: Look, b: Look, *, mirrored: bool = False) -> float:
    """How alike two pictures are in fine structure, 0..1; 0 where one is too plain or colours differ.

    Correlation of the gradients of the 64x64 thumbnails, at the best shift of at most one pixel.
    """
    thumb, colour = b.thumb, b.colour
    if mirrored:
        thumb = np.ascontiguousarray(thumb[:, ::-1])
        colour = colour.reshape(4, 4, 3)[:, ::-1].ravel()
    if min(float(a.thumb.std()), float(thumb.std())) < MIN_CONTRAST:
        return 0.0
    tone = np.abs(_relative(a.colour) - _relative(colour)).max()
    if tone > MAX_COLOUR:
        return 0.0
    ga, gb = _gradients(a.thumb), _gradients(thumb)
    inner = slice(1, -1)
    core = ga[:, inner, inner].ravel()
    own = float(np.linalg.norm(core))
    span, best = gb.shape[1] - 2, 0.0
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            other = gb[:, dy : span + dy, dx : span + dx].ravel()
            best = max(best, float(core @ other) / max(1e-9, own * float(np.linalg.norm(other))))
    return best


def _relative(colour: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Hue and saturation without brightness: each cell's channels less their mean."""
    cells = colour.reshape(-1, 3).astype(np.float32)
    return np.asarray(cells - cells.mean(axis=1, keepdims=True))


def _gradients(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Derivatives (2, 64, 64), bounded so that one hard edge does not decide."""
    values = cv2.GaussianBlur(grey.astype(np.float32), (3, 3), 0)
    pair = np.stack([cv2.Sobel(values, cv2.CV_32F, 1, 0), cv2.Sobel(values, cv2.CV_32F, 0, 1)])
    limit = 3 * max(1e-6, float(np.abs(pair).mean()))
    return np.asarray(np.clip(pair, -limit, limit), np.float32)
