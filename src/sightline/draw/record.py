"""The labels of a record, drawn on its picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.geometry import fill_polygons, polygon_box
from sightline.core.records import Annotation, Record
from sightline.draw.canvas import Array, Canvas
from sightline.draw.dense import paint_depth, paint_segments, paint_semantic
from sightline.draw.points import Trail, paint_point, paint_trails
from sightline.draw.text import Pixels
from sightline.draw.theme import ALERT, class_colour, theme


def draw_record(
    picture: Array,
    record: Record,
    classes: Sequence[str],
    *,
    maps: Mapping[str, NDArray[Any]] | None = None,
    trails: Sequence[Trail] = (),
    emphasis: Collection[int] | None = None,
    names: bool = True,
    scale: float = 1.0,
    dark: bool = False,
) -> Pixels:
    """A copy of a picture with every label of its record on it.

    Boxes, polygons and masks carry their class name; crowds are dashed; points are rings, crossed out
    where hidden; labels of the whole picture stand in its corner.

    Args:
        picture: upright RGB (H, W, 3) uint8, at the size the record's coordinates are in.
        record: the labels.
        classes: names by class index; an index past the end is shown as its number.
        maps: dense labels by task, as `dataset.read_map` gives them.
        trails: earlier points of tracks, oldest first, (N, 2) xy with NaN where not in sight.
        emphasis: positions of annotations to point out; all others are then drawn thin.
        names: write the class beside each mark.
        scale: output pixels a source pixel; enlarge small pictures to make room for names.
        dark: dark panels instead of light ones.

    Returns:
        RGB uint8, (H * scale, W * scale, 3).
    """
    canvas = Canvas(picture, scale, theme(dark))
    _maps(canvas, record, classes, maps or {})
    whole = [a for a in record.annotations if a.kind == "label"]
    # Areas first and small things last, so that nothing small is hidden; names after all shapes.
    drawable = [i for i, a in enumerate(record.annotations) if _finite(a)]
    order = sorted(drawable, key=lambda i: -_extent(record.annotations[i]))
    for index in order:
        loud = emphasis is None or index in emphasis
        _shape(canvas, record.annotations[index], loud=loud, alert=emphasis is not None and loud)
    for index in reversed(order) if names else ():
        annotation = record.annotations[index]
        if emphasis is None or index in emphasis:
            _name(canvas, annotation, classes, alert=emphasis is not None)
    paint_trails(canvas, trails)
    canvas.legend([(class_name(classes, a.label), class_colour(a.label), None) for a in whole])
    return canvas.pixels


def class_name(classes: Sequence[str], index: int) -> str:
    """A class's name, or its number where it has none."""
    return classes[index] if 0 <= index < len(classes) else f"#{index}"


def _maps(canvas: Canvas, record: Record, classes: Sequence[str], maps: Mapping[str, NDArray[Any]]) -> None:
    if "depth" in maps:
        depth = maps["depth"]
        metres = depth.astype(np.float32) / (1000 if depth.dtype.kind in "ui" else 1)
        paint_depth(canvas, metres)
    if "segment" in maps:
        paint_semantic(canvas, maps["segment"], classes)
    if "panoptic" in maps:
        segments = maps["panoptic"]
        if segments.ndim == 3:
            segments = segments.astype(np.int32) @ np.array([1, 256, 65536], np.int32) - 1
        labels = [a.label for a in record.annotations]
        paint_segments(canvas, segments, labels, classes)


def _finite(annotation: Annotation) -> bool:
    """Whether a mark has a place; an audit also shows records whose marks have none."""
    corners = [*(annotation.box or ()), *(annotation.point or ())]
    return bool(np.isfinite(corners).all()) and all(np.isfinite(ring).all() for ring in annotation.polygons)


def _extent(annotation: Annotation) -> float:
    if annotation.box is None:
        return 0.0
    x1, y1, x2, y2 = annotation.box
    return abs(x2 - x1) * abs(y2 - y1)


def _shape(canvas: Canvas, annotation: Annotation, *, loud: bool, alert: bool) -> None:
    colour = ALERT if alert else class_colour(annotation.label)
    width = canvas.line if loud else 1
    height_px, width_px = (round(v / canvas.scale) for v in canvas.pixels.shape[:2])
    if annotation.mask is not None and annotation.mask.size_wh == (width_px, height_px):
        mask = annotation.mask.decode()
        canvas.tint(mask, colour, 0.4 if loud else 0.15)
        canvas.mask_outline(mask, colour, width=width)
    elif annotation.polygons:
        canvas.tint(fill_polygons(annotation.polygons, (width_px, height_px)), colour, 0.3 if loud else 0.1)
        for ring in annotation.polygons:
            canvas.outline(ring, colour, width=width, halo=loud)
    elif annotation.box is not None:
        canvas.box(np.array(annotation.box), colour, width=width, dashed=annotation.crowd, halo=loud)
    if annotation.point is not None:
        paint_point(canvas, np.array(annotation.point), colour, visible=annotation.visible)


def _name(canvas: Canvas, annotation: Annotation, classes: Sequence[str], *, alert: bool) -> None:
    colour = ALERT if alert else class_colour(annotation.label)
    text = class_name(classes, annotation.label) + (" (crowd)" if annotation.crowd else "")
    if annotation.box is not None:
        canvas.tag(text, np.array(annotation.box), colour)
    elif annotation.polygons:
        canvas.tag(text, np.array(polygon_box(annotation.polygons)), colour)
    elif annotation.point is not None:
        reach = 2.5 * canvas.text / canvas.scale / 2
        x, y = annotation.point
        hidden = "" if annotation.visible else " (hidden)"
        canvas.tag(text + hidden, np.array([x - reach, y - reach, x + reach, y + reach]), colour)
