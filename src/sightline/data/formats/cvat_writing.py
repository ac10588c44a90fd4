"""Writing CVAT's XML 1.1: one file for all pictures, and one a video."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from sightline.core.files import folder_written_whole, write_text
from sightline.core.geometry import fill_polygons, polygon_box
from sightline.core.media import VIDEO_SUFFIXES
from sightline.core.records import Annotation, Record, Rle
from sightline.data.formats.crops import cropped
from sightline.data.formats.files import Lost, copy_media, note_absent
from sightline.data.formats.turned import as_rectangle, turn
from sightline.data.ledger import Ledger

IMAGES = "annotations.xml"
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
OWN = ("rotation", "interpolated", "occluded", "group_id")


def write(dataset: Any, out: Path) -> Ledger:
    """Write `annotations.xml` with the pictures, `NAME.xml` for each video, and the media beside them.

    Not carried: crowds, tracks and hidden points of pictures, maps, groups, sensors, times, masks, outlines
    of several rings and labels of frames in videos, a box that is not the hull of its outline, characters
    that XML has not.
    """
    ledger = Ledger()
    pictures: list[str] = []
    videos: dict[str, list[tuple[Record, Lost]]] = {}
    for record in dataset.records:
        lost = Lost(ledger, record)
        if not xml_can(record.media):
            lost.picture("its name holds a character that XML has not")
        elif record.frame >= 0 and PurePosixPath(record.media).suffix.lower() in VIDEO_SUFFIXES:
            videos.setdefault(record.media, []).append((record, lost))
        else:
            pictures.append(_image(len(pictures), record, dataset.classes, lost))
    with folder_written_whole(out) as part:
        if pictures or not videos:
            write_text(part / IMAGES, _document(dataset.classes, "", pictures))
        taken = {IMAGES}
        for media, frames in videos.items():
            name = PurePosixPath(media).stem
            while f"{name}.xml" in taken:
                name += "_"
            taken.add(f"{name}.xml")
            write_text(part / f"{name}.xml", _video(media, frames, dataset.classes))
        once = {r.media: r for r in dataset.records if xml_can(r.media)}.values()
        absent = [r.media for r in once if not copy_media(dataset, r, part / r.media)]
    note_absent(ledger, absent)
    return ledger


def xml_can(text: str) -> bool:
    """Whether XML 1.0 has every character of a text."""
    return not _NO_XML.search(text)


def _attribute(text: str) -> str:
    """A quoted attribute; line breaks and tabs are kept as references, or a reader would make them spaces."""
    return quoteattr(text, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _document(classes: Iterable[str], head: str, body: Iterable[str]) -> str:
    labels = "".join(f"<label><name>{escape(name)}</name></label>" for name in classes)
    meta = f"  <meta><task><labels>{labels}</labels>{head}</task></meta>"
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>", meta]
    return "\n".join([*lines, *body, "</annotations>", ""])


def _image(number: int, record: Record, classes: tuple[str, ...], lost: Lost) -> str:
    width, height = record.size_wh
    subset = f" subset={_attribute(record.partition)}" if record.partition else ""
    lines = [
        f'  <image id="{number}" name={_attribute(record.media)}{subset} width="{width}" height="{height}">'
    ]
    for at, mark in enumerate(record.annotations):
        if mark.kind == "point" and not mark.visible:
            lost.mark(at, "a hidden point of a picture is not carried")
            continue
        if mark.mask is None and len(mark.polygons) > 1 and min(record.size_wh) < 1:
            lost.mark(at, "several rings, and the picture's size is not known")
            continue
        lost.extras(at, attributes=_Writable(mark))
        lines.append(
            "    " + _shape(mark, record.size_wh, f" label={_attribute(classes[mark.label])}", lost, at)
        )
    return "\n".join([*lines, "  </image>"])


class _Writable:
    """Names of attributes that XML can carry."""

    def __init__(self, mark: Annotation) -> None:
        self._mark = mark

    def __contains__(self, name: object) -> bool:
        return xml_can(str(name)) and xml_can(self._mark.attributes.get(str(name), ""))


def _shape(mark: Annotation, size_wh: tuple[int, int], head: str, lost: Lost, at: int) -> str:
    """One element: the geometry in its attributes, what the author wrote as children."""
    told = mark.attributes
    head += ' source="manual"' + (' occluded="1"' if told.get("occluded") == "1" else ' occluded="0"')
    if told.get("group_id"):
        head += f" group_id={_attribute(told['group_id'])}"
    tag, geometry = _geometry(mark, size_wh, lost, at)
    children = "".join(
        f"<attribute name={_attribute(k)}>{escape(v)}</attribute>"
        for k, v in told.items()
        if k not in OWN and xml_can(k) and xml_can(v)
    )
    return f"<{tag}{head}{geometry}>{children}</{tag}>"


def _geometry(mark: Annotation, size_wh: tuple[int, int], lost: Lost, at: int) -> tuple[str, str]:
    if mark.mask is not None:
        return "mask", _rle(mark.mask)
    if mark.polygons:
        rectangle = as_rectangle(mark.polygons[0]) if "rotation" in mark.attributes else None
        if rectangle is not None and len(mark.polygons) == 1:
            return "box", _turned(rectangle)
        if mark.box is not None and not np.allclose(mark.box, polygon_box(mark.polygons), atol=0.01):
            lost.part(at, "its box becomes the hull of its outline")
        if len(mark.polygons) > 1:
            lost.part(at, "several rings become a mask")
            return "mask", _rle(Rle.encode(fill_polygons(mark.polygons, size_wh)))
        return "polygon", f' points="{";".join(f"{x!r},{y!r}" for x, y in mark.polygons[0].tolist())}"'
    if mark.box is not None:
        return "box", _corners(mark.box)
    if mark.point is not None:
        return "points", f' points="{mark.point[0]!r},{mark.point[1]!r}"'
    return "tag", ""


def _corners(box: tuple[float, float, float, float]) -> str:
    x1, y1, x2, y2 = box
    return f' xtl="{x1!r}" ytl="{y1!r}" xbr="{x2!r}" ybr="{y2!r}"'


def _turned(rectangle: tuple[float, float, float, float, float]) -> str:
    """Around its corner to around its centre."""
    x, y, width, height, degrees = rectangle
    cx, cy = (np.array([x, y]) + turn(np.array([[width / 2, height / 2]]), degrees)[0]).tolist()
    box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    return f'{_corners(box)} rotation="{degrees!r}"'


def _rle(mask: Rle) -> str:
    left, top, crop = cropped(mask)
    flat = crop.ravel()
    edges = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    runs = np.diff(edges).tolist()
    counts = [0, *runs] if flat[0] else runs
    place = f' left="{left}" top="{top}" width="{crop.shape[1]}" height="{crop.shape[0]}"'
    return f' rle="{", ".join(map(str, counts))}"{place}'


def _video(media: str, frames: list[tuple[Record, Lost]], classes: tuple[str, ...]) -> str:
    first = frames[0][0]
    listed = sorted({record.frame for record, _ in frames})
    tracks: dict[tuple[str, int], dict[int, tuple[Annotation, Record, Lost, int]]] = {}
    for record, lost in frames:
        for at, mark in enumerate(record.annotations):
            turned = mark.kind == "polygon" and len(mark.polygons) == 1
            if mark.kind not in ("box", "point") and not turned:
                lost.mark(at, f"a {mark.kind} in a video is not carried")
                continue
            if mark.crowd:
                lost.part(at, "that it is a crowd is not carried")
            key = (mark.track or f"{record.frame}.{at}", mark.label)
            if record.frame in tracks.get(key, {}):
                key = (f"{mark.track}.{record.frame}.{at}", mark.label)
            tracks.setdefault(key, {})[record.frame] = (mark, record, lost, at)
    body = [
        _track(i, label, shapes, listed, classes) for i, ((_, label), shapes) in enumerate(tracks.items())
    ]
    width, height = first.size_wh
    head = f"<start_frame>{listed[0]}</start_frame><stop_frame>{listed[-1]}</stop_frame>"
    head += f"<original_size><width>{width}</width><height>{height}</height></original_size>"
    return _document(classes, head + f"<source>{escape(media)}</source>", body)


def _track(
    number: int,
    label: int,
    shapes: dict[int, tuple[Annotation, Record, Lost, int]],
    listed: list[int],
    classes: tuple[str, ...],
) -> str:
    """Every frame is listed; the first without a shape is listed as outside, so that nothing is made up."""
    lines = [f'  <track id="{number}" label={_attribute(classes[label])} source="manual">']
    before: tuple[Annotation, Record, Lost, int] | None = None
    for frame in listed:
        now = shapes.get(frame)
        shown = now or before
        if shown is not None:
            mark, record, lost, at = shown
            outside = now is None or (mark.kind == "point" and not mark.visible)
            head = f' frame="{frame}" keyframe="1" outside="{int(outside)}"'
            lines.append("    " + _shape(mark, record.size_wh, head, lost, at))
        before = now
    return "\n".join([*lines, "  </track>"])
