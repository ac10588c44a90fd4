"""Reading pictures: one decoder, EXIF orientation applied once, limits checked before decoding.

Pixel limits are read from the file's header, so that a small file cannot ask for a large memory. What
comes out is always upright uint8 RGB (H, W, 3): grey is repeated, alpha is dropped, 16 bits keep
their upper 8, CMYK is converted.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError

MAX_PIXELS = 200_000_000
MAX_SIDE = 65_500
HEADER_BYTES = 1 << 18
WEBP_HAS_EXIF = 0x08
_ORIENTATION = 274
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".ts"})

# What turns stored pixels upright, by EXIF orientation; each undoes how the camera was held.
_UPRIGHT = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[:, ::-1],
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p.swapaxes(0, 1)[::-1],
}


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture file's header says.

    Attributes:
        kind: `jpeg`, `png`, `bmp`, `webp` or `tiff`.
        stored_wh: width and height as stored, before EXIF orientation.
        orientation: EXIF orientation, 1..8; 1 is upright.
        data_start: where coded pixels begin, for the test of truncation (JPEG only, else 0).
    """

    kind: str
    stored_wh: tuple[int, int]
    orientation: int = 1
    data_start: int = 0

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height upright."""
        return self.stored_wh[::-1] if self.orientation >= 5 else self.stored_wh


def probe(path: Path) -> Header:
    """Size and orientation of a picture without decoding it.

    Raises:
        MediaError: absent, empty, not a picture of an allowed kind, or header cut short.
    """
    try:
        with path.open("rb") as file:
            data = file.read(HEADER_BYTES)
            header = parse_header(data, where=path)
            if header.stored_wh == (0, 0):  # the header runs past the first read (a large profile)
                header = parse_header(data + file.read(), where=path)
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", where=path) from error
    if min(header.stored_wh) < 1:
        raise MediaError("header is cut short", where=path)
    return header


def read_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Upright RGB pixels (H, W, 3) uint8 of a picture file.

    Raises:
        MediaError: absent, empty, truncated, over the limit, or not a picture of an allowed kind.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", where=path) from error
    return decode_picture(data, where=path, max_pixels=max_pixels)


def decode_picture(
    data: bytes, *, where: object = "picture", max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Upright RGB pixels (H, W, 3) uint8 from a file's bytes; raises as `read_picture` does."""
    header = parse_header(data, where=where)
    width, height = header.stored_wh
    if width < 1 or height < 1:
        raise MediaError("header is cut short", where=where)
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise MediaError(
            f"is {width}x{height}, over the limit of {max_pixels} pixels and {MAX_SIDE} a side",
            where=where,
            remedy="scale it down, or cut it into tiles",
        )
    check_complete(data, header, where=where)
    if header.kind == "tiff" and header.orientation != 1:
        data = _lying_as_stored(data)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise MediaError(f"cannot be decoded ({error.err})", where=where) from error
    if pixels is None:
        raise MediaError(f"cannot be decoded as {header.kind}", where=where)
    return turn_upright(pixels, header.orientation)


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Stored pixels (H, W, ...) turned by their EXIF orientation, 1..8; a new array unless it is 1."""
    turn = _UPRIGHT.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def read_map(path: Path) -> NDArray[Any]:
    """A dense label picture as stored: (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", where=path) from error
    pixels: Any = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None:
        raise MediaError("cannot be decoded", where=path)
    found: NDArray[Any] = pixels[:, :, 2::-1].copy() if pixels.ndim == 3 else pixels
    return found


def write_picture(path: Path, pixels: NDArray[Any], *, quality: int = 95) -> None:
    """Write RGB (H, W, 3), grey or 16-bit (H, W) pixels; the suffix says the kind.

    Raises:
        MediaError: the suffix names no kind of picture, or the kind cannot hold these pixels.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise MediaError(f"cannot be encoded as {path.suffix!r}", where=path, remedy=f"use {known}")
    bgr = pixels[:, :, ::-1] if pixels.ndim == 3 else pixels
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")  # OpenCV 5 warns where another kind gets its option
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if jpeg else []
    done, data = cv2.imencode(path.suffix, np.ascontiguousarray(bgr), options)
    if not done:
        raise MediaError(f"cannot be encoded as {path.suffix!r}", where=path)
    path.write_bytes(data.tobytes())


def check_complete(data: bytes, header: Header, *, where: object) -> None:
    """Raise MediaError where the coded pixels stop early; decoders fill the rest with grey and go on."""
    if header.kind == "jpeg" and data.rfind(b"\xff\xd9") < header.data_start:
        raise MediaError("is truncated: no end-of-image marker", where=where)
    if header.kind == "png" and data.rfind(b"IEND") < 0:
        raise MediaError("is truncated: no IEND chunk", where=where)


def parse_header(data: bytes, *, where: object = "picture") -> Header:
    """Kind, size and orientation from a file's first bytes; size (0, 0) where they end too soon."""
    if not data:
        raise MediaError("is empty (0 bytes)", where=where)
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _png(data)
        if data[:2] == b"BM":
            width, height = struct.unpack_from("<ii", data, 18)
            return Header("bmp", (width, abs(height)))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            tags = _tiff_tags(data, 0)
            return Header("tiff", (tags.get(256, 0), tags.get(257, 0)), _orientation(tags))
    except (struct.error, IndexError):
        return Header("", (0, 0))
    raise MediaError(f"is no picture we read: it starts with {data[:8]!r}", where=where)


def _jpeg(data: bytes) -> Header:
    """Walk the segments up to the start of scan."""
    at, orientation, size = 2, 1, (0, 0)
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _orientation(_tiff_tags(data[at + 10 : at + 2 + length], 0))
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (width, height)
        if marker == 0xDA:
            return Header("jpeg", size, orientation, at)
        at += 2 + length
    return Header("jpeg", (0, 0), orientation, at)


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    at, orientation = 8, 1
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind == b"eXIf":
            orientation = _orientation(_tiff_tags(data[at + 8 : at + 8 + length], 0))
        at += 12 + length
    return Header("png", (width, height), orientation)


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        if not data[20] & WEBP_HAS_EXIF:
            return Header("webp", (width, height))
        return Header("webp", (width, height), _orientation(_tiff_tags(_webp_exif(data), 0)))
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header("webp", (1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)))
    width, height = struct.unpack_from("<HH", data, 26)
    return Header("webp", (width & 0x3FFF, height & 0x3FFF))


def _webp_exif(data: bytes) -> bytes:
    """The EXIF chunk, which stands behind the pixels; struct.error where the data end before it."""
    at = 12
    while True:
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0")
        at += 8 + length + length % 2


def _tiff_tags(data: bytes, start: int) -> dict[int, int]:
    """Short and long tags of the first directory; damaged EXIF gives none."""
    order = "<" if data[start : start + 2] == b"II" else ">"
    tags: dict[int, int] = {}
    try:
        (at,) = struct.unpack_from(order + "I", data, start + 4)
        (count,) = struct.unpack_from(order + "H", data, start + at)
        for i in range(count):
            tag, kind = struct.unpack_from(order + "HH", data, start + at + 2 + 12 * i)
            code = {3: "H", 4: "I"}.get(kind)
            if code:
                (tags[tag],) = struct.unpack_from(order + code, data, start + at + 10 + 12 * i)
    except struct.error:
        pass
    return tags


def _lying_as_stored(data: bytes) -> bytes:
    """A TIFF whose orientation tag says 1: OpenCV's decoder turns TIFFs by itself, whatever it is told."""
    order = "<" if data[:2] == b"II" else ">"
    patched = bytearray(data)
    with suppress(struct.error):  # a directory cut short: what was found of it is mended
        (at,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            if struct.unpack_from(order + "H", data, entry)[0] == _ORIENTATION:
                struct.pack_into(order + "H", patched, entry + 8, 1)
    return bytes(patched)


def _orientation(tags: dict[int, int]) -> int:
    value = tags.get(_ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1
