"""Pictures in a folder for each class, with or without a level of train, val and test above."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sightline.core.errors import FormatError
from sightline.core.files import folder_written_whole
from sightline.core.records import Annotation, Record
from sightline.data.dataset import Dataset
from sightline.data.formats.files import Lost, copy_media, is_picture, partition_of, pictures_under
from sightline.data.grouping import copy_of
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading, ReadOptions

# Folders that other formats put beside their labels: they are no classes.
_NOT_CLASSES = {"images", "labels", "annotations", "jpegimages", "imagesets", "masks", "media", "splits"}


@dataclass(frozen=True, slots=True)
class _Part:
    folder: Path
    partition: str
    classes: tuple[str, ...]


def sniff(source: Path) -> str | None:
    """Two or more folders of pictures, and no other format's folders among them."""
    try:
        parts = _parts(source) if source.is_dir() else []
    except OSError:
        return None
    names = {name for part in parts for name in part.classes}
    if len(names) < 2 or any(name.lower() in _NOT_CLASSES for name in names):
        return None
    level = " below " + ", ".join(part.partition for part in parts) if parts[0].partition else ""
    return f"pictures in folders {', '.join(sorted(names)[:4])}{', ...' if len(names) > 4 else ''}{level}"


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """One record a picture, with one label: the name of its folder.

    Raises:
        FormatError: there are no folders with pictures.
    """
    parts = _parts(source) if source.is_dir() else []
    classes = tuple(sorted({name for part in parts for name in part.classes}))
    if not classes:
        raise FormatError("holds no folders with pictures, one a class", where=source)
    root = _top(source)
    records = list(_records(root, parts, classes))
    ledger.saw("picture", len(records))
    ledger.saw("annotation", len(records))
    loose = [path.name for part in parts for path in sorted(part.folder.iterdir()) if is_picture(path)]
    if loose:
        ledger.note(f"{len(loose)} pictures lie outside the class folders and are not read, first {loose[0]}")
    return Reading(classes, records, root)


def _records(root: Path, parts: list[_Part], classes: tuple[str, ...]) -> Iterator[Record]:
    numbers = {name: index for index, name in enumerate(classes)}
    for part in parts:
        for name in part.classes:
            for path in pictures_under(part.folder / name):
                media = path.relative_to(root).as_posix()
                yield Record(
                    id=media,
                    media=media,
                    size_wh=(0, 0),
                    annotations=(Annotation(numbers[name], source=f"folder {name}"),),
                    # A folder here is a class, never a sequence.
                    group=copy_of(media) or media,
                    partition=part.partition,
                    source=media,
                )


def _top(source: Path) -> Path:
    """The folder that holds the classes: single folders without pictures are gone through."""
    folder = source
    while True:
        inner = _folders(folder)
        if len(inner) != 1 or partition_of(inner[0].name) or _has_picture(folder) or _has_picture(inner[0]):
            return folder
        folder = inner[0]


def _parts(source: Path) -> list[_Part]:
    root = _top(source)
    inner = _folders(root)
    named = [folder for folder in inner if partition_of(folder.name)]
    if named:
        return [_Part(f, partition_of(f.name), _classes(f)) for f in named]
    return [_Part(root, "", _classes(root))]


def _classes(folder: Path) -> tuple[str, ...]:
    return tuple(path.name for path in _folders(folder) if next(pictures_under(path), None) is not None)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _has_picture(folder: Path) -> bool:
    return any(is_picture(path) for path in folder.iterdir())


def write(dataset: Dataset, out: Path) -> Ledger:
    """Copy pictures into a folder a class, below their partition where every record has one.

    Not carried: every mark but one label of the whole picture; groups, sensors, times, maps. A picture
    without such a label is not written.
    """
    ledger = Ledger()
    by_part = all(record.partition for record in dataset.records)
    with folder_written_whole(out) as part:
        for record in dataset.records:
            lost = Lost(ledger, record)
            labels = [(n, a) for n, a in enumerate(record.annotations) if a.kind == "label"]
            if record.frame >= 0 or len(labels) != 1:
                what = "a video frame" if record.frame >= 0 else f"{len(labels)} labels"
                lost.picture(f"folders carry pictures of one label, this has {what}")
                continue
            for number, a in enumerate(record.annotations):
                if a.kind != "label":
                    lost.mark(number, f"folders cannot carry a {a.kind}")
            number, label = labels[0]
            lost.extras(number)
            name = dataset.classes[label.label]
            folder = part / (record.partition if by_part else ".") / name
            if not copy_media(dataset, record, folder / _flat(record.media, name)):
                ledger.drop("picture", "picture is not at hand", record.id)
                lost.mark(number, "its picture is not written")
    return ledger


def _flat(media: str, name: str) -> str:
    """The file's name below its class folder: what stands after that folder, if it stood there before."""
    parts = media.split("/")
    return "/".join(parts[parts.index(name) + 1 :]) if name in parts[:-1] else "__".join(parts)
