"""The shapes of CVAT's XML as annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sightline.core.errors import FormatError
from sightline.core.geometry import polygon_box
from sightline.core.records import Annotation
from sightline.data.formats.crops import placed
from sightline.data.formats.cvat_values import number, points, whole
from sightline.data.formats.turned import centred_rectangle, ellipse_ring
from sightline.data.formats.xml_tree import Element

NOT_READ = "shapes of type {} are not read"


def label_of(element: Element, path: Path) -> str:
    """The label of a shape or track."""
    if "label" not in element.attributes:
        raise FormatError(f"<{element.tag}> has no label", where=f"{path}:{element.line}")
    return element.attributes["label"]


def attributes_of(element: Element) -> dict[str, str]:
    """What the annotator wrote: named attributes, the group, and that it is occluded."""
    told = {a.attributes.get("name", ""): a.text for a in element.all("attribute")}
    if element.attributes.get("occluded") == "1":
        told["occluded"] = "1"
    if element.attributes.get("group_id"):
        told["group_id"] = element.attributes["group_id"]
    return told


def shapes(element: Element, size_wh: tuple[int, int], path: Path) -> list[Annotation]:
    """The geometry of a shape's element, as annotations of class 0; none for what is not read."""
    tag = element.tag
    if tag == "box":
        box = tuple(number(element, key, path) for key in ("xtl", "ytl", "xbr", "ybr"))
        return [_box((box[0], box[1], box[2], box[3]), number(element, "rotation", path, 0.0))]
    if tag == "polygon":
        return [Annotation(0, polygons=(points(element, path),))]
    if tag == "points":
        return [Annotation(0, point=(x, y)) for x, y in points(element, path).tolist()]
    if tag == "ellipse":
        cx, cy, rx, ry = (number(element, key, path) for key in ("cx", "cy", "rx", "ry"))
        ring = ellipse_ring(cx, cy, rx, ry, number(element, "rotation", path, 0.0))
        return [Annotation(0, polygons=(ring,))]
    if tag == "mask":
        return _mask(element, size_wh, path)
    return [Annotation(0)] if tag == "tag" else []


def _box(box: tuple[float, float, float, float], rotation: float) -> Annotation:
    if rotation % 360 == 0:
        return Annotation(0, box)
    ring = centred_rectangle(box, rotation)
    return Annotation(0, polygon_box((ring,)), (ring,), attributes={"rotation": f"{rotation:.6g}"})


def _mask(element: Element, size_wh: tuple[int, int], path: Path) -> list[Annotation]:
    """Run lengths along the rows of a crop, background first."""
    left, top = whole(element, "left", path), whole(element, "top", path)
    width, height = whole(element, "width", path), whole(element, "height", path)
    where = f"{path}:{element.line}"
    try:
        counts = np.array([int(word) for word in element.attributes.get("rle", "").split(",")], np.int64)
    except (ValueError, OverflowError):
        raise FormatError("rle is no list of whole numbers", where=where) from None
    if min(width, height) < 1 or counts.min() < 0 or counts.sum() != width * height:
        raise FormatError(
            f"run lengths sum to {counts.sum()}, the crop has {width}x{height} pixels", where=where
        )
    if min(size_wh) < 1:
        return []
    if width > size_wh[0] or height > size_wh[1]:
        raise FormatError(f"crop {width}x{height} is larger than the picture {size_wh}", where=where)
    crop = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
    mask = placed(crop, left, top, size_wh)
    return [] if mask is None else [Annotation(0, mask=mask)]
