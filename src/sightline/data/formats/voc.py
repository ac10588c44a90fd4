"""Pascal VOC: an XML file a picture, boxes counted from pixel 1, both ends included."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.sax.saxutils import escape

from sightline.core.errors import FormatError
from sightline.core.files import folder_written_whole
from sightline.core.media import PICTURE_SUFFIXES
from sightline.core.records import Annotation, Record
from sightline.data.dataset import Dataset
from sightline.data.formats.files import Lost, copy_media, note_absent, partition_of, read_text, shown
from sightline.data.formats.xml_tree import Element, parse_xml
from sightline.data.ledger import Ledger
from sightline.data.media_store import is_url
from sightline.data.reading import Reading, ReadOptions

_PICTURES = ("JPEGImages", "images", "Images", "img")
_ATTRIBUTES = ("pose", "truncated", "difficult", "occluded")


def sniff(source: Path) -> str | None:
    """A folder of XML files whose root is `annotation` with VOC's elements."""
    folder = _annotations(source)
    if folder is None:
        return None
    first = next(iter(sorted(folder.glob("*.xml"))), None)
    try:
        root = parse_xml(first) if first else None
    except FormatError:
        return None
    if first is None or root is None or root.tag != "annotation" or root.first("size") is None:
        return None
    return f"{shown(first, source)} is a VOC annotation"


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """One record an XML file; classes are the names used, sorted; `ImageSets` become partitions.

    Raises:
        FormatError: no annotations folder, XML that is malformed, or a number that is none.
    """
    folder = _annotations(source)
    if folder is None:
        raise FormatError("holds no Annotations folder with XML files", where=source)
    files = sorted(folder.glob("*.xml"))
    root = options.media or _media_root(folder)
    parsed = [(path, parse_xml(path)) for path in files]
    names = sorted({o.value("name") for _, tree in parsed for o in tree.all("object")} - {""})
    desk = _Desk(source, root, {name: i for i, name in enumerate(names)}, _partitions(folder), ledger)
    records = [_record(desk, path, tree) for path, tree in parsed]
    _tell(desk, folder, files)
    return Reading(tuple(names), records, root, files=files)


@dataclass(slots=True)
class _Desk:
    source: Path
    media_root: Path
    numbers: dict[str, int]
    partitions: dict[str, str]
    ledger: Ledger
    zero_based: list[str] = field(default_factory=list)
    parts: int = 0


def _annotations(source: Path) -> Path | None:
    if not source.is_dir():
        return None
    for folder in (source / "Annotations", *sorted(source.glob("*/Annotations")), source):
        if folder.is_dir() and next(folder.glob("*.xml"), None) is not None:
            return folder
    return None


def _media_root(annotations: Path) -> Path:
    for name in _PICTURES:
        if (annotations.parent / name).is_dir():
            return annotations.parent / name
    return annotations


def _partitions(annotations: Path) -> dict[str, str]:
    """Stem -> train, val or test, from `ImageSets`; the files of single classes are not read."""
    sets = annotations.parent / "ImageSets"
    found: dict[str, str] = {}
    for path in sorted(sets.glob("**/*.txt")):
        part = partition_of(path.stem)
        if part:
            for line in read_text(path).splitlines():
                name = line.strip()
                if not (annotations / f"{name}.xml").is_file():  # "name 1" or "name.jpg"
                    name = PurePosixPath(name.split()[0]).stem if name else ""
                if name:
                    found.setdefault(name, part)
    return found


def _record(desk: _Desk, path: Path, tree: Element) -> Record:
    if tree.tag != "annotation":
        raise FormatError(f"its root is <{tree.tag}>, not <annotation>", where=path)
    desk.ledger.saw("picture")
    named = tree.first("filename")
    media = _media(desk.media_root, path, "" if named is None else named.text)
    size = tree.first("size")
    size_wh = (0, 0) if size is None else (_whole(size, "width", path), _whole(size, "height", path))
    place = shown(path, desk.source)
    annotations = []
    for number, element in enumerate(tree.all("object"), 1):
        desk.ledger.saw("annotation")
        desk.parts += len(element.all("part"))
        annotation = _object(desk, element, path, f"object {number} (line {element.line})", place)
        if annotation is not None:
            annotations.append(annotation)
    return Record(
        id=media,
        media=media,
        size_wh=size_wh,
        annotations=tuple(annotations),
        partition=desk.partitions.get(path.stem, ""),
        source=place,
    )


def _media(root: Path, path: Path, filename: str) -> str:
    """The picture's name: as written, or with the XML file's own stem where that is not there."""
    if filename and (root / filename).is_file():
        return filename
    name = filename.strip()
    name = PureWindowsPath(name).name if "\\" in name else name
    if is_url(name) or (name and (root / name).is_file()):
        return name
    stems = dict.fromkeys([PurePosixPath(name).stem, name, path.stem])
    for stem in filter(None, stems):
        for suffix in sorted(PICTURE_SUFFIXES):
            for spelled in (suffix, suffix.upper()):
                if (root / (stem + spelled)).is_file():
                    return stem + spelled
    return name or path.stem + ".jpg"


def _object(desk: _Desk, element: Element, path: Path, here: str, place: str) -> Annotation | None:
    name = element.value("name")
    if not name:
        desk.ledger.drop("annotation", "object has no name", f"{place}: {here}")
        return None
    box = element.first("bndbox")
    if box is None:
        desk.ledger.drop("annotation", "object has no box", f"{place}: {here}")
        return None
    x1, y1, x2, y2 = (_number(box, tag, path) for tag in ("xmin", "ymin", "xmax", "ymax"))
    if x1 == 0 or y1 == 0:
        desk.zero_based.append(f"{place}: {here}")
    attributes = {tag: element.value(tag) for tag in _ATTRIBUTES if element.value(tag)}
    (left, right), (top, bottom) = _span(x1, x2), _span(y1, y2)
    corners = (left, top, right, bottom)
    return Annotation(desk.numbers[name], box=corners, attributes=attributes, source=here)


def _span(low: float, high: float) -> tuple[float, float]:
    """First and last pixel, counted from 1, as a continuous span.

    Equal ends are one pixel by the book; the tools that write this format mean an empty box by it, and it is
    left empty here so that it is judged as one.
    """
    return low - 1, (low - 1 if high == low else high)


def _number(element: Element, tag: str, path: Path) -> float:
    child = element.first(tag)
    if child is None:
        raise FormatError(f"<{element.tag}> has no <{tag}>", where=f"{path}:{element.line}")
    try:
        return float(child.text)
    except ValueError:
        raise FormatError(f"<{tag}> is {child.text!r}, not a number", where=f"{path}:{child.line}") from None


def _whole(element: Element, tag: str, path: Path) -> int:
    value = _number(element, tag, path)
    if not 0 <= value < 1 << 31 or value != int(value):
        raise FormatError(f"<{tag}> is {value}, not a size in pixels", where=f"{path}:{element.line}")
    return int(value)


def _tell(desk: _Desk, folder: Path, files: list[Path]) -> None:
    """Notes about the whole set."""
    stems = {path.stem for path in files}
    if desk.zero_based:
        desk.ledger.note(
            f"{len(desk.zero_based)} boxes begin at 0 though VOC counts from 1, first {desk.zero_based[0]}"
        )
    if desk.parts:
        desk.ledger.note(f"{desk.parts} parts of objects (<part>) are not carried")
    listed = sorted(set(desk.partitions) - stems)
    if listed:
        desk.ledger.note(f"{len(listed)} names in ImageSets have no XML file, first {listed[0]}")
    if desk.media_root != folder:
        pictures = {p.stem: p for p in desk.media_root.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES}
        bare = sorted(set(pictures) - stems)
        if bare:
            desk.ledger.note(f"{len(bare)} pictures have no XML file and are not read, first {bare[0]}")


def write(dataset: Dataset, out: Path) -> Ledger:
    """Write `Annotations/`, `JPEGImages/` and, for the author's partitions, `ImageSets/Main/`.

    Not carried: outlines and masks (their boxes are), points, labels of whole pictures, video frames,
    tracks, crowds, groups, sensors, times, maps, and boxes exactly one pixel wide or high.
    """
    ledger, absent = Ledger(), []
    stems: dict[str, str] = {}
    with folder_written_whole(out) as part:
        (part / "Annotations").mkdir()
        for record in dataset.records:
            lost = Lost(ledger, record)
            if record.frame >= 0 or not record.media.isprintable():
                lost.picture("VOC carries single pictures with printable names only")
                continue
            stem = record.media if is_url(record.media) else str(PurePosixPath(record.media).with_suffix(""))
            stem = re.sub(r"[^\w.-]+", "_", stem.replace("/", "__"))
            while stem in stems:
                stem += "_"
            stems[stem] = record.partition
            text = _xml(record, dataset.classes, lost)
            (part / "Annotations" / f"{stem}.xml").write_text(text, encoding="utf-8")
            if not copy_media(dataset, record, part / "JPEGImages" / record.media):
                absent.append(record.media)
        for name in sorted(set(stems.values()) - {""}):
            listed = "".join(f"{stem}\n" for stem, partition in stems.items() if partition == name)
            path = part / "ImageSets" / "Main" / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(listed, encoding="utf-8")
    note_absent(ledger, absent)
    return ledger


def _xml(record: Record, classes: tuple[str, ...], lost: Lost) -> str:
    width, height = record.size_wh
    lines = [
        "<annotation>",
        f"  <filename>{escape(record.media)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
    ]
    for number, a in enumerate(record.annotations):
        if a.box is None:
            lost.mark(number, f"VOC cannot carry a {a.kind}")
            continue
        x1, y1, x2, y2 = a.box
        if x1 + 1 == x2 or y1 + 1 == y2:
            lost.mark(number, "VOC cannot tell a box one pixel wide or high from an empty one")
            continue
        if a.kind != "box":
            lost.part(number, f"of a {a.kind} only the box is carried")
        lost.extras(number, attributes=_ATTRIBUTES)
        known = {key: value for key, value in a.attributes.items() if key in _ATTRIBUTES}
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True)
        lines += [
            "  <object>",
            f"    <name>{escape(classes[a.label])}</name>",
            *(f"    <{key}>{escape(value)}</{key}>" for key, value in known.items()),
            "    <bndbox>" + "".join(f"<{tag}>{value!r}</{tag}>" for tag, value in corners) + "</bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])
