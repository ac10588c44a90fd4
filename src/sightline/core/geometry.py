"""Where pixels go: the one resize of the project, and the matrices that carry labels along.

Coordinates are continuous: (0, 0) is the top-left corner of the top-left pixel, x runs right, y
down, so the centre of the first pixel is (0.5, 0.5) and a picture spans [0, width] x [0, height].
A matrix is 2x3 float64 and maps source to destination. OpenCV counts from pixel centres instead;
the half pixel is added in one place, `_to_cv2`.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import ModelError
from sightline.core.picture import Yuv420, size_wh_of, to_colour, to_grey
from sightline.core.specs import InputSpec

Matrix = NDArray[np.float64]
Array = NDArray[Any]


def identity() -> Matrix:
    """The matrix that moves nothing."""
    return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def compose(*matrices: Matrix) -> Matrix:
    """One matrix for several applied in the order given (the first acts first)."""
    total = np.eye(3)
    for matrix in matrices:
        total = np.vstack([matrix, (0.0, 0.0, 1.0)]) @ total
    return total[:2]


def invert(matrix: Matrix) -> Matrix:
    """The matrix that undoes `matrix`; raises LinAlgError where it flattens the plane."""
    return np.linalg.inv(np.vstack([matrix, (0.0, 0.0, 1.0)]))[:2]


def placement(
    source_wh: tuple[int, int], spec: InputSpec, centre: Array | tuple[float, float] | None = None
) -> Matrix:
    """Matrix from a source picture to the network's input, by the spec's fit.

    `stretch` fills both sides, `letterbox` keeps the aspect and pads evenly, `crop` keeps the
    aspect, fills and cuts evenly. `native` is a window at the picture's own scale about `centre`
    (x, y), or about the middle; it starts on an even pixel, so that colour planes of half the size are
    cut exactly too, and its middle is at most a pixel from the centre.

    Raises:
        ModelError: a centre that is no finite (x, y).
    """
    (sw, sh), (dw, dh) = source_wh, spec.size_wh
    if spec.fit == "native":
        x, y = _window_start(source_wh, spec, centre)
        return np.array([[1.0, 0.0, -x], [0.0, 1.0, -y]])
    sx, sy = dw / sw, dh / sh
    if spec.fit == "letterbox":
        sx = sy = min(sx, sy)
    elif spec.fit == "crop":
        sx = sy = max(sx, sy)
    return np.array([[sx, 0.0, (dw - sw * sx) / 2], [0.0, sy, (dh - sh * sy) / 2]])


def _window_start(
    source_wh: tuple[int, int], spec: InputSpec, centre: Array | tuple[float, float] | None
) -> tuple[float, float]:
    """Top left corner of a native window: even whole pixels."""
    middle = np.asarray(np.array(source_wh) / 2 if centre is None else centre, np.float64)
    if middle.shape != (2,) or not np.isfinite(middle).all():
        raise ModelError(f"the centre of a window must be a finite (x, y), not {centre}")
    x, y = 2.0 * np.round((middle - np.array(spec.size_wh) / 2) / 2)
    return float(x), float(y)


def warp(
    picture: Array, matrix: Matrix, size_wh: tuple[int, int], *, pad: float = 0, nearest: bool = False
) -> Array:
    """Resample a picture (H, W) or (H, W, C) through `matrix` into `size_wh`, keeping its dtype.

    Bilinear, after an integer area reduction where the matrix shrinks by two or more, so that
    nothing aliases; `nearest` for class indices and depth, where values must not be mixed.
    """
    if not nearest:
        picture, matrix = _reduced(picture, matrix)
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    value = (float(pad),) * 4
    out: Array = cv2.warpAffine(
        picture, _to_cv2(matrix), size_wh, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=value
    )
    return out


def _reduced(picture: Array, matrix: Matrix) -> tuple[Array, Matrix]:
    """Shrink by whole factors of area averaging, leaving less than a factor of two to the warp."""
    fx, fy = _factors(picture, matrix)
    if fx == 1 and fy == 1:
        return picture, matrix
    height, width = picture.shape[:2]
    # A remainder narrower than a factor would shift every pixel; it is cut, at most factor-1 pixels.
    small_wh = (width // fx, height // fy)
    cut = picture[: small_wh[1] * fy, : small_wh[0] * fx]
    small: Array = cv2.resize(cut, small_wh, interpolation=cv2.INTER_AREA)
    return small, compose(scaling(fx, fy), matrix)


def _factors(picture: Array, matrix: Matrix) -> tuple[int, int]:
    """Whole factors by which a matrix shrinks a picture, at least 1."""
    shrink_xy = 1.0 / np.maximum(np.linalg.norm(matrix[:, :2], axis=0), 1e-9)
    fx, fy = (max(1, int(s + 1e-6)) for s in shrink_xy)
    return min(fx, picture.shape[1]), min(fy, picture.shape[0])


def scaling(x: float, y: float) -> Matrix:
    """The matrix that scales about the top left corner."""
    return np.array([[x, 0.0, 0.0], [0.0, y, 0.0]])


def _to_cv2(matrix: Matrix) -> Matrix:
    """The same map between pixel-centre indices, as OpenCV counts."""
    half = np.array([0.5, 0.5])
    shift = matrix[:, :2] @ half + matrix[:, 2] - half
    return np.column_stack([matrix[:, :2], shift])


def place(
    picture: Array | Yuv420, spec: InputSpec, centre: Array | tuple[float, float] | None = None
) -> tuple[Array, Matrix]:
    """The reference placing: a source picture into the network's input, and the matrix that did it.

    `centre` (x, y) in source pixels says where a `native` window is; other fits do not read it. A `Yuv420`
    is cut or scaled plane by plane and converted at the small size: within a few levels of the same frame
    converted first.
    """
    matrix = placement(size_wh_of(picture), spec, centre)
    if spec.fit != "native":
        return resample(picture, matrix, spec), matrix
    start = (-round(matrix[0, 2]), -round(matrix[1, 2]))
    if isinstance(picture, Yuv420):
        return _window_planes(picture, start, spec), matrix
    return window(picture, start, spec.size_wh, pad=_pad(spec)), matrix


def window(picture: Array, start_xy: tuple[int, int], size_wh: tuple[int, int], *, pad: float = 0) -> Array:
    """A copy of the pixels of a picture (H, W) or (H, W, C) in a window, `pad` outside the picture."""
    (x, y), (width, height) = start_xy, size_wh
    x1, y1 = max(0, x), max(0, y)
    x2, y2 = min(picture.shape[1], x + width), min(picture.shape[0], y + height)
    if (x1, y1, x2, y2) == (x, y, x + width, y + height):
        return picture[y1:y2, x1:x2].copy()
    out = np.full((height, width, *picture.shape[2:]), pad, picture.dtype)
    if x2 > x1 and y2 > y1:
        out[y1 - y : y2 - y, x1 - x : x2 - x] = picture[y1:y2, x1:x2]
    return out


def place_track(track: Array, matrix: Matrix) -> Array:
    """Past (x, y, visible) rows (T, 3) through the matrix of the picture they are of, as f32.

    Hidden rows become zeros: where a hidden thing was last believed to be means nothing.
    """
    rows = np.asarray(track, np.float64)
    seen = rows[:, 2:] > 0
    return np.where(seen, np.hstack([move_points(rows[:, :2], matrix), rows[:, 2:]]), 0.0).astype(np.float32)


def resample(picture: Array | Yuv420, matrix: Matrix, spec: InputSpec) -> Array:
    """A source picture through any matrix onto the input's canvas, as its kind of pixels asks.

    Depth is never mixed between pixels, and is 0 (unknown) outside the picture.

    Raises:
        ModelError: depth is asked of a picture in colour.
    """
    if isinstance(picture, Yuv420):
        return _resample_planes(picture, matrix, spec)
    return warp(picture, matrix, spec.size_wh, pad=_pad(spec), nearest=spec.pixels == "depth16")


def _resample_planes(picture: Yuv420, matrix: Matrix, spec: InputSpec) -> Array:
    """4:2:0 planes through a matrix: shrunk apart by whole factors, then converted, then warped as RGB is."""
    if spec.pixels != "rgb8":
        y = warp(picture.y, matrix, spec.size_wh, pad=round(picture.grey_level(spec.pad)[0]))
        return _grey_plane(y, picture, spec)
    fx, fy = _factors(picture.y, matrix)
    if fx == 1 and fy == 1:
        return warp(picture.rgb(), matrix, spec.size_wh, pad=spec.pad)
    y, rest = _reduced(picture.y, matrix)
    u, v = (_chroma(plane, scaling(2 / fx, 2 / fy), y) for plane in (picture.u, picture.v))
    return warp(to_colour(y, u, v, picture.matrix, picture.full_range), rest, spec.size_wh, pad=spec.pad)


def _chroma(plane: Array, matrix: Matrix, like: Array) -> Array:
    """A chroma plane through a matrix onto the pixels of a luma plane; its edge goes on outside."""
    small, rest = _reduced(plane, matrix)
    size_wh = (like.shape[1], like.shape[0])
    out: Array = cv2.warpAffine(
        small, _to_cv2(rest), size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return out


def _window_planes(picture: Yuv420, start_xy: tuple[int, int], spec: InputSpec) -> Array:
    """A window of 4:2:0 planes that starts on even pixels, so that chroma is cut exactly too."""
    luma, chroma = picture.grey_level(spec.pad)
    width, height = spec.size_wh
    y = window(picture.y, start_xy, spec.size_wh, pad=round(luma))
    if spec.pixels != "rgb8":
        return _grey_plane(y, picture, spec)
    start, half_wh = (start_xy[0] // 2, start_xy[1] // 2), ((width + 1) // 2, (height + 1) // 2)
    u, v = (
        cv2.resize(
            window(plane, start, half_wh, pad=chroma), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST
        )[:height, :width]
        for plane in (picture.u, picture.v)
    )
    return to_colour(y, u, v, picture.matrix, picture.full_range)


def _grey_plane(y: Array, picture: Yuv420, spec: InputSpec) -> Array:
    if spec.pixels != "grey8":
        raise ModelError(f"an input of {spec.pixels} cannot be placed from a 4:2:0 frame")
    return to_grey(y, picture.full_range)


def _pad(spec: InputSpec) -> int:
    return 0 if spec.pixels == "depth16" else spec.pad


def move_points(points_xy: Array, matrix: Matrix) -> Array:
    """Points (..., 2) through a matrix, in their own dtype (integers become float64)."""
    points = np.asarray(points_xy)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return moved.astype(points.dtype if points.dtype.kind == "f" else np.float64, copy=False)


def move_boxes(boxes_xyxy: Array, matrix: Matrix) -> Array:
    """Boxes (N, 4) through a matrix: the axis-aligned hull of the four moved corners."""
    boxes = np.asarray(boxes_xyxy).reshape(-1, 4)
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    moved = move_points(corners, matrix)
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)


def clip_boxes(boxes_xyxy: Array, size_wh: tuple[int, int]) -> Array:
    """Boxes (N, 4) cut to the picture."""
    limit = np.array([size_wh[0], size_wh[1]] * 2, dtype=np.float64)
    return np.clip(boxes_xyxy, 0.0, limit).astype(np.asarray(boxes_xyxy).dtype, copy=False)


def box_areas(boxes_xyxy: Array) -> Array:
    """Areas (N,) in square pixels; inverted boxes count as zero."""
    boxes = np.asarray(boxes_xyxy).reshape(-1, 4)
    areas: Array = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1)
    return areas


def box_iou(a_xyxy: Array, b_xyxy: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4)."""
    a, b = np.asarray(a_xyxy).reshape(-1, 4), np.asarray(b_xyxy).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    meet = np.prod(np.maximum(high - low, 0.0), axis=2)
    union = box_areas(a)[:, None] + box_areas(b)[None] - meet
    iou: Array = np.divide(meet, union, out=np.zeros_like(meet), where=union > 0)
    return iou


def polygon_area(polygon_xy: Array) -> float:
    """Area (shoelace, unsigned) of one ring (N, 2) in square pixels."""
    x, y = np.asarray(polygon_xy, dtype=np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def polygon_box(polygons: tuple[Array, ...]) -> tuple[float, float, float, float]:
    """The hull (x1, y1, x2, y2) of one or more rings."""
    points = np.concatenate([np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in polygons])
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def fill_polygons(polygons: tuple[Array, ...], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Rings in continuous coordinates as a mask (H, W); a pixel is in when its centre is (even-odd)."""
    width, height = size_wh
    # OpenCV's fillPoly also paints every pixel the outline touches, half a pixel too much all around. Here
    # each edge toggles the first centre right of it in every row it crosses; what is toggled oddly is in.
    toggles = np.zeros((height, width + 1), np.uint8)
    for ring in polygons:
        start = np.asarray(ring, np.float64).reshape(-1, 2)
        end = np.roll(start, -1, axis=0)
        low, high = (
            np.clip(np.ceil(pick(start[:, 1], end[:, 1]) - 0.5), 0, height).astype(np.int64)
            for pick in (np.minimum, np.maximum)
        )
        count = high - low
        edge = np.repeat(np.arange(len(start)), count)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + low[edge]
        run = (end - start)[edge]
        x = start[edge, 0] + (row + 0.5 - start[edge, 1]) * run[:, 0] / run[:, 1]
        np.add.at(toggles, (row, np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)), 1)
    rows = np.flatnonzero(toggles.any(axis=1))
    mask = np.zeros((height, width), bool)
    mask[rows] = np.bitwise_xor.accumulate(toggles[rows], axis=1)[:, :width] & 1
    return mask
