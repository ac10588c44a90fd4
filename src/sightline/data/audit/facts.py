"""What is true of every media file: whether it decodes, its size, its content's hash, what it looks like.

One pass over the files serves the audit, the split and the leakage count. It is kept in the dataset's
`cache/` folder; a file whose length or time changed is read again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError, SightlineError
from sightline.core.frames import FrameReader
from sightline.core.likeness import Look, look
from sightline.core.media import (
    MAX_PIXELS,
    VIDEO_SUFFIXES,
    Header,
    check_complete,
    parse_header,
    turn_upright,
)
from sightline.core.records import Record
from sightline.data.audit.facts_cache import load_facts, save_facts

Progress = Callable[[str, int, int], None]

FRAMES_A_VIDEO = 64
BATCH = 512
SMALLEST_LOOK = 128


@dataclass(frozen=True, slots=True)
class Facts:
    """What one picture file or one video frame is.

    Attributes:
        fault: empty, or `missing`, `not-fetched`, `empty`, `truncated`, `unreadable`, `frame-missing`.
        detail: the fault in words.
        size_wh: upright, in pixels; (0, 0) where it cannot be read.
        orientation: EXIF orientation, 1 is upright.
        digest: hash of the file's bytes (pictures) or of the frame's pixels; empty where faulty.
        look: hash and thumbnail; None where faulty or not asked for.
        stamp: length and time of the file, to see whether it changed.
    """

    fault: str = ""
    detail: str = ""
    size_wh: tuple[int, int] = (0, 0)
    orientation: int = 1
    digest: str = ""
    look: Look | None = None
    stamp: str = ""


def media_facts(
    dataset: Any, records: Iterable[Record] | None = None, *, progress: Progress | None = None
) -> dict[str, Facts]:
    """Facts by record id.

    Of a video at most 64 frames, evenly chosen, are decoded; the others get its size only.

    Args:
        dataset: an open dataset.
        records: which; all by default.
        progress: called with stage, done and total.
    """
    chosen = list(dataset.records if records is None else records)
    cache = Path(dataset.root) / "cache" / "media-facts.npz"
    known = load_facts(cache)
    facts: dict[str, Facts] = {}
    videos: dict[str, list[Record]] = {}
    pictures: list[Record] = []
    for record in chosen:
        still = not record.media.lower().endswith(tuple(VIDEO_SUFFIXES))
        pictures.append(record) if still else videos.setdefault(record.media, []).append(record)
    fresh = False
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(pictures), BATCH):
            batch = pictures[start : start + BATCH]
            found = pool.map(lambda r: picture_facts(_path(dataset, r.media), known.get(r.id)), batch)
            for record, fact in zip(batch, found, strict=True):
                fresh = fresh or fact is not known.get(record.id)
                facts[record.id] = fact
            if progress is not None:
                progress("pictures", len(facts), len(chosen))
    for media, frames in videos.items():
        made = video_facts(_path(dataset, media), frames, known)
        fresh = fresh or any(made[r.id] is not known.get(r.id) for r in frames)
        facts |= made
        if progress is not None:
            progress("pictures", len(facts), len(chosen))
    if fresh:
        with suppress(OSError, SightlineError):  # a read-only dataset is read again next time
            save_facts(cache, {**known, **facts})
    return facts


def _path(dataset: Any, media: str) -> Path | MediaError:
    try:
        path: Path = dataset.media_path(media)
    except SightlineError as error:
        return MediaError(error.what, where=media)
    return path


def stamp_of(path: Path) -> str:
    """Length and time of a file; empty where it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def picture_facts(path: Path | MediaError, known: Facts | None = None) -> Facts:
    """Read one picture file; `known` is given back where the file has not changed."""
    if isinstance(path, MediaError):
        return Facts("not-fetched", path.what)
    stamp = stamp_of(path)
    if known is not None and stamp and known.stamp == stamp:
        return known
    if not stamp:
        return Facts("missing", "file is absent")
    try:
        data = path.read_bytes()
        header = parse_header(data, where=path)
        small = _decoded(data, header, path)
    except OSError as error:
        return Facts("unreadable", f"cannot be read ({error.strerror})", stamp=stamp)
    except MediaError as error:
        return Facts(_fault(error, data), error.what, stamp=stamp)
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    return Facts("", "", header.size_wh, header.orientation, digest, look(small), stamp)


def _fault(error: MediaError, data: bytes) -> str:
    if not data:
        return "empty"
    return "truncated" if "truncated" in error.what or "cut short" in error.what else "unreadable"


def _decoded(data: bytes, header: Header, path: Path) -> NDArray[np.uint8]:
    """Upright RGB, reduced while decoding where the picture is large."""
    width, height = header.stored_wh
    if min(width, height) < 1:
        raise MediaError("header is cut short", where=path)
    if width * height > MAX_PIXELS:
        raise MediaError(f"is {width}x{height}, over the limit of {MAX_PIXELS} pixels", where=path)
    check_complete(data, header, where=path)
    flags, shrink = cv2.IMREAD_COLOR, min(width, height) / SMALLEST_LOOK
    if header.kind == "jpeg" and shrink >= 2:  # only JPEG gets cheaper by reducing
        flags = cv2.IMREAD_REDUCED_COLOR_2 if shrink < 4 else cv2.IMREAD_REDUCED_COLOR_4
        flags = flags if shrink < 8 else cv2.IMREAD_REDUCED_COLOR_8
    try:
        bgr: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise MediaError(f"cannot be decoded ({error.err})", where=path) from error
    if bgr is None:
        raise MediaError(f"cannot be decoded as {header.kind}", where=path)
    return turn_upright(np.ascontiguousarray(bgr[:, :, ::-1]), header.orientation)


def video_facts(path: Path | MediaError, frames: list[Record], known: dict[str, Facts]) -> dict[str, Facts]:
    """Facts of the frames of one video, by record id."""
    if isinstance(path, MediaError):
        return {r.id: Facts("not-fetched", path.what) for r in frames}
    stamp = stamp_of(path)
    if not stamp:
        return {r.id: Facts("missing", "file is absent") for r in frames}
    if all(r.id in known and known[r.id].stamp == stamp for r in frames):
        return {r.id: known[r.id] for r in frames}
    try:
        reader = FrameReader(path)
    except MediaError as error:
        return {r.id: Facts("unreadable", error.what, stamp=stamp) for r in frames}
    try:
        ordered = sorted(frames, key=lambda r: r.frame)
        step = max(1, -(-len(ordered) // FRAMES_A_VIDEO))
        return {
            r.id: _frame_facts(reader, r.frame, stamp, decode=i % step == 0) for i, r in enumerate(ordered)
        }
    finally:
        reader.close()


def _frame_facts(reader: FrameReader, frame: int, stamp: str, *, decode: bool) -> Facts:
    if not 0 <= frame < len(reader):
        return Facts("frame-missing", f"frame {frame} is not one of {len(reader)}", stamp=stamp)
    if not decode:
        return Facts("", "", reader.size_wh, stamp=stamp)
    try:
        pixels = reader.read(frame)
    except MediaError as error:
        return Facts("unreadable", error.what, stamp=stamp)
    height, width = pixels.shape[:2]
    digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()
    return Facts("", "", (width, height), 1, digest, look(pixels), stamp)
