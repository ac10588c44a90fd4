"""Writing simulated frames as H.264, as a camera would: BT.709, limited range, tagged so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.core.files import written_whole

BT709, LIMITED, FULL = 1, 1, 2


class Film:
    """An open MP4 that takes pictures (H, W, 3) RGB."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Encode one picture."""
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        flat = frame.reformat(
            format="yuv420p", dst_colorspace=BT709, src_color_range=FULL, dst_color_range=LIMITED
        )
        self._container.mux(self._stream.encode(flat))


@contextmanager
def film(
    path: Path,
    size_wh: tuple[int, int],
    fps: int,
    *,
    crf: int = 21,
    bitrate: int | None = None,
    preset: str = "veryfast",
) -> Iterator[Film]:
    """Write an H.264 MP4, whole or not at all.

    Args:
        path: of the file.
        size_wh: even width and height.
        fps: frames a second.
        crf: quality; used where no bitrate is given.
        bitrate: bits a second to hold on average, with a buffer of two seconds.
        preset: of x264.

    Raises:
        UsageError: a side is odd.
    """
    if size_wh[0] % 2 or size_wh[1] % 2:
        raise UsageError(f"size is {size_wh}, must be even", where=path, remedy="4:2:0 halves both sides")
    with written_whole(path) as part, av.open(str(part), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        options = {"preset": preset, "g": str(max(1, fps)), "threads": "1"}
        if bitrate is None:
            options["crf"] = str(crf)
        else:
            stream.bit_rate = bitrate
            options |= {"maxrate": str(int(1.3 * bitrate)), "bufsize": str(2 * bitrate)}
        stream.options = options
        yield Film(container, stream)
        container.mux(stream.encode(None))
