"""Picture files from strangers: everything that can be known before decoding is checked before decoding."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError
from sightline.core.media import Header, decode_picture, parse_header
from sightline.core.specs import InputSpec
from sightline.serve.options import Limits
from sightline.serve.refusals import Refused

Array = NDArray[Any]

MEDIA_TYPES = {
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/png": "png",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/x-ms-bmp": "bmp",
    "image/tiff": "tiff",
}
# Bodies whose kind the sender does not know; the file says it.
UNTYPED = ("", "application/octet-stream", "image/*", "binary/octet-stream")

# Cameras put more pictures behind the first one; these mark something else that hides there.
_FOREIGN = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"%PDF-",
    b"Rar!\x1a",
    b"7z\xbc\xaf",
    b"\x7fELF",
    b"<script",
    b"<?php",
)
_PADDING = 16
_TAIL = 1 << 16
_PIECE = 1 << 20


def check_picture(data: bytes, limits: Limits, *, declared: str = "", where: str = "picture") -> Header:
    """The header of a picture file that may be decoded.

    Args:
        data: the whole file.
        limits: what it may cost.
        declared: the media type the sender gave, lower case, without parameters.
        where: how a refusal names it.

    Raises:
        Refused: 413 over a limit of size, 415 a kind that is not allowed or not the declared one, 422 not a
            whole picture.
    """
    if declared not in UNTYPED and declared not in MEDIA_TYPES:
        raise Refused(415, "media_type", f"{where}: media type {declared!r} is no picture we read")
    try:
        header = parse_header(data, where=where)
    except MediaError as error:
        raise Refused(422 if not data else 415, "not_a_picture", str(error)) from error
    except (ValueError, OverflowError) as error:
        raise Refused(422, "not_a_picture", f"{where}: header is damaged") from error
    _check_kind(header, limits, declared, where)
    _check_size(header, len(data), limits, where)
    end = _end(data, header, limits, where)
    if end is None:
        raise Refused(422, "truncated", f"{where}: {header.kind} ends before its end mark")
    _check_behind(data, end, header, where)
    return header


def _check_kind(header: Header, limits: Limits, declared: str, where: str) -> None:
    if header.kind and header.kind not in limits.formats:
        allowed = ", ".join(sorted(limits.formats))
        raise Refused(415, "media_type", f"{where}: {header.kind} is not allowed here; allowed: {allowed}")
    if declared in MEDIA_TYPES and header.kind and MEDIA_TYPES[declared] != header.kind:
        raise Refused(415, "media_type", f"{where}: is {header.kind}, declared as {declared}")


def _check_size(header: Header, length: int, limits: Limits, where: str) -> None:
    width, height = header.stored_wh
    if width < 1 or height < 1:
        raise Refused(422, "not_a_picture", f"{where}: header is cut short or names no size")
    pixels = width * height
    if pixels > limits.pixels or max(width, height) > limits.side:
        raise Refused(
            413,
            "too_large",
            f"{where}: is {width}x{height}, the limit is {limits.pixels} pixels and {limits.side} a side",
        )
    if pixels > limits.bomb_pixels and pixels > limits.pixels_per_byte * length:
        raise Refused(
            413,
            "bomb",
            f"{where}: {length} bytes claim {width}x{height}, over {limits.pixels_per_byte} pixels a byte",
        )


def _check_behind(data: bytes, end: int, header: Header, where: str) -> None:
    """Refuse files that are a picture to us and something else to another reader."""
    # Searched from the back, which is four times as fast as from the front in Python's own search.
    foreign = data.find(b"%PDF-", 0, 1024) >= 0 or data.rfind(b"PK\x05\x06", max(0, len(data) - _TAIL)) >= 0
    if len(data) - end > _PADDING:
        behind = data[end:]
        foreign |= header.kind == "png" or any(mark in behind for mark in _FOREIGN)
    if foreign:
        raise Refused(422, "polyglot", f"{where}: is a {header.kind} with another kind of file in it")


def _end(data: bytes, header: Header, limits: Limits, where: str) -> int | None:
    """Where the first picture of the file ends; None where the end is missing."""
    if header.kind == "jpeg":
        return _jpeg_end(data, header.data_start, limits, where)
    if header.kind == "png":
        at = data.rfind(b"IEND")
        return None if at < 0 else at + 8
    if header.kind == "webp":
        end = int.from_bytes(data[4:8], "little") + 8
        return None if end > len(data) else end
    if header.kind == "bmp":
        start = int.from_bytes(data[10:14], "little")
        return None if start >= len(data) else len(data)
    return len(data)


def _jpeg_end(data: bytes, start: int, limits: Limits, where: str) -> int | None:
    """Where the first end mark behind `start` ends, None without one; refuses a file of too many scans.

    A tenth of what `bytes.find` and `bytes.count` take, which the event loop feels; in pieces, so that a
    large file costs no more memory than a small one.
    """
    coded = np.frombuffer(data, np.uint8)
    scans, end = 0, None
    for at in range(start, len(data) - 1, _PIECE):
        piece = coded[at : at + _PIECE + 1]
        marked, kinds = piece[:-1] == 0xFF, piece[1:]
        scans += int(np.count_nonzero(marked & (kinds == 0xDA)))
        if scans > limits.scans:
            raise Refused(413, "too_large", f"{where}: has more than {limits.scans} scans")
        if end is None:
            ends = marked & (kinds == 0xD9)
            first = int(ends.argmax())
            end = at + first + 2 if ends[first] else None
    return end


def decode(data: bytes, spec: InputSpec, limits: Limits, *, where: str = "picture") -> Array:
    """Pixels as an input reads them, of a file that `check_picture` let through.

    Returns:
        `rgb8` (H, W, 3) uint8, `grey8` (H, W) uint8, `depth16` (H, W) uint16 in millimetres.

    Raises:
        Refused: 422, the file is damaged, or its depth is not 16-bit grey.
    """
    if spec.pixels == "depth16":
        return _depth(data, where)
    try:
        pixels = decode_picture(data, where=where, max_pixels=limits.pixels)
    except MediaError as error:
        raise Refused(422, "not_a_picture", str(error)) from error
    grey: Array = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if spec.pixels == "grey8" else pixels
    return grey


def _depth(data: bytes, where: str) -> Array:
    try:
        depth: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise Refused(422, "not_a_picture", f"{where}: cannot be decoded ({error.err})") from error
    if depth is None or depth.dtype != np.uint16 or depth.ndim != 2:
        raise Refused(422, "not_depth", f"{where}: depth must be 16-bit grey, in millimetres")
    found: Array = depth
    return found


def encode(pixels: Array, kind: str, quality: int = 90) -> bytes:
    """RGB pixels (H, W, 3) as a `jpeg`, `png` or `webp` file."""
    options = {"jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality], "webp": [cv2.IMWRITE_WEBP_QUALITY, quality]}
    suffix = ".jpg" if kind == "jpeg" else f".{kind}"
    done, data = cv2.imencode(suffix, np.ascontiguousarray(pixels[:, :, ::-1]), options.get(kind, []))
    if not done:
        raise Refused(422, "bad_input", f"a picture of {pixels.shape[1]}x{pixels.shape[0]} is no {kind}")
    return data.tobytes()
