"""Labels of every pixel: classes, segments and distances, blended into the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.draw.canvas import Canvas
from sightline.draw.text import Pixels, put_text, text_size
from sightline.draw.theme import Colour, class_colour, shade

VOID = 255
_STEPS = (0.0, 0.3, -0.25, 0.5, -0.4)


def paint_semantic(canvas: Canvas, classes: NDArray[Any], names: Sequence[str]) -> None:
    """Class indices (H, W), 255 void, as colours, with a legend of the classes that are there, largest first.

    Void loses its colour.
    """
    present, counts = np.unique(classes[classes != VOID], return_counts=True)
    table = np.zeros((256, 3), np.uint8)
    for index in present:
        table[index] = class_colour(int(index))
    canvas.recolour(table[classes], classes != VOID, 0.5)
    order = np.argsort(-counts, kind="stable")
    entries: list[tuple[str, Colour, float | None]] = []
    for position in order:
        index = int(present[position])
        name = names[index] if index < len(names) else f"#{index}"
        share = counts[position] / classes.size
        entries.append((f"{name} {share:.0%}", class_colour(index), None))
    canvas.legend(entries)


def paint_segments(
    canvas: Canvas, segments: NDArray[Any], labels: Sequence[int], names: Sequence[str]
) -> None:
    """Segments (H, W), index into `labels`, -1 void: a shade of the class's colour each, and its name."""
    colours = np.zeros((len(labels) + 1, 3), np.uint8)
    seen: dict[int, int] = {}
    for index, label in enumerate(labels):
        nth = seen[label] = seen.get(label, -1) + 1
        colours[index] = shade(class_colour(label), _STEPS[nth % len(_STEPS)])
    known = (segments >= 0) & (segments < len(labels))
    index_map = np.where(known, segments, len(labels))
    canvas.recolour(colours[index_map], known, 0.5)
    for index in np.unique(segments[known]):
        region = segments == index
        colour = (int(colours[index][0]), int(colours[index][1]), int(colours[index][2]))
        canvas.mask_outline(region, colour, width=1)
    for index in np.unique(segments[known]):
        label = labels[int(index)]
        name = names[label] if label < len(names) else f"#{label}"
        x, y = _deepest(segments == index)
        half = canvas.text / canvas.scale / 2
        canvas.tag(name, np.array([x - 2 * half, y + half, x + 2 * half, y + half]), class_colour(label))


def _deepest(region: NDArray[np.bool_]) -> tuple[float, float]:
    """The point of a region farthest from its border: a place for its name."""
    padded = np.pad(region.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column) - 0.5, float(row) - 0.5


def paint_depth(canvas: Canvas, metres: NDArray[Any]) -> None:
    """Distances (H, W) in metres, 0 unknown: near is bright, far is dark, with a bar that says how far."""
    known = metres > 0
    if not known.any():
        return
    near, far = (float(v) for v in np.percentile(metres[known], (1, 99)))
    far = max(far, near + 1e-6)
    nearness = np.clip((far - metres) / (far - near), 0, 1)
    canvas.recolour(_viridis(nearness), known, 0.85)
    if canvas.roomy:
        _bar(canvas, near, far)


def _viridis(values: NDArray[Any]) -> Pixels:
    """Colours (H, W, 3) for values 0..1; viridis is even in lightness and safe for colour-blind eyes."""
    bgr = cv2.applyColorMap(np.round(values * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return np.ascontiguousarray(np.asarray(bgr, np.uint8)[:, :, ::-1])


def _bar(canvas: Canvas, near: float, far: float) -> None:
    line = text_size("X", canvas.text)[1]
    words = (f"{near:.3g} m", f"{far:.3g} m")
    widths = [text_size(word, canvas.text)[0] for word in words]
    width, height = canvas.size_wh
    length = min(width - sum(widths) - 4 * line, 8 * line)
    if length < line:
        return
    top = height - line - 4
    canvas.panel((0, top - 2, sum(widths) + length + 3 * line, line + 6))
    ramp = _viridis(np.linspace(1, 0, length)[None].repeat(line - line // 2, axis=0))
    left = line // 2 + widths[0] + line // 2
    put_text(canvas.pixels, words[0], (line // 2, top), canvas.text, canvas.theme.ink)
    y = top + line // 4
    canvas.pixels[y : y + ramp.shape[0], left : left + length] = ramp
    put_text(canvas.pixels, words[1], (left + length + line // 2, top), canvas.text, canvas.theme.ink)
