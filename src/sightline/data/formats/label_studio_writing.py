"""Tasks for Label Studio with the labels as pre-annotations, and the configuration they need.

`tasks.json` is imported into a project made with `label_config.xml`; the server shows the pictures, which lie
in `media/`, through its local files (their root is the folder written here).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from sightline.core.files import folder_written_whole, write_json, write_text
from sightline.core.geometry import fill_polygons, polygon_box
from sightline.core.media import VIDEO_SUFFIXES
from sightline.core.records import Annotation, Record, Rle
from sightline.data.formats import label_studio_rle
from sightline.data.formats.files import Lost, copy_media, note_absent
from sightline.data.formats.turned import as_rectangle
from sightline.data.ledger import Ledger
from sightline.data.media_store import is_url

TASKS = "tasks.json"
CONFIG = "label_config.xml"
MEDIA = "media"
MODEL = "sightline"
DEFAULT_RATE = 24.0
CONTROLS = {
    "rectanglelabels": ("RectangleLabels", "box"),
    "polygonlabels": ("PolygonLabels", "outline"),
    "brushlabels": ("BrushLabels", "mask"),
    "keypointlabels": ("KeyPointLabels", "point"),
    "choices": ("Choices", "kind"),
    "videorectangle": ("VideoRectangle", "box"),
    "timelinelabels": ("TimelineLabels", "phase"),
}
# Attributes that the page's own values say again.
CARRIED = ("rotation", "interpolated", "control")
Result = dict[str, Any]
Size = tuple[int, int]


def write(dataset: Any, out: Path) -> Ledger:
    """Write `tasks.json`, `label_config.xml` and `media/` into a new folder.

    The ledger says what Label Studio cannot carry: attributes, tracks of pictures, crowds, dense maps, points
    and masks in videos, marks of pictures of unknown size, a box that is not the hull of its outline.
    """
    ledger, used = Ledger(), _Used()
    tasks: list[dict[str, Any]] = []
    for is_video, records in groupby(dataset.records, key=_is_frame):
        if not is_video:
            tasks += [_picture_task(record, dataset.classes, used, ledger) for record in records]
            continue
        for _, frames in groupby(records, key=lambda record: record.media):
            tasks.append(_video_task(list(frames), dataset.classes, used, ledger))
    used.tell(ledger)
    with folder_written_whole(out) as part:
        write_json(part / TASKS, tasks)
        write_text(part / CONFIG, configuration(dataset.classes, used))
        once = {record.media: record for record in dataset.records}.values()
        absent = [r.media for r in once if not copy_media(dataset, r, part / MEDIA / r.media)]
    note_absent(ledger, absent)
    return ledger


class _Used:
    """Controls that the configuration needs, and counts of what is lost."""

    def __init__(self) -> None:
        self.controls: set[str] = set()
        self.maps = 0
        self.rates: Counter[float] = Counter()
        self.hidden = False

    def tell(self, ledger: Ledger) -> None:
        if self.maps:
            ledger.note(f"{self.maps} dense maps are not carried")
        if len(self.rates) > 1:
            ledger.note(
                f"videos of {len(self.rates)} frame rates: make a project for each, with its frameRate"
            )


def configuration(classes: Iterable[str], used: _Used) -> str:
    """The labelling configuration with the controls in use; each lists every class."""
    media = []
    if used.rates:
        rate = used.rates.most_common(1)[0][0]
        media.append(f'  <Video name="video" value="$video" frameRate="{rate:g}"/>')
    else:
        media.append('  <Image name="image" value="$image" zoom="true"/>')
    to = "video" if used.rates else "image"
    values = list(classes)
    lines = []
    for kind in sorted(used.controls) or ["rectanglelabels"]:
        tag, name = CONTROLS[kind]
        if kind == "videorectangle":
            lines.append(f'  <VideoRectangle name="{name}" toName="{to}"/>')
            tag, name = "Labels", "label"
        child = "Choice" if tag == "Choices" else "Label"
        extra = ' choice="multiple"' if tag == "Choices" else ""
        lines.append(f'  <{tag} name="{name}" toName="{to}"{extra}>')
        lines += [f"    <{child} value={quoteattr(value)}/>" for value in values]
        lines.append(f"  </{tag}>")
    if used.hidden:
        lines.append(f'  <Choices name="seen" toName="{to}"><Choice value="invisible"/></Choices>')
    return "\n".join(["<View>", *media, *lines, "</View>", ""])


def _is_frame(record: Record) -> bool:
    return record.frame >= 0 and Path(record.media).suffix.lower() in VIDEO_SUFFIXES


def _address(media: str) -> str:
    return media if is_url(media) else f"/data/local-files/?d={MEDIA}/{quote(media)}"


def _task(data: dict[str, Any], result: list[Result]) -> dict[str, Any]:
    guesses = [{"model_version": MODEL, "result": result}] if result else []
    return {"data": data, "predictions": guesses}


def _picture_task(record: Record, classes: tuple[str, ...], used: _Used, ledger: Ledger) -> dict[str, Any]:
    lost = Lost(ledger, record)
    data: dict[str, Any] = {"image": _address(record.media)}
    data |= {k: v for k in ("group", "sensor", "partition") if (v := getattr(record, k))}
    data |= {"frame": record.frame} if record.frame >= 0 else {}
    data |= {"time_s": record.time_s} if record.time_s is not None else {}
    used.maps += len(record.maps)
    result: list[Result] = []
    whole: list[str] = []
    for number, mark in enumerate(record.annotations):
        name = classes[mark.label]
        if mark.kind == "label":
            whole.append(name)
        elif record.size_wh == (0, 0):
            lost.mark(number, "the picture's size is not known")
        elif mark.point is not None and mark.kind == "point" and not mark.visible:
            used.hidden = True
            result.append(_entry("seen", "choices", {"choices": ["invisible"]}, "image", f"r{number}"))
        else:
            kind, value = _value(mark, record.size_wh, lost, number)
            lost.extras(number, attributes=CARRIED)
            used.controls.add(kind)
            entry = _entry(CONTROLS[kind][1], kind, value | {kind: [name]}, "image", f"r{number}")
            size = {"original_width": record.size_wh[0], "original_height": record.size_wh[1]}
            result.append(entry | size | {"image_rotation": 0})
    if whole:
        used.controls.add("choices")
        result.append(_entry("kind", "choices", {"choices": list(dict.fromkeys(whole))}, "image", "whole"))
    return _task(data, result)


def _entry(control: str, kind: str, value: Result, to: str, number: str) -> Result:
    return {
        "id": number,
        "type": kind,
        "from_name": control,
        "to_name": to,
        "origin": "prediction",
        "value": value,
    }


def _value(mark: Annotation, size_wh: Size, lost: Lost, number: int) -> tuple[str, Result]:
    """Kind and value of a mark, in the page's units."""
    if mark.mask is not None:
        return "brushlabels", _brush(mark.mask)
    if mark.polygons:
        turned = turned_rectangle(mark, size_wh)
        if turned is not None:
            return "rectanglelabels", turned
        if mark.box is not None and not np.allclose(mark.box, polygon_box(mark.polygons), atol=0.01):
            lost.part(number, "its box becomes the hull of its outline")
        if len(mark.polygons) > 1:
            lost.part(number, "several rings become a brush mask")
            return "brushlabels", _brush(Rle.encode(fill_polygons(mark.polygons, size_wh)))
        points = (mark.polygons[0] * (100 / size_wh[0], 100 / size_wh[1])).tolist()
        return "polygonlabels", {"points": points, "closed": True}
    if mark.box is not None:
        return "rectanglelabels", _rectangle(mark.box, size_wh)
    assert mark.point is not None
    x, y = mark.point
    return "keypointlabels", {"x": 100 * x / size_wh[0], "y": 100 * y / size_wh[1], "width": 0.5}


def _brush(mask: Rle) -> Result:
    return {"format": "rle", "rle": label_studio_rle.encode(mask.decode())}


def _rectangle(box: tuple[float, float, float, float], size_wh: Size, rotation: float = 0.0) -> Result:
    (x1, y1, x2, y2), (w, h) = box, size_wh
    sides = {"width": 100 * (x2 - x1) / w, "height": 100 * (y2 - y1) / h}
    return {"x": 100 * x1 / w, "y": 100 * y1 / h, **sides, "rotation": rotation}


def turned_rectangle(mark: Annotation, size_wh: Size) -> Result | None:
    """A four-cornered ring that is a rectangle, clockwise from its own top-left corner; None for others."""
    if "rotation" not in mark.attributes or len(mark.polygons) != 1:
        return None
    found = as_rectangle(mark.polygons[0])
    if found is None:
        return None
    x, y, width, height, degrees = found
    return _rectangle((x, y, x + width, y + height), size_wh, degrees)


def _video_task(
    frames: list[Record], classes: tuple[str, ...], used: _Used, ledger: Ledger
) -> dict[str, Any]:
    count = frames[-1].frame + 1
    rate = _rate(frames)
    used.rates[rate] += 1
    tracks: dict[tuple[str, int], dict[int, Result]] = {}
    spans: dict[int, set[int]] = {}
    for record in frames:
        lost = Lost(ledger, record)
        for number, mark in enumerate(record.annotations):
            value = _frame_value(mark, record)
            if mark.kind == "label":
                spans.setdefault(mark.label, set()).add(record.frame)
            elif value is None:
                lost.mark(number, f"a {mark.kind} in a video is not carried")
            else:
                track = mark.track or f"{record.frame}.{number}"
                tracks.setdefault((track, mark.label), {})[record.frame] = value
    result = []
    for (track, label), boxes in tracks.items():
        value = {"framesCount": count, "duration": count / rate, "sequence": _sequence(boxes, count, rate)}
        used.controls.add("videorectangle")
        value["labels"] = [classes[label]]
        result.append(_entry("box", "videorectangle", value, "video", track))
    for label, at in spans.items():
        used.controls.add("timelinelabels")
        value = {"ranges": _ranges(sorted(at)), "timelinelabels": [classes[label]]}
        result.append(_entry("phase", "timelinelabels", value, "video", f"phase{label}"))
    return _task({"video": _address(frames[0].media)}, result)


def _rate(frames: list[Record]) -> float:
    first, last = frames[0], frames[-1]
    if first.time_s is None or last.time_s is None or last.time_s <= first.time_s:
        return DEFAULT_RATE
    return round((last.frame - first.frame) / (last.time_s - first.time_s), 3)


def _frame_value(mark: Annotation, record: Record) -> Result | None:
    if min(record.size_wh) < 1:
        return None
    if mark.kind == "polygon":
        return turned_rectangle(mark, record.size_wh)
    return _rectangle(mark.box, record.size_wh) if mark.kind == "box" and mark.box is not None else None


def _sequence(boxes: dict[int, Result], count: int, rate: float) -> list[Result]:
    """A key frame for each frame; the last before a gap is not enabled, so nothing is made up between."""
    return [
        {**boxes[i], "frame": i + 1, "time": i / rate, "enabled": i + 1 in boxes or i + 1 == count}
        for i in sorted(boxes)
    ]


def _ranges(frames: list[int]) -> list[dict[str, int]]:
    """Runs of frames counted from 0, as ranges counted from 1, both ends in."""
    out: list[dict[str, int]] = []
    for frame in frames:
        if out and out[-1]["end"] == frame:
            out[-1]["end"] = frame + 1
        else:
            out.append({"start": frame + 1, "end": frame + 1})
    return out
