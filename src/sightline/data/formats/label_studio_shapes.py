"""Label Studio's regions in pixels: they are percents of a picture's sides, turned clockwise."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core import label_studio_rle
from sightline.core.errors import FormatError
from sightline.core.geometry import polygon_box
from sightline.core.records import Annotation, Rle
from sightline.data.formats.documents import points_xy
from sightline.data.formats.label_studio_tasks import Region
from sightline.data.formats.turned import ellipse_ring, turn

Size = tuple[int, int]
Points = NDArray[np.float64]

NO_SIZE = "the picture's size is not known, and its marks are in percent"


def shape(region: Region, size_wh: Size) -> Annotation:
    """The region's geometry as an annotation of class 0, in pixels of a picture of `size_wh`.

    Raises:
        FormatError: a value is missing or of another kind; names the pointer.
    """
    found: Annotation = SHAPES[region.kind](region, size_wh)
    return found


def rectangle_corners(
    x: float, y: float, width: float, height: float, rotation: float, size_wh: Size
) -> Points:
    """Corners (4, 2) in pixels, from percents of the sides; `rotation` is clockwise degrees about (x, y).

    The turn happens in pixels: in percent, on a picture that is not square, it would be a shear.
    """
    w, h = size_wh
    a, b = width * w / 100, height * h / 100
    corner = np.array([x * w / 100, y * h / 100])
    turned: Points = corner + turn(np.array([(0, 0), (a, 0), (a, b), (0, b)]), rotation)
    return turned


def _rectangle(region: Region, size_wh: Size) -> Annotation:
    f = region.fields
    rotation = f.number("rotation", 0.0)
    values = (f.number("x"), f.number("y"), f.number("width"), f.number("height"))
    return rectangle(values, rotation, size_wh)


def rectangle(values: tuple[float, float, float, float], rotation: float, size_wh: Size) -> Annotation:
    """x, y, width, height in percent; turned, it is a polygon with its hull as the box."""
    corners = rectangle_corners(*values, rotation, size_wh)
    if rotation % 360 == 0:
        (x1, y1), (x2, y2) = corners[0], corners[2]
        return Annotation(0, (float(x1), float(y1), float(x2), float(y2)))
    attributes = {"rotation": f"{rotation:.6g}"}
    return Annotation(0, polygon_box((corners,)), (corners,), attributes=attributes)


def _polygon(region: Region, size_wh: Size) -> Annotation:
    pairs = points_xy(region.fields.items("points"), f"{region.fields.file}: {region.fields.at}/points")
    ring = np.array(pairs, np.float64).reshape(-1, 2) * (size_wh[0] / 100, size_wh[1] / 100)
    return Annotation(0, polygons=(ring,))


def _ellipse(region: Region, size_wh: Size) -> Annotation:
    f, (w, h) = region.fields, size_wh
    centre = (f.number("x") * w / 100, f.number("y") * h / 100)
    radii = (f.number("radiusX") * w / 100, f.number("radiusY") * h / 100)
    return Annotation(0, polygons=(ellipse_ring(*centre, *radii, f.number("rotation", 0.0)),))


def _keypoint(region: Region, size_wh: Size) -> Annotation:
    f = region.fields
    return Annotation(0, point=(f.number("x") * size_wh[0] / 100, f.number("y") * size_wh[1] / 100))


def _brush(region: Region, size_wh: Size) -> Annotation:
    f, where = region.fields, f"{region.fields.file}: {region.fields.at}/rle"
    if f.value.get("format", "rle") != "rle":
        raise f.fail("format", f"must be rle, is {f.value['format']!r:.40}")
    size = region.size_wh if min(region.size_wh) > 0 else size_wh
    try:
        data = bytes(f.items("rle"))
    except (TypeError, ValueError) as error:
        raise FormatError("must be a list of bytes, 0 to 255", where=where) from error
    return Annotation(0, mask=Rle.encode(label_studio_rle.decode(data, size, where=where)))


def _bitmask(region: Region, size_wh: Size) -> Annotation:
    """A PNG in a data URL; opaque, not black pixels are the mask."""
    f = region.fields
    head, _, text = f.text("imageDataURL").partition(",")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise f.fail("imageDataURL", f"is no base64 ({error})") from error
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None or not head.startswith("data:image/"):
        raise f.fail("imageDataURL", "is no picture")
    layers = pixels.reshape(*pixels.shape[:2], -1)
    mask: NDArray[np.bool_] = np.asarray(layers[:, :, :3].any(axis=2))
    if layers.shape[2] == 4:
        mask &= layers[:, :, 3] > 0
    return Annotation(0, mask=Rle.encode(mask))


SHAPES: dict[str, Callable[[Region, Size], Annotation]] = {
    "rectangle": _rectangle,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "keypoint": _keypoint,
    "brush": _brush,
    "bitmask": _bitmask,
}
