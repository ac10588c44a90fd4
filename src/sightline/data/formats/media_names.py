"""Finding the file that a label means: label tools write URLs, server paths and foreign folders."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from sightline.core.errors import MediaError
from sightline.core.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from sightline.data.media_store import examine, is_url

MAX_FILES = 2_000_000
# Label Studio puts eight hexadecimal digits before the name of each uploaded file.
_UPLOAD_HASH = re.compile(r"^[0-9a-f]{8}-(?=.)")
# Where Label Studio serves what was uploaded to it, or stands in a folder beside it.
SERVER_PATHS = ("/data/upload/", "/data/local-files/")


class MediaNames:
    """Names in labels -> names inside a media folder.

    A name is tried as it stands, then without its leading folders, then by its file name anywhere
    under the root (spaces and underscores alike, since servers change them). What is not found keeps
    the most telling name, so that it is listed as missing.

    Attributes:
        root: the media folder.
        doubtful: names for which several files fit; none is taken.
    """

    def __init__(self, root: Path, *, urls: bool = False) -> None:
        """`urls`: a picture named by URL may be any file here of that name (the user named the folder)."""
        self.root, self._urls = root, urls
        self.doubtful: Counter[str] = Counter()
        self._index: dict[str, list[str]] | None = None
        self._real = root.resolve()

    def find(self, name: str) -> str | None:
        """The name inside the root, or a URL; None where the path climbs out of the folder."""
        url, paths = _candidates(name)
        if any(".." in PurePosixPath(p).parts for p in paths):
            return None
        if url and not self._urls and not any(mark in url for mark in SERVER_PATHS):
            return url
        for path in paths:
            if self._is_inside(path):
                return path
        for path in paths:
            found = self._anywhere(path)
            if found:
                return found
        return url or paths[0].lstrip("/") or None

    def path(self, found: str) -> Path | None:
        """The file of a found name, None for a URL or a file that is not there."""
        path = self.root / found
        return None if is_url(found) or not _is_file(path) else path

    def picture_size(self, found: str) -> tuple[int, int]:
        """Upright width and height from the file's header; (0, 0) where it cannot be had."""
        path = self.path(found)
        if path is None or path.suffix.lower() not in PICTURE_SUFFIXES:
            return (0, 0)
        try:
            return examine(path).size_wh
        except MediaError:  # the import names unreadable files once, for every format
            return (0, 0)

    def _is_inside(self, path: str) -> bool:
        if not path or path.startswith("/"):
            return False
        place = self.root / path
        return _is_file(place) and place.resolve().is_relative_to(self._real)

    def _anywhere(self, path: str) -> str | None:
        """The one file under the root whose path ends like `path`, by as many folders as it takes."""
        parts = [plain_name(p) for p in PurePosixPath(path).parts if p != "/"]
        if not parts:
            return None
        files = self._files().get(parts[-1], [])
        for take in range(1, len(parts) + 1):
            if len(files) <= 1:
                break
            tail = parts[-take:]
            fitting = [f for f in files if [plain_name(p) for p in PurePosixPath(f).parts][-take:] == tail]
            if not fitting:
                break
            files = fitting
        if len(files) > 1:
            self.doubtful[path] += 1
            return None
        return files[0] if files else None

    def _files(self) -> dict[str, list[str]]:
        if self._index is None:
            self._index = {}
            for i, file in enumerate(_walk(self.root)):
                if i >= MAX_FILES:
                    break
                self._index.setdefault(plain_name(PurePosixPath(file).name), []).append(file)
        return self._index


def plain_name(name: str) -> str:
    """A file name without what upload forms change: composed, spaces as `_`, only letters, digits, `-_.`."""
    composed = unicodedata.normalize("NFC", name).strip().replace(" ", "_")
    return re.sub(r"[^-\w.]", "", composed).casefold()


def _candidates(name: str) -> tuple[str, list[str]]:
    """The URL where `name` is one (else ""), and paths to look for, the likeliest first."""
    name = name.strip("\0")
    path, url = name.replace("\\", "/"), ""
    if is_url(name):
        try:
            parts = urlsplit(name)
        except ValueError:
            return name, [""]
        url, path = name, parts.path + (f"?{parts.query}" if "/data/local-files/" in parts.path else "")
    if "/data/local-files/" in path:
        asked = parse_qs(path.partition("?")[2]).get("d", [""])[0]
        return url, [asked, asked.lstrip("/")]
    if re.match(r"^[a-zA-Z]:/", path):
        path = path[2:]
    decoded = unquote(path) if url or path.startswith("/data/upload/") else path
    if decoded.startswith("/data/upload/"):
        file = PurePosixPath(decoded).name
        bare = _UPLOAD_HASH.sub("", file)
        inner = decoded.removeprefix("/data/upload/")
        return url, [bare, file, inner, f"upload/{inner}", decoded.lstrip("/")]
    if url:
        return url, [decoded.lstrip("/")]
    return url, [decoded.removeprefix("./"), decoded.lstrip("/")] if decoded.startswith("/") else [
        decoded.removeprefix("./")
    ]


def _is_file(path: Path) -> bool:
    """Whether a file is there; a name no file system takes (a NUL, too long) is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _walk(root: Path) -> Iterator[str]:
    """Pictures and videos under a folder, by name relative to it, in a fixed order."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        for file in sorted(files):
            if Path(file).suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
                yield (Path(folder) / file).relative_to(root).as_posix()
