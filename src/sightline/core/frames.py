"""Reading videos: frames by number, in order or at random, counted by what decodes."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError

Frame = NDArray[np.uint8]

OPEN_READERS = 4
READ_AHEAD = 48


class FrameReader:
    """Random access to the frames of one video.

    Frame numbers are positions in presentation order among the packets that are in the file and shown: a
    header may claim more, a cut clip holds frames before its start that no player shows, and a packet may
    still not decode. RGB conversion is swscale's, from the stream's own matrix and range; a video
    that was filmed on its side is turned upright.

    Raises:
        MediaError: the file is absent, is no video, or holds no video frame.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            self._container: Any = av.open(str(path))
            self._stream: Any = self._container.streams.video[0]
            packets = self._container.demux(self._stream)
            shown = (p for p in packets if p.size and not p.is_discard)
            self._pts = sorted(p.pts for p in shown if p.pts is not None)
        except (av.FFmpegError, IndexError, OSError) as error:
            raise MediaError(f"cannot be read as video ({error})", where=path) from error
        if not self._pts:
            raise MediaError("holds no video frame", where=path)
        self._index = {pts: i for i, pts in enumerate(self._pts)}
        self._stream.thread_type = "AUTO"
        self._decoder: Iterator[Any] | None = None
        self._next = -1
        self._turned = self._first_is_turned()

    def _first_is_turned(self) -> bool:
        """Whether frames are shown on their side; only a decoded frame says so."""
        try:
            self._seek(0)
            first = next(iter(self._decoder or ()), None)
        except av.FFmpegError:
            first = None
        self._decoder = None
        return first is not None and quarter_turns(first) % 2 == 1

    def __len__(self) -> int:
        return len(self._pts)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = int(self._stream.width), int(self._stream.height)
        return (height, width) if self._turned else (width, height)

    def time_s(self, index: int) -> float:
        """Presentation time of a frame in seconds."""
        return float(self._pts[index] * self._stream.time_base)

    def read(self, index: int) -> Frame:
        """RGB pixels (H, W, 3) of frame `index`, 0-based."""
        if not 0 <= index < len(self._pts):
            raise MediaError(f"frame {index} is not one of {len(self._pts)}", where=self._path)
        with self._lock:
            if self._decoder is None or not 0 <= index - self._next <= READ_AHEAD:
                self._seek(index)
            frame = self._forward(index)
        if frame is None:
            raise MediaError(f"frame {index} does not decode", where=self._path)
        return to_rgb(frame)

    def _seek(self, index: int) -> None:
        self._container.seek(self._pts[index], stream=self._stream, backward=True)
        self._decoder = self._container.decode(self._stream)
        self._next = -1

    def _forward(self, index: int) -> Any:
        """The decoded frame `index`, or None where the stream ends or skips it."""
        try:
            for frame in self._decoder or ():
                at = self._index.get(frame.pts, -1)
                self._next = at + 1
                if at >= index:
                    return frame if at == index else None
        except av.FFmpegError as error:
            raise MediaError(f"frame {index} does not decode ({error})", where=self._path) from error
        self._decoder = None
        return None

    def close(self) -> None:
        """Free the decoder."""
        self._container.close()


def quarter_turns(frame: Any) -> int:
    """Quarter turns, anticlockwise, that show a decoded frame as its file asks (0..3)."""
    return round(int(frame.rotation) / 90) % 4


def to_rgb(frame: Any) -> Frame:
    """Upright RGB pixels (H, W, 3) of a decoded frame, by its own colour matrix and range, in this thread."""
    pixels: Frame = frame.to_ndarray(format="rgb24", threads=1)
    turns = quarter_turns(frame)
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


_readers: threading.local = threading.local()
_left: list[object] = []


def _leave_to_parent() -> None:
    """A forked child shares the parent's file positions and lacks its decoder threads.

    It opens its own readers; those of the parent are kept, since closing them would wait for such threads.
    """
    _left.append(_readers.__dict__.pop("open", None))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def read_frame(path: Path, index: int) -> Frame:
    """RGB pixels (H, W, 3) of one frame; a few readers stay open in each thread."""
    open_readers: OrderedDict[Path, FrameReader] = _readers.__dict__.setdefault("open", OrderedDict())
    reader = open_readers.pop(path, None) or FrameReader(path)
    open_readers[path] = reader
    if len(open_readers) > OPEN_READERS:
        open_readers.popitem(last=False)[1].close()
    return reader.read(index)
