"""COCO's compressed run lengths: five bits a character, low ones first, as differences two runs back."""

from __future__ import annotations

from collections.abc import Sequence

_FIRST = 48
_MORE, _SIGN, _BITS = 0x20, 0x10, 0x1F


def unpack(text: str) -> list[int]:
    """Run lengths from the compressed string.

    Raises:
        ValueError: a character outside the alphabet, a number cut short, or a negative run.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - _FIRST
        if not 0 <= code < 64:
            raise ValueError(f"character {character!r} is not of the alphabet")
        value |= (code & _BITS) << shift
        shift += 5
        if code & _MORE:
            if shift > 60:
                raise ValueError("a number has too many digits")
            continue
        if code & _SIGN:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        if value < 0:
            raise ValueError(f"run {len(counts)} is negative ({value})")
        counts.append(value)
        value = shift = 0
    if shift:
        raise ValueError("the last number is cut short")
    return counts


def pack(counts: Sequence[int]) -> str:
    """The compressed string of run lengths; `unpack` undoes it."""
    out: list[str] = []
    for index, count in enumerate(counts):
        value = int(count) - (int(counts[index - 2]) if index > 2 else 0)
        while True:
            bits = value & _BITS
            value >>= 5
            done = value == (-1 if bits & _SIGN else 0)
            out.append(chr(_FIRST + (bits if done else bits | _MORE)))
            if done:
                break
    return "".join(out)
