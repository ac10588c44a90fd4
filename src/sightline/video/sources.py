"""Where frames come from: pictures, folders, globs and video files, in a fixed order."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.core.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES, read_picture
from sightline.core.picture import Picture

Pixels = NDArray[np.uint8]
FaultKind = Literal["end", "corrupt", "disconnected"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, or one frame of a video, not yet turned into pixels.

    Attributes:
        source: the name its results carry: the path as the caller gave it, or found under it.
        index: position in the video in presentation order, from 0; -1 for a picture.
        time_s: presentation time in seconds; None for a picture, or where the video tells none.
        read: gives RGB pixels (H, W, 3) uint8; called in whichever thread needs them.
        take: gives the picture as the decoder left it, 4:2:0 where it is that; None where only `read` does.
        captured_s: when the frame reached this process, on the clock of `time.monotonic`; None where
            nothing but the file's own time matters.
    """

    source: str
    index: int
    time_s: float | None
    read: Callable[[], Pixels]
    take: Callable[[], Picture] | None = None
    captured_s: float | None = None

    def picture(self) -> Picture:
        """The cheapest form of the picture: the decoder's own planes, else RGB."""
        return self.read() if self.take is None else self.take()


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame in flight.

    Attributes:
        source: name of its source.
        index: position in the source; -1 for a picture.
        picture: RGB pixels, or the decoder's planes.
        time_s: on the source's time line, or None.
        captured_s: when it reached this process, on the clock of `time.monotonic`.
    """

    source: str
    index: int
    picture: Picture
    time_s: float | None
    captured_s: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Something of a source that could not be read: the rest of it, or a moment of a live one.

    Attributes:
        source: its name.
        index: of the frame that was due.
        reason: what a reader is told.
        kind: `end` (nothing more comes), `corrupt` (a packet that does not decode; the next may) or
            `disconnected` (the source went away and is sought again).
    """

    source: str
    index: int
    reason: str
    kind: FaultKind = "end"


class Source(Protocol):
    """One picture, one video, one camera: an iterable with a name."""

    name: str

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Frames in order; a fault of kind `end` is the last item."""

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
        hardware: whether a hardware decoder is tried.

    Attributes:
        decoder: what decodes, in words; empty before the first frame.
    """

    def __init__(
        self, path: Path, name: str | None = None, *, threads: int = 0, hardware: bool = False
    ) -> None:
        self.path, self.name, self._threads = path, name or str(path), threads
        self._hardware, self.decoder = hardware, ""

    @property
    def length(self) -> int | None:
        """How many frames the header claims."""
        return self._header[0]

    @property
    def rate(self) -> float | None:
        """Frames a second by the header."""
        return self._header[1]

    @cached_property
    def _header(self) -> tuple[int | None, float | None]:
        """Read when it is asked for: FFmpeg decodes a frame to open a file, 50 ms at 1080p."""
        import av  # here, so that predicting a picture does not pay for it

        try:
            with av.open(str(self.path)) as container:
                return _header_of(container.streams.video[0])
        except (av.FFmpegError, IndexError, OSError, ValueError):
            return None, None  # said when it is iterated, as a fault in its place

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Every frame that decodes; a fault where the file stops making sense."""
        import av

        from sightline.core.frames import to_rgb
        from sightline.core.picture import from_av
        from sightline.video.decoding import NOT_ASKED, accelerator, describe, hardware_decoder

        index = 0
        device, why_not = hardware_decoder() if self._hardware else (None, NOT_ASKED)
        try:
            with av.open(str(self.path), hwaccel=accelerator(device)) as container:
                stream: Any = container.streams.video[0]
                self.__dict__["_header"] = _header_of(stream)
                stream.thread_type = "NONE" if self._threads == 1 else "AUTO"
                stream.codec_context.thread_count = self._threads
                self.decoder = describe(stream.codec_context, device, why_not)
                for frame in container.decode(stream):
                    yield Frame(self.name, index, frame.time, partial(to_rgb, frame), partial(from_av, frame))
                    index += 1
        except (av.FFmpegError, IndexError, OSError) as error:
            yield Fault(self.name, index, f"cannot be read as video ({error})")
            return
        if not index:
            yield Fault(self.name, 0, "holds no video frame")


def _header_of(stream: Any) -> tuple[int | None, float | None]:
    return stream.frames or None, float(stream.average_rate) if stream.average_rate else None


def find_sources(inputs: Iterable[str | Path], *, threads: int = 0, hardware: bool = False) -> list[Source]:
    """Sources for files, folders (searched to the bottom) and globs, each sorted, no file twice; for cameras,
    addresses and standard input too, as `connecting.open_live` takes them.

    A name that exists is that file, also where it looks like a glob or an address.

    Raises:
        UsageError: an input names nothing, or a folder holds neither picture nor video.
    """
    from sightline.video.connecting import is_live, open_live  # here: it stands on this module

    found: dict[Path | str, Source] = {}
    for item in inputs:
        if is_live(str(item)):
            found.setdefault(str(item), open_live(str(item), hardware=hardware))
            continue
        paths = _expand(str(item))
        if not paths:
            raise UsageError(
                "names no picture or video",
                where=item,
                remedy=f"known are {', '.join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))}",
            )
        for path in paths:
            found.setdefault(path.resolve(), open_source(path, threads=threads, hardware=hardware))
    return list(found.values())


def open_source(path: Path, *, threads: int = 0, hardware: bool = False) -> Source:
    """A source for one file, by its suffix; anything that is no video is taken for a picture."""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoSource(path, threads=threads, hardware=hardware)
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
