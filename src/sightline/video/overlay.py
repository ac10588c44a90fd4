"""Answers drawn on frames for video: where only points are answered, on the planes, and only around them.

Turning a whole 1080p frame into RGB and back costs more than encoding it; a point and its trail touch a
small part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.picture import Picture, Yuv420, as_rgb, from_rgb
from sightline.core.results import Points, Result
from sightline.draw import draw_results

Trail = NDArray[Any]
# What a mark reaches beyond its point: a ring, and a tag with the class's name beside it, in shares of the
# picture's longer side; pictures under `_SMALL` pixels are drawn whole.
_REACH_XY = (0.16, 0.05)
_SMALL = 640
_WORTH = 0.5
# FFmpeg's numbers (AVColorSpace, AVColorRange).
_SPACES = {"bt709": 1, "bt601": 6}
_LIMITED, _FULL = 1, 2


def drawn_on(picture: Picture, results: Mapping[str, Result], trails: Sequence[Trail] = ()) -> Picture:
    """A copy of a frame with its answers on it, in whichever form is cheaper.

    Args:
        picture: RGB, or planes.
        results: by task.
        trails: earlier points, as `draw.draw_results` takes them.
    """
    if isinstance(picture, Yuv420) and all(isinstance(result, Points) for result in results.values()):
        part = _touched(picture.size_wh, results, trails)
        if part is not None:
            return _drawn_in(picture, part, results, trails)
    return draw_results(as_rgb(picture), results, trails=trails)


def _touched(
    size_wh: tuple[int, int], results: Mapping[str, Result], trails: Sequence[Trail]
) -> tuple[int, int, int, int] | None:
    """The even rectangle (x1, y1, x2, y2) that the marks lie in; None where that is most of the picture."""
    if max(size_wh) < _SMALL or size_wh[0] % 2 or size_wh[1] % 2:
        return None
    seen = [result.points[result.seen] for result in results.values() if isinstance(result, Points)]
    places = np.concatenate([np.zeros((0, 2)), *seen, *(np.asarray(t).reshape(-1, 2) for t in trails)])
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        return (0, 0, 0, 0)
    reach, limit = np.array(_REACH_XY) * max(size_wh), np.array(size_wh)
    low = np.clip(np.floor((places.min(axis=0) - reach) / 2) * 2, 0, limit).astype(int)
    high = np.clip(np.ceil((places.max(axis=0) + reach) / 2) * 2, 0, limit).astype(int)
    if np.prod(high - low) > _WORTH * np.prod(limit):
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _drawn_in(
    picture: Yuv420, part: tuple[int, int, int, int], results: Mapping[str, Result], trails: Sequence[Trail]
) -> Yuv420:
    """The frame copied, with marks drawn in one rectangle of it."""
    whole = picture.copied()
    x1, y1, x2, y2 = part
    if x1 >= x2 or y1 >= y2:
        return whole
    rows, columns = slice(y1, y2), slice(x1, x2)
    half_rows, half_columns = slice(y1 // 2, y2 // 2), slice(x1 // 2, x2 // 2)
    cut = Yuv420(
        picture.y[rows, columns],
        picture.u[half_rows, half_columns],
        picture.v[half_rows, half_columns],
        picture.matrix,
        picture.full_range,
    )
    corner = np.array([x1, y1], np.float32)
    moved = {
        task: replace(result, points=result.points - corner)
        for task, result in results.items()
        if isinstance(result, Points)
    }
    shifted = [np.asarray(trail) - corner for trail in trails]
    drawn = draw_results(cut.rgb(), moved, trails=shifted, sized_for=picture.size_wh)
    planes = from_rgb(drawn, picture.matrix, picture.full_range)
    whole.y[rows, columns] = planes.y
    whole.u[half_rows, half_columns] = planes.u
    whole.v[half_rows, half_columns] = planes.v
    return whole


def to_av(picture: Picture) -> Any:
    """A PyAV frame with even sides (an odd one is repeated once) and its colours named."""
    from av import VideoFrame

    if not isinstance(picture, Yuv420):
        frame = VideoFrame.from_ndarray(_even(picture), format="rgb24")
        return frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1)
    height, width = picture.y.shape
    if height % 2 or width % 2:
        return to_av(picture.rgb())
    flat = np.concatenate([plane.reshape(-1) for plane in (picture.y, picture.u, picture.v)])
    frame = VideoFrame.from_ndarray(flat.reshape(height * 3 // 2, width), format="yuv420p")
    frame.colorspace = _SPACES[picture.matrix]
    frame.color_range = _FULL if picture.full_range else _LIMITED
    return frame


def _even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with an odd side repeated once: H.264 in 4:2:0 has even sides only."""
    height, width = picture.shape[:2]
    if not (height % 2 or width % 2):
        return np.ascontiguousarray(picture)
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
