"""CVAT's XML 1.1, for images and for videos: continuous pixels from the top-left corner.

A video's tracks become one record a frame; between listed shapes, boxes and points move in straight lines.
See docs/formats.md for what is read and what is lost.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from sightline.core.errors import FormatError
from sightline.core.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from sightline.core.records import Annotation, Record
from sightline.data.formats import cvat_writing
from sightline.data.formats.class_names import ClassNames
from sightline.data.formats.cvat_shapes import NOT_READ, attributes_of, label_of, shapes
from sightline.data.formats.cvat_tracks import track_records
from sightline.data.formats.cvat_values import Meta, meta_of, whole
from sightline.data.formats.documents import head_of
from sightline.data.formats.files import partition_of, shown
from sightline.data.formats.media_names import MediaNames
from sightline.data.formats.turned import ELLIPSE_POINTS
from sightline.data.formats.xml_tree import Element, parse_xml
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading, ReadOptions

CLIMBS = "picture name climbs out of its folder"
NO_SIZE = "the picture's size is not known"
MAX_SNIFFED = 20
# Children of an image that say nothing of a shape.
_NO_SHAPES = frozenset({"attribute"})
_HEADS = ("<image ", "<track ", "<version>1.1")


def sniff(source: Path) -> str | None:
    """An XML file whose root is `annotations` with CVAT's elements, or a folder with one."""
    for path in _files(source)[:MAX_SNIFFED]:
        head = head_of(path)
        if "<annotations>" in head and any(mark in head for mark in _HEADS):
            kind = "tracks" if "<track " in head else "images"
            return f"{shown(path, source)} is CVAT XML with {kind}"
    return None


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".xml" else []
    try:
        return sorted(p for p in source.rglob("*.xml") if p.is_file())
    except OSError:
        return []


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """Records of every file; classes are the labels that the files declare, in their order.

    Raises:
        FormatError: no such file, or one that breaks the grammar; names file and line.
    """
    files = [path for path in _files(source) if "<annotations>" in head_of(path)]
    if not files:
        raise FormatError("holds no XML file of CVAT", where=source)
    root = options.media or (source if source.is_dir() else source.parent)
    media, names = MediaNames(root), ClassNames()
    records: list[Record] = []
    for path in files:
        tree = parse_xml(path)
        if tree.tag != "annotations":
            raise FormatError(f"its root is <{tree.tag}>, not <annotations>", where=path)
        meta = meta_of(tree, path)
        for name in meta.labels:
            names.index(name)
        place = shown(path, source)
        for image in tree.all("image"):
            record = _image(path, place, image, meta, media, names, ledger)
            if record is not None:
                records.append(record)
        if tree.first("track") is not None or (tree.first("image") is None and _is_frame("", meta)):
            records += track_records(path, place, tree, meta, media, names, ledger)
    return Reading(names.names, records, root, files=files)


def _image(
    path: Path, place: str, image: Element, meta: Meta, media: MediaNames, names: ClassNames, ledger: Ledger
) -> Record | None:
    ledger.saw("picture")
    written = image.attributes.get("name", "")
    size_wh = (whole(image, "width", path, 0), whole(image, "height", path, 0))
    name, frame, group = media.find(written), -1, ""
    if _is_frame(written, meta):  # an image export of a video names its frames
        name, frame = media.find(meta.source), whole(image, "id", path)
        group = name or ""
    here = f"{place}: line {image.line}"
    marks: list[Annotation] = []
    for element in image.children:
        if element.tag in _NO_SHAPES:
            continue
        marks += _admitted(element, size_wh, path, here, names, ledger)
    if name is None:
        ledger.drop("picture", CLIMBS, here, repr(written))
        for mark in marks:
            ledger.drop("annotation", "its picture was dropped", f"{here}: {mark.source}")
        return None
    partition = partition_of(image.attributes.get("subset", ""))
    if any(element.tag == "ellipse" for element in image.children):
        _note_once(ledger, f"ellipses become polygons of {ELLIPSE_POINTS} points")
    return Record("", name, size_wh, tuple(marks), frame, group, partition=partition, source=here)


def _note_once(ledger: Ledger, text: str) -> None:
    if text not in ledger.notes:
        ledger.note(text)


def _is_frame(written: str, meta: Meta) -> bool:
    is_video = PurePosixPath(meta.source).suffix.lower() in VIDEO_SUFFIXES
    return is_video and PurePosixPath(written).suffix.lower() not in PICTURE_SUFFIXES


def _admitted(
    element: Element,
    size_wh: tuple[int, int],
    path: Path,
    place: str,
    names: ClassNames,
    ledger: Ledger,
) -> list[Annotation]:
    """The annotations of one shape (`points` may hold several), labelled and with their source."""
    found = shapes(element, size_wh, path)
    source = f"{element.tag} (line {element.line})"
    if not found:
        reason = NO_SIZE if element.tag == "mask" else NOT_READ.format(element.tag)
        ledger.saw("annotation")
        ledger.drop("annotation", reason, f"{place}: {source}")
        return []
    ledger.saw("annotation", len(found))
    label = names.index(label_of(element, path))
    told = attributes_of(element)
    parts = [f"{source} point {i}" for i in range(len(found))] if len(found) > 1 else [source]
    return [
        replace(mark, label=label, attributes={**mark.attributes, **told}, source=part)
        for mark, part in zip(found, parts, strict=True)
    ]


write = cvat_writing.write
