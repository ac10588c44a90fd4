"""COCO instances: one JSON a part; boxes, polygons, run-length masks, crowds, labels of whole pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.errors import FormatError
from sightline.core.files import folder_written_whole
from sightline.core.geometry import polygon_area
from sightline.core.records import Annotation, Record
from sightline.data.dataset import Dataset
from sightline.data.formats import coco_parse as parse
from sightline.data.formats.coco_rle import pack
from sightline.data.formats.coco_table import CocoTables, Source
from sightline.data.formats.files import Lost, copy_media, note_absent, partition_of, shown
from sightline.data.ledger import Ledger
from sightline.data.media_store import is_url, locate
from sightline.data.reading import Reading, ReadOptions

_PEEK = 1 << 18
_TRIED = 5


def sniff(source: Path) -> str | None:
    """A JSON file with images, categories and annotations, and no panoptic segments."""
    for path in candidates(source):
        if looks_like(path):
            return f"{shown(path, source)} has images, annotations and categories"
    return None


def candidates(source: Path) -> list[Path]:
    """JSON files where COCO puts them: the source itself, beside the pictures, in `annotations/`, by part."""
    if source.is_file():
        return [source] if source.suffix.lower() == ".json" else []
    places = [source, source / "annotations", *sorted(p for p in source.glob("*") if p.is_dir())]
    return list(dict.fromkeys(path for place in places for path in sorted(place.glob("*.json"))))


def looks_like(path: Path, *, panoptic: bool = False) -> bool:
    """Whether a file's beginning and end show the keys of instances (or of panoptic segments)."""
    try:
        with path.open("rb") as file:
            text = file.read(_PEEK)
            file.seek(max(0, path.stat().st_size - _PEEK))
            text += file.read(_PEEK)
    except OSError:
        return False
    keys = set(re.findall(rb'"(images|annotations|categories|segments_info)"\s*:', text))
    return {b"images", b"categories"} <= keys and (b"segments_info" in keys) is panoptic


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """One record an image. Categories match by name over all files; ids may be anything.

    Of several files in a folder, those named `instances*` are read where there are any. A file's part is read
    off its name or folder (`train`, `val`, `test`).

    Raises:
        FormatError: no such file, JSON that is malformed, or a value of another kind; names the file and the
            pointer.
    """
    paths = [path for path in candidates(source) if path == source or looks_like(path)]
    if not paths:
        raise FormatError("holds no COCO JSON file", where=source)
    named = [path for path in paths if path.name.startswith("instances")]
    left = [path for path in paths if path not in named] if named else []
    if left:
        ledger.note(f"{len(left)} other JSON files are not read, first {shown(left[0], source)}")
    sources, classes, root = open_sources(named or paths, source, options, parse.File)
    licences = msgspec.json.encode([s.file.licenses for s in sources if s.file.licenses]).decode()
    notes = {"licences_stated": licences} if licences != "[]" else {}
    return Reading(
        classes, (), root, table=CocoTables(sources, ledger), files=[s.path for s in sources], notes=notes
    )


def open_sources(
    paths: list[Path], source: Path, options: ReadOptions, kind: type[parse.File]
) -> tuple[list[Source], tuple[str, ...], Path]:
    """Opened files with their media names and labels, the classes by name, and the media root."""
    opened = [parse.mapped(path) for path in paths]
    with parse.no_collection():
        files = [parse.decode(path, data, kind) for path, data in zip(paths, opened, strict=True)]
    classes: dict[str, int] = {}
    for path, file in zip(paths, files, strict=True):
        _check_categories(path, file)
        for category in sorted(file.categories, key=_by_id):
            classes.setdefault(category.name, len(classes))
    folders = [_folder(path, file, options.media) for path, file in zip(paths, files, strict=True)]
    root = _shared(folders)
    sources = []
    for path, file, data, folder in zip(paths, files, opened, folders, strict=True):
        prefix = "" if folder == root else folder.relative_to(root).as_posix() + "/"
        labels = {category.id: classes[category.name] for category in file.categories}
        part = _partition(path, source) if len(paths) > 1 or path != source else ""
        sources.append(Source(path, shown(path, source), prefix, part, file, data, labels))
    return sources, tuple(classes), root


def _by_id(category: parse.Category) -> tuple[bool, Any]:
    return isinstance(category.id, str), category.id


def _check_categories(path: Path, file: parse.File) -> None:
    names: dict[str, int] = {}
    ids: set[parse.Id] = set()
    for number, category in enumerate(file.categories):
        where = f"{path}: /categories/{number}"
        if category.name in names:
            raise FormatError(
                f"class name {category.name!r} appears twice (also /categories/{names[category.name]})",
                where=where,
                remedy="give each category its own name",
            )
        if category.id in ids:
            raise FormatError(f"category id {category.id!r} appears twice", where=where)
        names[category.name] = number
        ids.add(category.id)


def _partition(path: Path, source: Path) -> str:
    """`train`, `val` or `test` in the file's name, or in its folder's below the source."""
    words = re.findall(r"[a-z]+", path.stem.lower())
    folder = path.parent.name if path.parent != source and path.parent != source.parent else ""
    return next(filter(None, map(partition_of, [*words, folder])), "")


def _folder(path: Path, file: parse.File, media: Path | None) -> Path:
    """The folder where a file's first pictures are found; beside the file where they are nowhere."""
    above = path.parent.parent
    stem = re.sub(r"^(instances|panoptic|person_keypoints)_", "", path.stem)
    bases = [media] if media else [path.parent, above]
    inner = ["", stem, f"images/{stem}", "images", "data", "JPEGImages", f"media/{stem}", "media"]
    names = [image.file_name for image in file.images[:_TRIED]]
    for base in bases:
        for place in inner:
            folder = base / place
            if folder.is_dir() and any(_at(folder, name) for name in names):
                return folder.absolute()
    return (media or path.parent).absolute()


def _at(folder: Path, name: str) -> bool:
    there = locate(folder, name)
    return there is not None and there[0] in (name, name.replace("\\", "/").removeprefix("./"))


def _shared(folders: list[Path]) -> Path:
    """The deepest folder that holds all of them."""
    root = folders[0]
    while not all(folder.is_relative_to(root) for folder in folders):
        root = root.parent
    return root


def write(dataset: Dataset, out: Path) -> Ledger:
    """Write `annotations/instances_PART.json` (or `instances.json`) and `images/`.

    Not carried: points, video frames, groups, sensors, times, maps, where a mark was read.
    """
    ledger = Ledger()
    absent: list[str] = []
    parts = sorted({record.partition for record in dataset.records})
    with folder_written_whole(out) as part:
        for name in parts:
            rows = (record for record in dataset.records if record.partition == name)
            tree = _tree(rows, dataset, part, ledger, absent)
            path = part / "annotations" / (f"instances_{name}.json" if name else "instances.json")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(msgspec.json.encode(tree))
    note_absent(ledger, absent)
    return ledger


def _tree(
    records: Iterator[Record], dataset: Dataset, out: Path, ledger: Ledger, absent: list[str]
) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for record in records:
        lost = Lost(ledger, record)
        if record.frame >= 0:
            lost.picture("COCO carries no video frames")
            continue
        width, height = record.size_wh
        images.append({"id": len(images) + 1, "file_name": record.media, "width": width, "height": height})
        for number, a in enumerate(record.annotations):
            if a.kind == "point":
                lost.mark(number, "COCO carries no points without a skeleton")
                continue
            head = {"id": len(annotations) + 1, "image_id": len(images), "category_id": a.label + 1}
            annotations.append(head | plain_mark(a))
        if not is_url(record.media) and not copy_media(dataset, record, out / "images" / record.media):
            absent.append(record.media)
    categories = [{"id": i, "name": name} for i, name in enumerate(dataset.classes, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def plain_mark(a: Annotation) -> dict[str, Any]:
    """An annotation's own keys; those that would be empty are left out."""
    row: dict[str, Any] = {"iscrowd": int(a.crowd)}
    if a.box is not None:
        x1, y1, x2, y2 = a.box
        row["bbox"] = [x1, y1, x2 - x1, y2 - y1]
        row["area"] = (x2 - x1) * (y2 - y1)
    if a.polygons:
        row["segmentation"] = [ring.ravel().tolist() for ring in a.polygons]
        row["area"] = sum(polygon_area(ring) for ring in a.polygons)
    if a.mask is not None:
        row["segmentation"] = {"size": list(a.mask.size_wh[::-1]), "counts": pack(a.mask.counts)}
        row["area"] = sum(a.mask.counts[1::2])
    if a.track:
        row["track_id"] = a.track
    if a.attributes:
        row["attributes"] = dict(a.attributes)
    return row
