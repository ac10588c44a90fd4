"""A frame in flight: RGB pixels, or the decoder's own 4:2:0 planes, which are cheaper to cut and scale.

Converting a whole 1080p frame to RGB costs as much as decoding it; a network reads a tenth of it. So a
`Yuv420` is placed plane by plane and turned into RGB at the small size (`geometry.resample`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError

Plane = NDArray[np.uint8]
Array = NDArray[Any]
ColourMatrix = Literal["bt601", "bt709"]

# Weights of red and blue in luma: ITU-R BT.601-7, BT.709-6.
_LUMA: dict[str, tuple[float, float]] = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
# FFmpeg's numbers (AVColorSpace). A stream that names none is read as BT.601, as swscale does.
_MATRICES: dict[int, ColourMatrix] = {1: "bt709", 2: "bt601", 4: "bt601", 5: "bt601", 6: "bt601"}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_PLANAR, _SEMI_PLANAR = ("yuv420p", "yuvj420p"), "nv12"


@dataclass(frozen=True, slots=True)
class Yuv420:
    """One frame as luma and half-size chroma, as video codecs keep it.

    A chroma sample stands for a block of two by two pixels, as in swscale's own fast conversion.

    Attributes:
        y: luma (H, W) uint8.
        u: blue difference (ceil H/2, ceil W/2) uint8.
        v: red difference, of the same shape.
        matrix: `bt601` or `bt709`.
        full_range: whether luma spans 0..255; else 16..235 and chroma 16..240.

    Raises:
        MediaError: a plane's size or type is not that, or the matrix is unknown.
    """

    y: Plane
    u: Plane
    v: Plane
    matrix: ColourMatrix = "bt709"
    full_range: bool = False

    def __post_init__(self) -> None:
        height, width = self.y.shape
        chroma = ((height + 1) // 2, (width + 1) // 2)
        if not height or not width or self.u.shape != chroma or self.v.shape != chroma:
            raise MediaError(f"planes {self.y.shape}, {self.u.shape}, {self.v.shape} are not 4:2:0")
        if {self.y.dtype, self.u.dtype, self.v.dtype} != {np.dtype(np.uint8)}:
            raise MediaError("4:2:0 planes hold uint8")
        if self.matrix not in get_args(ColourMatrix):
            raise MediaError(f"colour matrix {self.matrix!r} is not one of {', '.join(_LUMA)}")

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.y.shape[1]), int(self.y.shape[0])

    def rgb(self) -> Plane:
        """The whole frame as RGB (H, W, 3) uint8."""
        size_wh = self.size_wh
        doubled = (2 * self.u.shape[1], 2 * self.u.shape[0])
        u, v = (
            cv2.resize(plane, doubled, interpolation=cv2.INTER_NEAREST)[: size_wh[1], : size_wh[0]]
            for plane in (self.u, self.v)
        )
        return to_colour(self.y, u, v, self.matrix, self.full_range)

    def grey_level(self, level: float) -> tuple[float, float]:
        """Luma and chroma of a grey of `level` in RGB."""
        return (level, 128.0) if self.full_range else (16 + level * 219 / 255, 128.0)

    def copied(self) -> Yuv420:
        """The same frame in memory of its own, so that the decoder gets its buffers back."""
        return Yuv420(self.y.copy(), self.u.copy(), self.v.copy(), self.matrix, self.full_range)


Picture: TypeAlias = NDArray[np.uint8] | Yuv420


def to_colour(y: Array, u: Array, v: Array, matrix: ColourMatrix, full_range: bool) -> Plane:
    """RGB (H, W, 3) of three planes of one size."""
    pixels: Plane = np.asarray(cv2.transform(cv2.merge((y, u, v)), _conversion(matrix, full_range)), np.uint8)
    return pixels


def from_rgb(pixels: Plane, matrix: ColourMatrix, full_range: bool) -> Yuv420:
    """RGB (H, W, 3) of even sides as planes; the inverse of `Yuv420.rgb`, but for rounding."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        raise MediaError(f"{width}x{height} has an odd side; a chroma sample covers two pixels")
    there = _conversion(matrix, full_range)
    back = np.linalg.inv(there[:, :3])
    planes = cv2.transform(pixels, np.column_stack([back, -back @ there[:, 3]]))
    y, u, v = cv2.split(planes)
    half = (width // 2, height // 2)
    u, v = (cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in (u, v))
    return Yuv420(
        np.asarray(y, np.uint8), np.asarray(u, np.uint8), np.asarray(v, np.uint8), matrix, full_range
    )


def to_grey(y: Plane, full_range: bool) -> Plane:
    """The luma plane spread over 0..255."""
    if full_range:
        return y
    scale = 255 / 219
    return np.asarray(cv2.transform(y, np.array([[scale, -16 * scale]])), np.uint8)


@lru_cache
def _conversion(matrix: ColourMatrix, full_range: bool) -> NDArray[np.float64]:
    """The 3x4 matrix from (y, u, v, 1) to RGB."""
    red, blue = _LUMA[matrix]
    green = 1 - red - blue
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    to_r, to_b = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    rows = np.array([[luma, 0.0, to_r], [luma, -to_b * blue / green, -to_r * red / green], [luma, to_b, 0.0]])
    return np.column_stack([rows, rows @ (-black, -128.0, -128.0)])


def size_wh_of(picture: Picture) -> tuple[int, int]:
    """Width and height in pixels of either kind of picture."""
    if isinstance(picture, Yuv420):
        return picture.size_wh
    return int(picture.shape[1]), int(picture.shape[0])


def as_rgb(picture: Picture) -> Plane:
    """RGB (H, W, 3) of either kind of picture."""
    return picture.rgb() if isinstance(picture, Yuv420) else picture


def from_av(frame: Any) -> Picture:
    """A decoded PyAV frame, upright: its own planes where they are 8-bit 4:2:0, RGB pixels otherwise.

    The planes are views: they keep the decoder's buffer for as long as they live. Colour matrix and
    range are the frame's own; a matrix other than BT.601 and BT.709 is left to swscale.
    """
    from sightline.core.frames import quarter_turns, to_rgb  # here: PyAV is for who decodes video

    name, matrix = frame.format.name, _MATRICES.get(int(frame.colorspace))
    if matrix is None or name not in (*_PLANAR, _SEMI_PLANAR):
        return to_rgb(frame)
    full = name == "yuvj420p" or int(frame.color_range) == _FULL_RANGE
    if name == _SEMI_PLANAR:
        y, both = _plane(frame, 0), _plane(frame, 1)
        planes = [y, np.ascontiguousarray(both[:, 0::2]), np.ascontiguousarray(both[:, 1::2])]
    else:
        planes = [_plane(frame, i) for i in range(3)]
    turns = quarter_turns(frame)
    if turns:
        planes = [np.ascontiguousarray(np.rot90(plane, turns)) for plane in planes]
    return Yuv420(planes[0], planes[1], planes[2], matrix, full)


def _plane(frame: Any, index: int) -> Plane:
    """One plane as a view, without the padding at the end of its rows."""
    plane = frame.planes[index]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    if frame.format.name == _SEMI_PLANAR and index == 1:
        return rows[: (frame.height + 1) // 2, : 2 * ((frame.width + 1) // 2)]
    return rows[: plane.height, : plane.width]
