"""COCO panoptic: a JSON with segments, and a PNG a picture whose colours number them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sightline.core.errors import FormatError, MediaError
from sightline.core.files import folder_written_whole
from sightline.core.media import read_map
from sightline.core.records import Annotation, Record
from sightline.data.dataset import Dataset
from sightline.data.formats import coco_parse as parse
from sightline.data.formats.coco import candidates, looks_like, open_sources
from sightline.data.formats.coco_table import Source
from sightline.data.formats.files import Lost, copy_media, note_absent, shown
from sightline.data.ledger import Ledger
from sightline.data.media_store import locate
from sightline.data.panoptic import encode_segments, segment_numbers
from sightline.data.reading import Reading, ReadOptions


class Segment(msgspec.Struct, gc=False):
    """An entry of `segments_info`."""

    id: int
    category_id: parse.Id
    bbox: list[float] | None = None
    iscrowd: int | bool | None = 0


class Picture(msgspec.Struct, gc=False):
    """An entry of `annotations`: all segments of one picture."""

    image_id: parse.Id
    file_name: str
    segments_info: list[Segment]


def sniff(source: Path) -> str | None:
    """A JSON file with images, categories and `segments_info`."""
    for path in candidates(source):
        if looks_like(path, panoptic=True):
            return f"{shown(path, source)} has images, categories and segments_info"
    return None


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """One record an image; its segments are annotations, its map numbers them.

    Raises:
        FormatError: no such file, malformed JSON, a value of another kind.
    """
    paths = [p for p in candidates(source) if p == source or looks_like(p, panoptic=True)]
    if not paths:
        raise FormatError("holds no COCO panoptic JSON file", where=source)
    sources, classes, root = open_sources(paths, source, options, parse.File)
    made: dict[str, Callable[[], bytes]] = {}
    records = [record for opened in sources for record in _records(opened, ledger, made)]
    stuff = [c.name for s in sources for c in s.file.categories if not c.isthing]
    notes = {"stuff": ", ".join(dict.fromkeys(stuff))} if stuff else {}
    return Reading(classes, records, root, made=made, files=[s.path for s in sources], notes=notes)


def _records(source: Source, ledger: Ledger, made: dict[str, Callable[[], bytes]]) -> list[Record]:
    pictures = parse.decode_many(source.path, source.file.annotations, Picture, "/annotations/{}".format)
    by_image = {picture.image_id: (number, picture) for number, picture in enumerate(pictures)}
    if len(by_image) < len(pictures):
        raise FormatError("two annotations name one image_id", where=f"{source.path}: /annotations")
    folder = _png_folder(source.path)
    records = []
    for image, media in zip(source.file.images, source.media(), strict=True):
        ledger.saw("picture")
        number, picture = by_image.pop(image.id, (-1, None))
        size_wh = (int(image.width or 0), int(image.height or 0))
        record = Record(media, media, size_wh, partition=source.partition, source=source.shown)
        records.append(
            record if picture is None else _with(record, picture, number, source, folder, ledger, made)
        )
    for number, picture in by_image.values():
        ledger.saw("annotation", len(picture.segments_info))
        for segment in picture.segments_info:
            place = f"{source.shown}: /annotations/{number}: segment {segment.id}"
            ledger.drop("annotation", "its image_id is not among the images", place)
    return records


def _png_folder(path: Path) -> Path:
    """Where the maps are: a folder named as the file, beside it or one level up."""
    for base in (path.parent, path.parent.parent):
        if (base / path.stem).is_dir():
            return base / path.stem
    return path.parent


def _with(
    record: Record,
    picture: Picture,
    number: int,
    source: Source,
    folder: Path,
    ledger: Ledger,
    made: dict[str, Callable[[], bytes]],
) -> Record:
    """The record with its segments and map."""
    place = f"{source.shown}: {record.media}"
    there = locate(folder, picture.file_name)
    if there is None:
        ledger.fix("picture", "its map is absent or unreadable and is left out", place, picture.file_name)
    marks: list[Annotation] = []
    ids: list[int] = []
    for segment in picture.segments_info:
        ledger.saw("annotation")
        here = f"/annotations/{number}: segment {segment.id}"
        label = source.labels.get(segment.category_id, -1)
        if label < 0:
            ledger.drop("annotation", "its category_id is not among the categories", f"{place}: {here}")
            continue
        if segment.bbox is not None and len(segment.bbox) != 4:
            raise FormatError("bbox must have 4 numbers", where=f"{source.path}: {here}")
        x, y, w, h = segment.bbox or (0.0, 0.0, 0.0, 0.0)
        box = (x, y, x + w, y + h) if segment.bbox else None
        marks.append(Annotation(label, box=box, crowd=bool(segment.iscrowd), source=here))
        ids.append(segment.id)
    maps = {}
    if there is not None:
        name = f"panoptic/{source.prefix}{there[0]}"
        made[name] = partial(_recoded, there[1], ids, record.size_wh)
        maps["panoptic"] = name
    return Record(
        record.id,
        record.media,
        record.size_wh,
        tuple(marks),
        maps=maps,
        partition=record.partition,
        source=record.source,
    )


def _recoded(path: Path, ids: list[int], size_wh: tuple[int, int]) -> bytes:
    """A dataset's map from COCO's: a segment's number in the list, plus one; unknown ids are void."""
    stored = read_map(path)
    if stored.ndim != 3:
        raise MediaError("a panoptic map must be an RGB PNG", where=path)
    if size_wh != (0, 0) and stored.shape[1::-1] != size_wh:
        found = f"{stored.shape[1]}x{stored.shape[0]}"
        raise MediaError(f"is {found}, its picture is {size_wh[0]}x{size_wh[1]}", where=path)
    numbers = segment_numbers(stored)
    order = np.argsort(ids)
    ordered = np.array(ids, np.int64)[order]
    at = np.clip(np.searchsorted(ordered, numbers), 0, max(len(ids) - 1, 0))
    segments = np.full(numbers.shape, -1, np.int32)
    if ids:
        segments = np.where(ordered[at] == numbers, order[at], -1).astype(np.int32)
    return encode_segments(segments)


def write(dataset: Dataset, out: Path) -> Ledger:
    """Write `annotations/panoptic_PART.json`, the maps in a folder of that name, and `images/`.

    Only records with a panoptic map are written. Not carried: outlines, points, tracks, attributes, groups,
    sensors, times, other maps.
    """
    ledger = Ledger()
    absent: list[str] = []
    parts = sorted({record.partition for record in dataset.records})
    stuff = str(dataset.header["source"].get("stuff", "")).split(", ")
    categories = [
        {"id": i, "name": name, "isthing": int(name not in stuff)}
        for i, name in enumerate(dataset.classes, 1)
    ]
    with folder_written_whole(out) as part:
        (part / "annotations").mkdir()
        for name in parts:
            stem = f"panoptic_{name}" if name else "panoptic"
            images: list[dict[str, Any]] = []
            rows: list[dict[str, Any]] = []
            for record in dataset.records:
                if record.partition != name:
                    continue
                lost = Lost(ledger, record)
                if "panoptic" not in record.maps or record.frame >= 0:
                    lost.picture("has no panoptic map, or is a video frame")
                    continue
                _write_one(dataset, record, lost, part / "annotations" / stem, images, rows)
                if not copy_media(dataset, record, part / "images" / record.media):
                    absent.append(record.media)
            tree = {"images": images, "annotations": rows, "categories": categories}
            (part / "annotations" / f"{stem}.json").write_bytes(msgspec.json.encode(tree))
    note_absent(ledger, absent)
    return ledger


def _write_one(
    dataset: Dataset,
    record: Record,
    lost: Lost,
    folder: Path,
    images: list[dict[str, Any]],
    rows: list[dict[str, Any]],
) -> None:
    segments = dataset.read_map(record, "panoptic")
    number = len(images) + 1
    file = f"{number:012d}.png"
    folder.mkdir(exist_ok=True)
    (folder / file).write_bytes(encode_segments(segments))
    width, height = record.size_wh
    images.append({"id": number, "file_name": record.media, "width": width, "height": height})
    infos = []
    for index, a in enumerate(record.annotations):
        if a.kind not in ("box", "label"):
            lost.part(index, f"of a {a.kind} only box and map are carried")
        lost.extras(index, crowd=True)
        info: dict[str, Any] = {"id": index + 1, "category_id": a.label + 1, "iscrowd": int(a.crowd)}
        info["area"] = int((segments == index).sum())
        if a.box is not None:
            info["bbox"] = [a.box[0], a.box[1], a.box[2] - a.box[0], a.box[3] - a.box[1]]
        infos.append(info)
    rows.append({"image_id": number, "file_name": file, "segments_info": infos})
