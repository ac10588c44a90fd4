"""The media of a dataset: found once, named by their content, and put in their place."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from sightline.core.errors import DatasetError, MediaError
from sightline.core.media import VIDEO_SUFFIXES, Header, parse_header

MediaMode = Literal["link", "copy", "none"]
SAMPLE_BYTES = 16 << 10

_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Found:
    """A media file that is there.

    Attributes:
        path: where it lies, links resolved.
        bytes: its length.
        digest: BLAKE2b over its length, its first 16 KiB and its last 16 KiB, 32 hexadecimal digits: the
            whole content of a file up to 32 KiB, and enough to tell two longer pictures apart.
        size_wh: width and height upright; (0, 0) for what is neither picture nor video.
        stored_wh: width and height as stored.
        orientation: EXIF orientation, 1 is upright.
    """

    path: Path
    bytes: int
    digest: str
    size_wh: tuple[int, int]
    stored_wh: tuple[int, int]
    orientation: int


def examine(path: Path) -> Found:
    """Read a file's header and sample its content; repeated calls on an unchanged file cost one `stat`.

    Raises:
        MediaError: absent, empty, no picture or video, or its header is cut short.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", where=path) from error
    return _examine(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1 << 18)
def _examine(path: Path, length: int, _modified: int) -> Found:
    try:
        with path.open("rb") as file:
            head = file.read(SAMPLE_BYTES)
            digest = hashlib.blake2b(f"{length}:".encode() + head, digest_size=16)
            if path.suffix.lower() in VIDEO_SUFFIXES:
                header = Header("video", _video_size(path))
            else:
                header = _header(head, file, path)
            if length > SAMPLE_BYTES:
                file.seek(max(SAMPLE_BYTES, length - SAMPLE_BYTES))
                digest.update(file.read(SAMPLE_BYTES))
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", where=path) from error
    return Found(
        path.resolve(), length, digest.hexdigest(), header.size_wh, header.stored_wh, header.orientation
    )


def _header(head: bytes, file: Any, path: Path) -> Header:
    header = parse_header(head, where=path)
    if header.stored_wh == (0, 0):  # a large profile or preview stands before the size
        header = parse_header(head + file.read(), where=path)
    if min(header.stored_wh) < 1:
        raise MediaError("header is cut short", where=path)
    return header


def _video_size(path: Path) -> tuple[int, int]:
    from sightline.core.frames import FrameReader

    reader = FrameReader(path)
    try:
        return reader.size_wh
    finally:
        reader.close()


def is_url(name: str) -> bool:
    """Whether a media name is an address on the network."""
    return name.startswith(("http://", "https://", "s3://", "gs://", "ftp://"))


def safe_name(name: str) -> str | None:
    """A media name as a relative path with forward slashes, or None where it is absolute or climbs out."""
    if not name or "\0" in name or name[0] in "/\\" or _DRIVE.match(name):
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if ".." in parts or not parts else "/".join(parts)


def locate(root: Path, name: str) -> tuple[str, Path] | None:
    """The name a media file gets in the dataset, and where it is; None where it is not under `root`.

    Labels often name files the way they lay on the author's machine: backslashes, an absolute path, or
    folders that are gone. So the name is tried as it stands, with slashes, and by its ever shorter tails.
    Nothing outside `root` is ever taken.
    """
    for candidate in dict.fromkeys([name, name.replace("\\", "/")]):
        tail = candidate.lstrip("/")
        if _DRIVE.match(tail):
            tail = tail[2:].lstrip("/")
        parts = [part for part in tail.split("/") if part not in ("", ".")]
        while parts:
            joined = "/".join(parts)
            if ".." not in parts and "\0" not in joined and _is_file(root / joined):
                return joined, root / joined
            parts = parts[1:]
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False


def put(
    media: Mapping[str, Path | Callable[[], bytes]], folder: Path, mode: MediaMode, tick: Callable[[], None]
) -> None:
    """Link or copy files under `folder`, by their names; what is given as a function is written.

    Raises:
        DatasetError: two names collide (one is a folder of the other), or the disk refuses.
    """
    made: set[Path] = set()
    for name, origin in media.items():
        target = folder / name
        try:
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            if callable(origin):
                target.write_bytes(origin())
            elif mode == "link":
                target.symlink_to(origin)
            elif mode == "copy":
                shutil.copyfile(origin, target)
        except OSError as error:
            raise DatasetError(
                f"media cannot be put in the dataset ({error.strerror})", where=target, remedy=_remedy(error)
            ) from error
        tick()


def _remedy(error: OSError) -> str:
    if error.errno == 28:
        return "free space on the disk, or pass --media link"
    return "pass --media copy if the file system takes no links"
