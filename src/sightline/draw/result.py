"""A result of any task, drawn on its picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sightline.core.results import (
    ClassScores,
    DepthMap,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)
from sightline.draw.canvas import Array, Canvas
from sightline.draw.dense import paint_depth, paint_segments, paint_semantic
from sightline.draw.points import Trail, paint_point, paint_trails
from sightline.draw.text import Pixels
from sightline.draw.theme import class_colour, theme

TOP_CLASSES = 3
# Dense layers lie under shapes, shapes under points, and the answer for the whole picture on top.
_ORDER = (DepthMap, SemanticMap, PanopticMap, Instances, Detections, Points, ClassScores)


class _Options(NamedTuple):
    min_score: float
    trails: Sequence[Trail]


def draw_result(
    picture: Array,
    result: Result,
    *,
    min_score: float = 0.0,
    trails: Sequence[Trail] = (),
    scale: float = 1.0,
    dark: bool = False,
) -> Pixels:
    """A copy of a picture with one result on it.

    Args:
        picture: RGB (H, W, 3) uint8, at the size the result's coordinates are in.
        result: any of the seven types.
        min_score: rows under it are left out; for `Points` the least probability of being in sight, the
            result's own threshold unless given.
        trails: earlier points of tracks, (N, 2) xy oldest first, NaN where not in sight (`Points`).
        scale: output pixels a source pixel.
        dark: dark panels instead of light ones.

    Returns:
        RGB uint8, (H * scale, W * scale, 3).
    """
    return draw_results(picture, {"": result}, min_score=min_score, trails=trails, scale=scale, dark=dark)


def draw_results(
    picture: Array,
    results: Mapping[str, Result],
    *,
    min_score: float = 0.0,
    trails: Sequence[Trail] = (),
    scale: float = 1.0,
    dark: bool = False,
    sized_for: tuple[int, int] | None = None,
) -> Pixels:
    """A copy of a picture with a predictor's answer, every task of it; arguments as `draw_result`.

    Where the picture is a part of a larger one, `sized_for` is the larger one's width and height.
    """
    canvas = Canvas(picture, scale, theme(dark), sized_for)
    for result in sorted(results.values(), key=lambda r: _ORDER.index(type(r))):
        _PAINT[type(result)](canvas, result, _Options(min_score, trails))
    return canvas.pixels


def _scores(canvas: Canvas, result: ClassScores, options: _Options) -> None:
    best = np.argsort(-result.scores, kind="stable")[:TOP_CLASSES]
    rows = [(int(i), float(result.scores[i])) for i in best if result.scores[i] >= options.min_score]
    canvas.legend([(f"{result.names[i]} {_percent(s)}", class_colour(i), s) for i, s in rows])


def _percent(share: float) -> str:
    return f"{share:.0%}" if share < 0.995 or share == 1 else f"{share:.1%}"


def _detections(canvas: Canvas, result: Detections, options: _Options) -> None:
    kept = np.flatnonzero(result.scores >= options.min_score)
    for index in kept[::-1]:  # the best is drawn last, on top
        canvas.box(result.boxes[index], class_colour(int(result.classes[index])))
    _tags(canvas, result, kept)


def _tags(canvas: Canvas, result: Detections | Instances, kept: Array) -> None:
    for index in kept:
        label = int(result.classes[index])
        text = f"{result.names[label]} {result.scores[index]:.2f}"
        canvas.tag(text, result.boxes[index], class_colour(label))


def _semantic(canvas: Canvas, result: SemanticMap, _: _Options) -> None:
    paint_semantic(canvas, result.classes, result.names)


def _instances(canvas: Canvas, result: Instances, options: _Options) -> None:
    kept = np.flatnonzero(result.scores >= options.min_score)
    for index in kept[::-1]:
        colour = class_colour(int(result.classes[index]))
        canvas.tint(result.masks[index], colour)
        canvas.mask_outline(result.masks[index], colour)
    _tags(canvas, result, kept)


def _panoptic(canvas: Canvas, result: PanopticMap, options: _Options) -> None:
    weak = np.append(result.scores < options.min_score, True)
    segments = np.where(weak[result.segments], -1, result.segments)
    paint_segments(canvas, segments, result.classes.tolist(), result.names)


def _points(canvas: Canvas, result: Points, options: _Options) -> None:
    paint_trails(canvas, options.trails)
    for index, (point, seen) in enumerate(zip(result.points, result.visible, strict=True)):
        if seen < (options.min_score or result.threshold):
            continue
        colour = class_colour(index)
        paint_point(canvas, point, colour)
        name = result.names[index] if index < len(result.names) else ""
        x, y = (float(v) for v in point)
        reach = canvas.text / canvas.scale
        canvas.tag(
            f"{name} {seen:.2f}".strip(), np.array([x - reach, y - reach, x + reach, y + reach]), colour
        )


def _depth(canvas: Canvas, result: DepthMap, _: _Options) -> None:
    paint_depth(canvas, result.metres)


_PAINT: dict[type, Callable[[Canvas, Any, _Options], None]] = {
    ClassScores: _scores,
    Detections: _detections,
    SemanticMap: _semantic,
    Instances: _instances,
    PanopticMap: _panoptic,
    Points: _points,
    DepthMap: _depth,
}
