"""YOLO text labels: a line a mark, in shares of the upright picture; `data.yaml` names classes and parts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sightline.core.errors import FormatError, MediaError
from sightline.core.files import folder_written_whole
from sightline.core.geometry import polygon_area
from sightline.core.records import Annotation, Record
from sightline.data.dataset import Dataset
from sightline.data.formats.files import (
    Lost,
    copy_media,
    is_picture,
    note_absent,
    partition_of,
    pictures_under,
    read_text,
    read_yaml,
    shown,
)
from sightline.data.ledger import Ledger
from sightline.data.media_store import examine, is_url
from sightline.data.reading import Reading, ReadOptions

_KEYS = ("train", "val", "valid", "test")


def sniff(source: Path) -> str | None:
    """A YAML file with `names`, or folders `images` and `labels` with text files."""
    try:
        path = _yaml(source)
    except FormatError:
        return None
    if path is not None:
        return f"{shown(path, source)} has names and paths of pictures"
    if source.is_dir() and (source / "classes.txt").is_file() and _label_folders(source):
        return "classes.txt beside labels/*.txt"
    return None


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """One record a picture of the parts that `data.yaml` names; shares become pixels.

    A picture without a label file, or with an empty one, has nothing on it: that is how the format says
    background, and the ledger notes how many there are.

    Raises:
        FormatError: no class names, a part that is nowhere, a line that is no label (file and line).
    """
    path = _yaml(source)
    if path is None and not (source.is_dir() and (source / "classes.txt").is_file()):
        raise FormatError("holds no data.yaml with names, and no classes.txt", where=source)
    root = path.parent if path is not None else source
    header: dict[str, Any] = read_yaml(path) if path is not None else {}
    classes = _names(header, path) if path is not None else _listed_names(source / "classes.txt")
    parts = _parts(header, root, path, options.media)
    media_root = _common([picture for _, pictures in parts for picture in pictures], options.media or root)
    desk = _Desk(source, media_root, classes, options, ledger)
    records = [_record(desk, picture, part) for part, pictures in parts for picture in pictures]
    _tell(desk, parts)
    notes = {"licence_stated": str(header["license"])} if "license" in header else {}
    return Reading(classes, [r for r in records if r is not None], media_root, files=desk.files, notes=notes)


@dataclass(slots=True)
class _Desk:
    source: Path
    media_root: Path
    classes: tuple[str, ...]
    options: ReadOptions
    ledger: Ledger
    files: list[Path] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


def _yaml(source: Path) -> Path | None:
    """The YAML file that has `names` and a part."""
    if source.is_file():
        candidates = [source] if source.suffix.lower() in (".yaml", ".yml") else []
    else:
        candidates = sorted([*source.glob("*.yaml"), *source.glob("*.yml")], key=lambda p: p.stem != "data")
    for path in candidates:
        try:
            header = read_yaml(path)
        except FormatError:
            if path == source or path.stem == "data":
                raise
            continue
        if "names" in header and any(key in header for key in _KEYS):
            return path
    return None


def _names(header: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = header["names"]
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise FormatError(
                f"names has the keys {sorted(names, key=str)}, they must be 0, 1, 2, ...", where=path
            )
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise FormatError("names must be a list of class names, or a mapping from 0, 1, 2, ...", where=path)
    count = header.get("nc", len(names))
    if count != len(names):
        raise FormatError(f"nc is {count}, but there are {len(names)} names", where=path)
    return tuple(str(name) for name in names)


def _listed_names(path: Path) -> tuple[str, ...]:
    return tuple(line.strip() for line in read_text(path).splitlines() if line.strip())


def _parts(
    header: dict[str, Any], root: Path, path: Path | None, media: Path | None
) -> list[tuple[str, list[Path]]]:
    """Pictures of each part, in the order of the file; a folder named twice counts in its first part."""
    if path is None:
        base = media or (root / "images" if (root / "images").is_dir() else root)
        return [(_part_in_path(p, base), [p]) for p in pictures_under(base)]
    base = root / str(header.get("path") or ".")
    bases = [b for b in (media, base, root) if b is not None and b.is_dir()]
    parts: list[tuple[str, list[Path]]] = []
    seen: set[Path] = set()
    for key in _KEYS:
        values = header.get(key) or []
        for value in [values] if isinstance(values, str) else values:
            found = _resolve(str(value), bases)
            if found is None and (key == "test" or not _stands_alone(header, key)):
                continue
            if found is None:
                tried = ", ".join(str(b) for b in bases)
                raise FormatError(
                    f"{key}: {value!r} is nowhere under {tried}",
                    where=path,
                    remedy="pass --media-root FOLDER",
                )
            pictures = [p for p in _listed(found, bases) if p not in seen]
            seen.update(pictures)
            parts.append((partition_of(key), pictures))
    return parts


def _stands_alone(header: dict[str, Any], key: str) -> bool:
    """Whether a part must be there: `valid` is another spelling of `val`."""
    return key != "valid" or "val" not in header


def _resolve(value: str, bases: list[Path]) -> Path | None:
    """A folder or list that may be written for another machine: its longest tail that is there."""
    if Path(value).is_absolute() and Path(value).exists():
        return Path(value)
    parts = [part for part in value.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        tails = ["/".join(parts[start:])]
        tails += [t.replace("val/", "valid/", 1) for t in tails if t.startswith("val/")]
        for tail in tails:
            for base in bases:
                if (base / tail).exists():
                    return base / tail
    return None


def _listed(found: Path, bases: list[Path]) -> list[Path]:
    """Pictures of a folder, or those that a text file lists (absent ones too, to be told later)."""
    if found.is_dir():
        return list(pictures_under(found))
    if is_picture(found):
        return [found]
    lines = [line.strip() for line in read_text(found).splitlines() if line.strip()]
    return [_resolve(line, [found.parent, *bases]) or found.parent / line for line in lines]


def _part_in_path(picture: Path, base: Path) -> str:
    return next(filter(None, (partition_of(p) for p in picture.relative_to(base).parts[:-1])), "")


def _common(pictures: list[Path], root: Path) -> Path:
    """The folder that media names start from: `root`, or what all pictures share where they lie elsewhere."""
    if all(p.is_relative_to(root) for p in pictures):
        return root
    shared = pictures[0].parent
    while not all(p.is_relative_to(shared) for p in pictures):
        shared = shared.parent
    return shared


def _label_folders(source: Path) -> list[Path]:
    return [p for p in (source / "labels", *source.glob("*/labels")) if p.is_dir()]


def label_path(picture: Path) -> Path:
    """Where a picture's labels are: `images` becomes `labels` (the last one in the path), suffix `.txt`."""
    parts = list(picture.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _record(desk: _Desk, picture: Path, part: str) -> Record | None:
    desk.ledger.saw("picture")
    labels = label_path(picture)
    media = picture.relative_to(desk.media_root).as_posix()
    place = shown(labels, desk.source)
    size_wh = (0, 0)
    try:
        size_wh = examine(picture).size_wh
    except MediaError as error:
        if not desk.options.check_media:  # else the import drops it, and says why
            desk.ledger.drop("picture", f"its size is needed to read its labels: {error.what}", media)
            return None
    annotations = tuple(_marks(desk, labels, place, size_wh)) if labels.is_file() else ()
    if not labels.is_file():
        desk.bare.append(media)
        place = media
    elif not annotations:
        desk.empty.append(place)
    return Record(media, media, size_wh, annotations, partition=part, source=place)


def _marks(desk: _Desk, labels: Path, place: str, size_wh: tuple[int, int]) -> Iterator[Annotation]:
    desk.files.append(labels)
    for number, line in enumerate(read_text(labels).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        desk.ledger.saw("annotation")
        label, values = _parse(words, f"{labels}:{number}")
        if not 0 <= label < len(desk.classes):
            known = f"class index {label}, {len(desk.classes)} declared"
            desk.ledger.drop(
                "annotation", "its class index is not declared", f"{place}: line {number}", known
            )
            continue
        yield _mark(label, values, size_wh, f"line {number}")


def _parse(words: list[str], where: str) -> tuple[int, list[float]]:
    """Class index and shares of a line: four for a box, three pairs or more for a polygon."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise FormatError(f"is no label: {' '.join(words)[:80]!r}", where=where) from None
    if not math.isfinite(values[0]) or values[0] != int(values[0]):
        raise FormatError(f"class index {words[0]!r} is no whole number", where=where)
    count = len(values) - 1
    if count != 4 and (count < 6 or count % 2):
        raise FormatError(
            f"has {count} numbers after the class; a box has 4, a polygon an even number from 6", where=where
        )
    return int(values[0]), values[1:]


def _mark(label: int, values: list[float], size_wh: tuple[int, int], here: str) -> Annotation:
    w, h = size_wh
    if len(values) == 4:
        cx, cy, bw, bh = values
        box = ((cx - bw / 2) * w, (cy - bh / 2) * h, (cx + bw / 2) * w, (cy + bh / 2) * h)
        return Annotation(label, box=box, source=here)
    ring = np.array(values, np.float64).reshape(-1, 2) * (w, h)
    return Annotation(label, polygons=(ring,), source=here)


def _tell(desk: _Desk, parts: list[tuple[str, list[Path]]]) -> None:
    """Notes about backgrounds, and label files that name no picture."""
    if desk.bare:
        desk.ledger.note(f"{len(desk.bare)} pictures have no label file: background, first {desk.bare[0]}")
    if desk.empty:
        desk.ledger.note(f"{len(desk.empty)} label files are empty: background, first {desk.empty[0]}")
    known = {label_path(picture) for _, pictures in parts for picture in pictures}
    folders = sorted({path.parent for path in known})
    orphans = [p for folder in folders for p in sorted(folder.glob("*.txt")) if p not in known]
    for path in orphans:
        if path.name == "classes.txt":
            continue
        desk.ledger.saw("picture")
        desk.ledger.drop("picture", "label file has no picture", shown(path, desk.source))


def write(dataset: Dataset, out: Path) -> Ledger:
    """Write `data.yaml`, `images/PART/` and `labels/PART/`; records without a partition go to `train`.

    Not carried: masks (their boxes are), all rings of an outline but the largest, the box of an outline,
    points, labels of whole pictures, video frames, crowds, tracks, attributes, groups, sensors, times, maps.
    """
    ledger, absent = Ledger(), []
    taken: set[str] = set()
    with folder_written_whole(out) as part:
        for record in dataset.records:
            lost = Lost(ledger, record)
            if record.frame >= 0 or is_url(record.media) or min(record.size_wh) < 1:
                lost.picture("YOLO carries pictures that are here and whose size is known")
                continue
            name = _short(record, taken)
            target = part / "images" / name
            if not copy_media(dataset, record, target):
                absent.append(record.media)
                target.parent.mkdir(parents=True, exist_ok=True)
            labels = label_path(target)
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("".join(_lines(record, lost)), encoding="utf-8")
        parts = {name.split("/")[0] for name in taken}
        header: dict[str, Any] = {p: f"images/{p}" for p in ("train", "val", "test") if p in parts}
        header |= {"nc": len(dataset.classes), "names": list(dataset.classes)}
        text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
        (part / "data.yaml").write_text(text, encoding="utf-8")
    note_absent(ledger, absent)
    return ledger


def _short(record: Record, taken: set[str]) -> str:
    """A name below `images/`: the partition, then the media name without its own such folders."""
    *folders, file = record.media.split("/")
    kept = [f for f in folders if not partition_of(f) and f not in ("images", "labels")]
    name = "/".join([record.partition or "train", *kept, file])
    stem, dot, suffix = name.rpartition(".")
    while f"{stem}.txt" in taken:
        stem += "_"
    taken.add(f"{stem}.txt")
    return stem + dot + suffix


def _lines(record: Record, lost: Lost) -> Iterator[str]:
    scale = np.array(record.size_wh, np.float64)
    for number, a in enumerate(record.annotations):
        if a.box is None and not a.polygons:
            lost.mark(number, f"YOLO cannot carry a {a.kind}")
            continue
        lost.extras(number)
        if a.polygons:
            if len(a.polygons) > 1:
                lost.part(number, "of several rings only the largest is carried")
            ring = max(a.polygons, key=polygon_area)
            values = (ring / scale).ravel()
        else:
            if a.mask is not None:
                lost.part(number, "of a mask only the box is carried")
            corners = np.array(a.box, np.float64).reshape(2, 2) / scale
            values = np.concatenate([corners.mean(axis=0), corners[1] - corners[0]])
        yield f"{a.label} " + " ".join(f"{value:.12g}" for value in values) + "\n"
