"""LabelMe: a JSON file a picture, continuous pixels from the top-left corner.

Pictures stored inside the JSON (`imageData`) are not read: the file named by `imagePath` is.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import FormatError
from sightline.core.files import folder_written_whole, write_json
from sightline.core.geometry import polygon_box
from sightline.core.media import VIDEO_SUFFIXES
from sightline.core.records import Annotation, Record
from sightline.data.formats.class_names import ClassNames
from sightline.data.formats.crops import cropped, placed
from sightline.data.formats.documents import Fields, head_of, points_xy, read_json
from sightline.data.formats.files import Lost, copy_media, note_absent, partition_of, shown
from sightline.data.formats.media_names import MediaNames
from sightline.data.formats.turned import ELLIPSE_POINTS, ellipse_ring
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading, ReadOptions

VERSION = "5.5.0"
CLIMBS = "picture name climbs out of its folder"
NO_SIZE = "the picture's size is not known"
NOT_READ = "shapes of type {} are not read"
MAX_SNIFFED = 20

Size = tuple[int, int]


def sniff(source: Path) -> str | None:
    """A JSON file with `shapes`, or a folder with such files."""
    for path in _files(source)[:MAX_SNIFFED]:
        head = head_of(path)
        keys = ('"shape_type"', '"imagePath"', '"imageData"', '"flags"')
        if head.lstrip().startswith("{") and '"shapes"' in head and any(key in head for key in keys):
            return f"{shown(path, source)} has shapes of LabelMe"
    return None


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".json" else []
    try:
        return sorted(p for p in source.rglob("*.json") if p.is_file())
    except OSError:
        return []


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """One record a JSON file; flags that are true label the whole picture.

    Raises:
        FormatError: no file, or one that breaks the grammar; names the JSON pointer.
    """
    files = [path for path in _files(source) if '"shapes"' in head_of(path, 1 << 22)]
    if not files:
        raise FormatError("holds no JSON file with shapes", where=source)
    root = options.media or (source if source.is_dir() else source.parent)
    media, names = MediaNames(root), ClassNames()
    records, circles = [], 0
    for path in files:
        whole = Fields(read_json(path), path, "")
        circles += sum(isinstance(s, dict) and s.get("shape_type") == "circle" for s in whole.items("shapes"))
        record = _record(path, source, whole, media, names, ledger)
        if record is not None:
            records.append(record)
    if circles:
        ledger.note(f"{circles} circles become polygons of {ELLIPSE_POINTS} points")
    return Reading(names.names, records, root, files=files)


def _record(
    path: Path, source: Path, whole: Fields, media: MediaNames, names: ClassNames, ledger: Ledger
) -> Record | None:
    ledger.saw("picture")
    place = shown(path, source)
    written = whole.text("imagePath", path.with_suffix(".jpg").name)
    name = _media(path, written.replace("\\", "/"), media)
    size_wh = (whole.whole("imageWidth", 0), whole.whole("imageHeight", 0))
    if min(size_wh) < 1:
        size_wh = media.picture_size(name) if name is not None else (0, 0)
    marks = _marks(whole, size_wh, names, place, ledger)
    if name is None:
        ledger.drop("picture", CLIMBS, place, repr(written))
        for mark in marks:
            ledger.drop("annotation", "its picture was dropped", f"{place}: {mark.source}")
        return None
    folder = PurePosixPath(name).parts
    return Record(
        "",
        name,
        size_wh,
        tuple(marks),
        partition=partition_of(folder[0]) if len(folder) > 1 else "",
        source=place,
    )


def _media(path: Path, written: str, media: MediaNames) -> str | None:
    """`imagePath` starts from the JSON file's folder; `..` is followed as long as it stays under the root."""
    try:
        beside = (path.parent / written).resolve()
        if beside.is_file() and beside.is_relative_to(media.root.resolve()):
            return beside.relative_to(media.root.resolve()).as_posix()
    except (OSError, ValueError):
        pass
    return media.find(written)


def _marks(
    whole: Fields, size_wh: tuple[int, int], names: ClassNames, place: str, ledger: Ledger
) -> list[Annotation]:
    marks: list[Annotation] = []
    grouped: dict[tuple[int, str], int] = {}
    for i, value in enumerate(whole.items("shapes")):
        shape = Fields(value, whole.file, f"/shapes/{i}")
        kind = shape.text("shape_type", "polygon")
        group = shape.value.get("group_id")
        mark = None
        if kind in SHAPES:
            label = names.index(shape.text("label"))
            mark = SHAPES[kind](shape, label, size_wh)
        if mark is None:
            reason = NO_SIZE if kind in SHAPES else NOT_READ.format(kind)
            ledger.saw("annotation")
            ledger.drop("annotation", reason, f"{place}: /shapes/{i}")
            continue
        key = (label, str(group))
        if kind == "polygon" and group is not None and key in grouped:
            # Parts of one thing share a group: rings of one polygon here.
            at = grouped[key]
            rings = marks[at].polygons + mark.polygons
            marks[at] = Annotation(
                label, None, rings, attributes=marks[at].attributes, source=marks[at].source
            )
            continue
        if kind == "polygon" and group is not None:
            grouped[key] = len(marks)
        ledger.saw("annotation")
        marks.append(mark)
    flags = whole.value.get("flags") or {}
    if not isinstance(flags, dict):
        raise whole.fail("flags", "must be an object")
    for name, is_set in flags.items():
        if is_set is True:
            ledger.saw("annotation")
            marks.append(Annotation(names.index(name), source=f"/flags/{name}"))
    return marks


def _told(shape: Fields) -> dict[str, str]:
    """Attributes: the group, the description and the flags that are true."""
    told = {
        k: str(shape.value[k]) for k in ("group_id", "description") if shape.value.get(k) not in (None, "")
    }
    flags = shape.value.get("flags")
    return told | (
        {name: "true" for name, on in flags.items() if on is True} if isinstance(flags, dict) else {}
    )


def _points(shape: Fields, least: int) -> NDArray[np.float64]:
    points = points_xy(shape.items("points"), f"{shape.file}: {shape.at}/points")
    if len(points) < least:
        raise shape.fail("points", f"needs {least} points, has {len(points)}")
    return np.array(points, np.float64).reshape(-1, 2)


def _polygon(shape: Fields, label: int, _: Size) -> Annotation:
    return Annotation(label, polygons=(_points(shape, 0),), attributes=_told(shape), source=shape.at)


def _rectangle(shape: Fields, label: int, _: Size) -> Annotation:
    """Two opposite corners, in any order, or all four."""
    points = _points(shape, 2)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Annotation(label, (x1, y1, x2, y2), attributes=_told(shape), source=shape.at)


def _circle(shape: Fields, label: int, _: Size) -> Annotation:
    """The centre, and a point on the circle."""
    (cx, cy), (x, y) = _points(shape, 2)[:2].tolist()
    radius = math.hypot(x - cx, y - cy)
    ring = ellipse_ring(cx, cy, radius, radius)
    return Annotation(label, polygons=(ring,), attributes=_told(shape), source=shape.at)


def _point(shape: Fields, label: int, _: Size) -> Annotation:
    x, y = _points(shape, 1)[0].tolist()
    return Annotation(label, point=(x, y), attributes=_told(shape), source=shape.at)


def _mask(shape: Fields, label: int, size_wh: Size) -> Annotation | None:
    """A PNG in base64 of the pixels in a box whose corners count pixels, both ends in."""
    (x1, y1), _ = _points(shape, 2)[:2].tolist()
    try:
        data = base64.b64decode(shape.text("mask"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise shape.fail("mask", f"is no base64 ({error})") from error
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None or not (math.isfinite(x1) and math.isfinite(y1)):
        raise shape.fail("mask", "is no picture, or has no place")
    crop = np.asarray(pixels.reshape(*pixels.shape[:2], -1).any(axis=2))
    mask = placed(crop, round(x1), round(y1), size_wh)
    if mask is None:
        return None
    return Annotation(label, mask=mask, attributes=_told(shape), source=shape.at)


SHAPES: dict[str, Callable[[Fields, int, Size], Annotation | None]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "point": _point,
    "mask": _mask,
}


def write(dataset: Any, out: Path) -> Ledger:
    """Write a JSON file beside a copy of each picture.

    Not carried: frames of videos, tracks, crowds, hidden points, maps, groups, sensors, times, attributes
    other than `group_id`, `description` and flags, and a box that is not the hull of its outline.
    """
    ledger = Ledger()
    absent: list[str] = []
    taken: set[PurePosixPath] = set()
    with folder_written_whole(out) as part:
        for record in dataset.records:
            lost = Lost(ledger, record)
            name = PurePosixPath(record.partition) / record.media
            if "://" in record.media or name.suffix.lower() in VIDEO_SUFFIXES:
                lost.picture("it is an address or a frame of a video")
                continue
            if name.with_suffix(".json") in taken:
                lost.picture("another picture has its name and another suffix")
                continue
            taken.add(name.with_suffix(".json"))
            value = _file(record, dataset.classes, name.name, lost)
            write_json(part / name.with_suffix(".json"), value)
            if not copy_media(dataset, record, part / name):
                absent.append(record.media)
    note_absent(ledger, absent)
    return ledger


def _file(record: Record, classes: tuple[str, ...], picture: str, lost: Lost) -> dict[str, Any]:
    shapes: list[dict[str, Any]] = []
    flags: dict[str, bool] = {}
    for number, mark in enumerate(record.annotations):
        if mark.kind == "label":
            flags[classes[mark.label]] = True
            lost.extras(number)
        elif mark.kind == "point" and not mark.visible:
            lost.mark(number, "a hidden point is not carried")
        else:
            lost.extras(number, attributes=_Carried(mark))
            hull = polygon_box(mark.polygons) if mark.polygons else mark.box
            if mark.box is not None and hull is not None and not np.allclose(mark.box, hull, atol=0.01):
                lost.part(number, "its box becomes the hull of its outline")
            shapes += _shapes(mark, classes[mark.label], number)
    return {
        "version": VERSION,
        "flags": flags,
        "shapes": shapes,
        "imagePath": picture,
        "imageData": None,
        "imageHeight": record.size_wh[1],
        "imageWidth": record.size_wh[0],
    }


class _Carried:
    """Attributes that a shape holds in its own words."""

    def __init__(self, mark: Annotation) -> None:
        self._mark = mark

    def __contains__(self, name: object) -> bool:
        value = self._mark.attributes.get(str(name), "")
        return name in ("group_id", "description", "rotation") or value == "true"


def _shapes(mark: Annotation, label: str, number: int) -> list[dict[str, Any]]:
    group: object = mark.attributes.get("group_id")
    if len(mark.polygons) > 1:
        group = f"rings of {number}"
    elif group is not None and str(group).isdecimal():
        group = int(str(group))
    base: dict[str, Any] = {
        "label": label,
        "group_id": group,
        "description": mark.attributes.get("description", ""),
        "flags": {k: True for k, v in mark.attributes.items() if v == "true"},
    }
    if mark.mask is not None:
        left, top, crop = cropped(mark.mask)
        done, data = cv2.imencode(".png", crop.astype(np.uint8) * 255)
        assert done
        corners = [[left, top], [left + crop.shape[1] - 1, top + crop.shape[0] - 1]]
        text = base64.b64encode(bytes(data)).decode()
        return [base | {"shape_type": "mask", "points": corners, "mask": text}]
    if mark.polygons:
        return [base | {"shape_type": "polygon", "points": ring.tolist()} for ring in mark.polygons]
    if mark.box is not None:
        x1, y1, x2, y2 = mark.box
        return [base | {"shape_type": "rectangle", "points": [[x1, y1], [x2, y2]]}]
    assert mark.point is not None
    return [base | {"shape_type": "point", "points": [list(mark.point)]}]
