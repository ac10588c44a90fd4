"""Clips around chosen frames: H.264, every frame at its own time, with some frames from before the choice."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.errors import MediaError
from sightline.video.sources import Frame, Pixels

CLOCK = 90_000
DEFAULT_RATE = 25.0
# Near to lossless in sight: labels are drawn on these frames, and models are trained on them.
QUALITY = {"preset": "veryfast", "crf": "16"}


class ClipWriter:
    """Writes one clip to a path; times start at 0 with its first frame.

    Attributes:
        frames: written so far.
        size_wh: of the first frame, odd sides cut by one.
    """

    def __init__(self, path: Path, rate: float | None) -> None:
        import av

        self.path, self._rate = path, rate or DEFAULT_RATE
        self._container: Any = av.open(str(path), "w", format="mp4")
        self._stream: Any = None
        self._first_s: float | None = None
        self._last_pts = -1
        self.frames = 0
        self.size_wh = (0, 0)

    def write(self, frame: Frame) -> None:
        """Add a frame; raises MediaError where it cannot be read or is of another size."""
        from av import VideoFrame

        pixels = _even(frame.read())
        size_wh = (pixels.shape[1], pixels.shape[0])
        if self._stream is None:
            self._open(size_wh)
        if size_wh != self.size_wh:
            raise MediaError(f"is {size_wh}, the clip's first frame is {self.size_wh}", where=frame.source)
        picture = VideoFrame.from_ndarray(pixels, format="rgb24")
        picture.pts, picture.time_base = self._pts(frame.time_s), Fraction(1, CLOCK)
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def _open(self, size_wh: tuple[int, int]) -> None:
        self.size_wh = size_wh
        rate = Fraction(self._rate).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height, self._stream.pix_fmt = *size_wh, "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, CLOCK)
        self._stream.codec_context.options = QUALITY

    def _pts(self, time_s: float | None) -> int:
        if time_s is None:
            at = self.frames / self._rate
        else:
            self._first_s = time_s if self._first_s is None else self._first_s
            at = time_s - self._first_s
        self._last_pts = max(round(at * CLOCK), self._last_pts + 1)
        return self._last_pts

    def finish(self) -> None:
        """Write what the encoder still holds, and the file's index."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close and remove the file."""
        self._container.close()
        self.path.unlink(missing_ok=True)


def _even(pixels: Pixels) -> Pixels:
    """H.264 in 4:2:0 has even sides only: an odd one loses its last row, so that coordinates stay."""
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(pixels[: height & ~1, : width & ~1])
