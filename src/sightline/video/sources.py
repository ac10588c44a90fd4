"""Where frames come from: pictures, folders, globs and video files, in a fixed order."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.core.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES, read_picture

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, or one frame of a video, not yet turned into pixels.

    Attributes:
        source: the name its results carry: the path as the caller gave it, or found under it.
        index: position in the video in presentation order, from 0; -1 for a picture.
        time_s: presentation time in seconds; None for a picture, or where the video tells none.
        read: gives RGB pixels (H, W, 3) uint8; called in whichever thread needs them.
    """

    source: str
    index: int
    time_s: float | None
    read: Callable[[], Pixels]


@dataclass(frozen=True, slots=True)
class Fault:
    """A source, or the rest of one, that could not be read."""

    source: str
    index: int
    reason: str


class Source(Protocol):
    """One picture, one video, one camera: an iterable with a name."""

    name: str

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Frames in order; a fault ends the source."""

    @property
    def length(self) -> int | None:
        """How many frames to expect, for a progress bar; None where nobody knows."""

    @property
    def rate(self) -> float | None:
        """Frames a second; None for a picture."""


class PictureSource:
    """One picture file."""

    length, rate = 1, None

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path, self.name = path, name or str(path)

    def __iter__(self) -> Iterator[Frame | Fault]:
        """The picture; it is decoded by `read`, which raises MediaError."""
        yield Frame(self.name, -1, None, partial(read_picture, self.path))


class VideoSource:
    """One video file, decoded by FFmpeg in its own threads.

    Args:
        path: the file.
        name: what results call it; the path unless given.
        threads: decoder threads; 0 lets FFmpeg choose.
    """

    def __init__(self, path: Path, name: str | None = None, *, threads: int = 0) -> None:
        self.path, self.name, self._threads = path, name or str(path), threads
        self.length: int | None = None
        self.rate: float | None = None
        import av  # here, so that predicting a picture does not pay for it

        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                self.length = stream.frames or None
                self.rate = float(stream.average_rate) if stream.average_rate else None
        except (av.FFmpegError, IndexError, OSError, ValueError):
            pass  # said when it is iterated, as a fault in its place

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Every frame that decodes; a fault where the file stops making sense."""
        import av

        from sightline.core.frames import to_rgb

        index = 0
        try:
            with av.open(str(self.path)) as container:
                stream: Any = container.streams.video[0]
                stream.thread_type = "NONE" if self._threads == 1 else "AUTO"
                stream.codec_context.thread_count = self._threads
                for frame in container.decode(stream):
                    yield Frame(self.name, index, frame.time, partial(to_rgb, frame))
                    index += 1
        except (av.FFmpegError, IndexError, OSError) as error:
            yield Fault(self.name, index, f"cannot be read as video ({error})")
            return
        if not index:
            yield Fault(self.name, 0, "holds no video frame")


def find_sources(inputs: Iterable[str | Path], *, threads: int = 0) -> list[Source]:
    """Sources for files, folders (searched to the bottom) and globs, each sorted, no file twice.

    A name that exists is that file, also where it looks like a glob.

    Raises:
        UsageError: an input names nothing, or a folder holds neither picture nor video.
    """
    found: dict[Path, Source] = {}
    for item in inputs:
        paths = _expand(str(item))
        if not paths:
            raise UsageError(
                "names no picture or video",
                where=item,
                remedy=f"known are {', '.join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))}",
            )
        for path in paths:
            found.setdefault(path.resolve(), open_source(path, threads=threads))
    return list(found.values())


def open_source(path: Path, *, threads: int = 0) -> Source:
    """A source for one file, by its suffix; anything that is no video is taken for a picture."""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoSource(path, threads=threads)
    return PictureSource(path)


def _expand(text: str) -> Sequence[Path]:
    path = Path(text)
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if _is_media(p))
    # Path.glob takes no absolute pattern.
    return sorted(p for p in map(Path, glob.glob(text, recursive=True)) if p.is_file())  # noqa: PTH207


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES and path.is_file()
