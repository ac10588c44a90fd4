"""Label Studio's brush masks: a stream of bits, run lengths of the four channels of each pixel.

The stream, most significant bit first: the number of values (32 bits); the bits of a value less one (5
bits); four lengths of length fields, each less one (4 bits each). Then blocks up to the number of values:
one bit that says whether the block is a run, two bits that choose the length field, the block's length
less one in that field, and one value for a run or all of them otherwise. Values are the pixels' red,
green, blue, alpha, row by row; alpha is the mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import FormatError

CHANNELS = 4
HALF = 128
_FIELDS = (3, 4, 8, 16)


def decode(data: bytes, size_wh: tuple[int, int], *, where: object = "rle") -> NDArray[np.bool_]:
    """The mask (H, W): where alpha is at least half.

    Raises:
        FormatError: the stream is cut short, or is of another size than `size_wh`.
    """
    width, height = size_wh
    bits = _Bits(data, where)
    count, word = bits.take(32), bits.take(5) + 1
    fields = [bits.take(4) + 1 for _ in range(4)]
    if count != width * height * CHANNELS:
        raise FormatError(
            f"holds {count} values, {width}x{height} pixels have {width * height * 4}", where=where
        )
    values = np.zeros(count, np.uint32)
    at = 0
    while at < count:
        run = bits.take(1)
        end = at + 1 + bits.take(fields[bits.take(2)])
        if end > count:
            raise FormatError(f"runs past its end by {end - count} values", where=where)
        values[at:end] = bits.take(word) if run else bits.words(end - at, word)
        at = end
    return values[3::CHANNELS].reshape(height, width) >= HALF


def encode(mask: NDArray[np.bool_]) -> list[int]:
    """The stream as a list of bytes, from a mask (H, W); what `decode` reads and the server draws."""
    flat = np.repeat(np.asarray(mask, bool).ravel(), CHANNELS)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    blocks = [f"{flat.size:032b}", f"{7:05b}", *(f"{field - 1:04b}" for field in _FIELDS)]
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        value = "11111111" if flat[start] else "00000000"
        while start < end:
            length = min(end - start, 1 << _FIELDS[-1])
            blocks.append(_run(length) + value)
            start += length
    text = "".join(blocks)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _run(length: int) -> str:
    """The head of a run in the shortest field that holds its length."""
    index = next(i for i, field in enumerate(_FIELDS) if length <= 1 << field)
    return f"1{index:02b}{length - 1:0{_FIELDS[index]}b}"


class _Bits:
    """Reads a stream from its most significant bit."""

    def __init__(self, data: bytes, where: object) -> None:
        self.data, self.at, self.where = data, 0, where

    def take(self, count: int) -> int:
        self._check(count)
        first, last = self.at // 8, (self.at + count + 7) // 8
        window = int.from_bytes(self.data[first:last], "big")
        self.at += count
        return (window >> (last * 8 - self.at)) & ((1 << count) - 1)

    def words(self, count: int, bits: int) -> NDArray[np.uint32]:
        """`count` values of so many bits each."""
        self._check(count * bits)
        first, last = self.at // 8, (self.at + count * bits + 7) // 8
        unpacked = np.unpackbits(np.frombuffer(self.data[first:last], np.uint8))
        skip = self.at - first * 8
        rows = unpacked[skip : skip + count * bits].reshape(count, bits).astype(np.uint32)
        self.at += count * bits
        weights = (1 << np.arange(bits - 1, -1, -1, dtype=np.uint64)).astype(np.uint32)
        found: NDArray[np.uint32] = (rows * weights).sum(axis=1, dtype=np.uint32)
        return found

    def _check(self, count: int) -> None:
        if self.at + count > len(self.data) * 8:
            raise FormatError(f"is cut short after {len(self.data)} bytes", where=self.where)
