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

import numpy as np

from sightline.core.files import folder_written_whole, write_json, write_text
from sightline.core.geometry import fill_polygons, polygon_box
from sightline.core.label_studio import (
    CONFIG,
    DEFAULT_RATE,
    HIDDEN,
    MEDIA,
    SEEN,
    TASKS,
    Result,
    Size,
    address,
    brush,
    configuration,
    entry,
    keypoint,
    polygon,
    ranges,
    rectangle,
    sequence,
    sized,
    task,
)
from sightline.core.media import VIDEO_SUFFIXES
from sightline.core.records import Annotation, Record, Rle
from sightline.data.formats.files import Lost, copy_media, note_absent
from sightline.data.formats.turned import as_rectangle
from sightline.data.ledger import Ledger
from sightline.data.media_store import is_url

# Attributes that the page's own values say again.
CARRIED = ("rotation", "interpolated", "control")


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
        write_text(part / CONFIG, used.configuration(dataset.classes))
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

    def configuration(self, classes: Iterable[str]) -> str:
        rate = self.rates.most_common(1)[0][0] if self.rates else None
        return configuration(classes, self.controls, rate=rate, hidden=self.hidden)

    def tell(self, ledger: Ledger) -> None:
        if self.maps:
            ledger.note(f"{self.maps} dense maps are not carried")
        if len(self.rates) > 1:
            ledger.note(
                f"videos of {len(self.rates)} frame rates: make a project for each, with its frameRate"
            )


def _is_frame(record: Record) -> bool:
    return record.frame >= 0 and Path(record.media).suffix.lower() in VIDEO_SUFFIXES


def _address(media: str) -> str:
    return media if is_url(media) else address(media)


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
            result.append(entry("choices", {"choices": [HIDDEN]}, f"r{number}", control=SEEN))
        else:
            kind, value = _value(mark, record.size_wh, lost, number)
            lost.extras(number, attributes=CARRIED)
            used.controls.add(kind)
            result.append(sized(entry(kind, value | {kind: [name]}, f"r{number}"), record.size_wh))
    if whole:
        used.controls.add("choices")
        result.append(entry("choices", {"choices": list(dict.fromkeys(whole))}, "whole"))
    return task(data, result)


def _value(mark: Annotation, size_wh: Size, lost: Lost, number: int) -> tuple[str, Result]:
    """Kind and value of a mark, in the page's units."""
    if mark.mask is not None:
        return "brushlabels", brush(mark.mask)
    if mark.polygons:
        turned = turned_rectangle(mark, size_wh)
        if turned is not None:
            return "rectanglelabels", turned
        if mark.box is not None and not np.allclose(mark.box, polygon_box(mark.polygons), atol=0.01):
            lost.part(number, "its box becomes the hull of its outline")
        if len(mark.polygons) > 1:
            lost.part(number, "several rings become a brush mask")
            return "brushlabels", brush(Rle.encode(fill_polygons(mark.polygons, size_wh)))
        return "polygonlabels", polygon(mark.polygons[0], size_wh)
    if mark.box is not None:
        return "rectanglelabels", rectangle(mark.box, size_wh)
    assert mark.point is not None
    return "keypointlabels", keypoint(mark.point, size_wh)


def turned_rectangle(mark: Annotation, size_wh: Size) -> Result | None:
    """A four-cornered ring that is a rectangle, clockwise from its own top-left corner; None for others."""
    if "rotation" not in mark.attributes or len(mark.polygons) != 1:
        return None
    found = as_rectangle(mark.polygons[0])
    if found is None:
        return None
    x, y, width, height, degrees = found
    return rectangle((x, y, x + width, y + height), size_wh, degrees)


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
        value = {"framesCount": count, "duration": count / rate, "sequence": sequence(boxes, count, rate)}
        used.controls.add("videorectangle")
        value["labels"] = [classes[label]]
        result.append(entry("videorectangle", value, track, to="video"))
    for label, at in spans.items():
        used.controls.add("timelinelabels")
        value = {"ranges": ranges(sorted(at)), "timelinelabels": [classes[label]]}
        result.append(entry("timelinelabels", value, f"phase{label}", to="video"))
    return task({"video": _address(frames[0].media)}, result)


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
    return rectangle(mark.box, record.size_wh) if mark.kind == "box" and mark.box is not None else None
