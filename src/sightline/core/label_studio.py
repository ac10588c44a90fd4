"""Label Studio's tasks: what is written into them, for labels of a dataset and for answers of a model.

Coordinates are percents of the upright picture's sides; frames of a video count from 1. A task holds data
and predictions: pre-annotations that an annotator accepts or corrects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from sightline.core import label_studio_rle
from sightline.core.records import Rle

TASKS = "tasks.json"
CONFIG = "label_config.xml"
MEDIA = "media"
MODEL = "sightline"
DEFAULT_RATE = 24.0
SEEN = "seen"
HIDDEN = "invisible"
# Kind of a result -> tag and name of its control.
CONTROLS = {
    "rectanglelabels": ("RectangleLabels", "box"),
    "polygonlabels": ("PolygonLabels", "outline"),
    "brushlabels": ("BrushLabels", "mask"),
    "keypointlabels": ("KeyPointLabels", "point"),
    "choices": ("Choices", "kind"),
    "videorectangle": ("VideoRectangle", "box"),
    "timelinelabels": ("TimelineLabels", "phase"),
}
Result = dict[str, Any]
Size = tuple[int, int]
Box = tuple[float, float, float, float]


def configuration(
    classes: Iterable[str], controls: Iterable[str], *, rate: float | None = None, hidden: bool = False
) -> str:
    """A labelling configuration; each control lists every class.

    Args:
        classes: names.
        controls: keys of `CONTROLS` in use; rectangles where there are none.
        rate: frames a second of the videos; None where the tasks show pictures.
        hidden: whether a picture can be said to show no point.
    """
    if rate is not None:
        media = f'  <Video name="video" value="$video" frameRate="{rate:g}"/>'
    else:
        media = '  <Image name="image" value="$image" zoom="true"/>'
    to = "video" if rate is not None else "image"
    values = list(classes)
    lines = ["<View>", media]
    for kind in sorted(controls) or ["rectanglelabels"]:
        tag, name = CONTROLS[kind]
        if kind == "videorectangle":
            lines.append(f'  <VideoRectangle name="{name}" toName="{to}"/>')
            tag, name = "Labels", "label"
        child = "Choice" if tag == "Choices" else "Label"
        extra = ' choice="multiple"' if tag == "Choices" else ""
        lines.append(f'  <{tag} name="{name}" toName="{to}"{extra}>')
        lines += [f"    <{child} value={quoteattr(value)}/>" for value in values]
        lines.append(f"  </{tag}>")
    if hidden:
        lines.append(f'  <Choices name="{SEEN}" toName="{to}"><Choice value="{HIDDEN}"/></Choices>')
    return "\n".join([*lines, "</View>", ""])


def address(media: str) -> str:
    """Where the server finds a file of the folder `media/` beside the tasks, through its local files."""
    return f"/data/local-files/?d={MEDIA}/{quote(media)}"


def task(
    data: Mapping[str, Any], result: Sequence[Result], *, model: str = MODEL, score: float | None = None
) -> dict[str, Any]:
    """A task; `score`, 0..1, is what the server can sort tasks by."""
    guess: dict[str, Any] = {"model_version": model, "result": list(result)}
    if score is not None:
        guess["score"] = round(score, 5)
    return {"data": dict(data), "predictions": [guess] if result or score is not None else []}


def entry(
    kind: str, value: Result, number: str, *, control: str = "", to: str = "image", score: float | None = None
) -> Result:
    """One region; those of one `number` belong together."""
    scored = {} if score is None else {"score": round(score, 5)}
    return {
        "id": number,
        "type": kind,
        "from_name": control or CONTROLS[kind][1],
        "to_name": to,
        "origin": "prediction",
        "value": value,
        **scored,
    }


def sized(found: Result, size_wh: Size) -> Result:
    """A region of a picture with the size its percents are of."""
    size = {"original_width": size_wh[0], "original_height": size_wh[1], "image_rotation": 0}
    return found | size


def rectangle(box_xyxy: Sequence[float], size_wh: Size, rotation: float = 0.0) -> Result:
    """A box in percent; `rotation` is clockwise degrees about its top-left corner."""
    (x1, y1, x2, y2), (w, h) = (float(v) for v in box_xyxy), size_wh
    sides = {"width": 100 * (x2 - x1) / w, "height": 100 * (y2 - y1) / h}
    return {"x": 100 * x1 / w, "y": 100 * y1 / h, **sides, "rotation": rotation}


def keypoint(point_xy: Sequence[float], size_wh: Size) -> Result:
    """A point in percent."""
    x, y = (float(v) for v in point_xy)
    return {"x": 100 * x / size_wh[0], "y": 100 * y / size_wh[1], "width": 0.5}


def polygon(ring: NDArray[np.float64], size_wh: Size) -> Result:
    """A ring (N, 2) in percent."""
    return {"points": (ring * (100 / size_wh[0], 100 / size_wh[1])).tolist(), "closed": True}


def brush(mask: NDArray[np.bool_] | Rle) -> Result:
    """A mask (H, W)."""
    pixels = mask.decode() if isinstance(mask, Rle) else mask
    return {"format": "rle", "rle": label_studio_rle.encode(pixels)}


def sequence(boxes: Mapping[int, Result], count: int, rate: float) -> list[Result]:
    """Boxes by frame, from 0, as key frames; the last before a gap is off, so nothing is made up there."""
    return [
        {**boxes[i], "frame": i + 1, "time": i / rate, "enabled": i + 1 in boxes or i + 1 == count}
        for i in sorted(boxes)
    ]


def ranges(frames: Iterable[int]) -> list[dict[str, int]]:
    """Runs of sorted frames counted from 0, as ranges counted from 1, both ends in."""
    out: list[dict[str, int]] = []
    for frame in frames:
        if out and out[-1]["end"] == frame:
            out[-1]["end"] = frame + 1
        else:
            out.append({"start": frame + 1, "end": frame + 1})
    return out
