"""How people lay out pictures, masks and the file that says what a mask's values mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sightline.core.errors import FormatError
from sightline.data.formats.documents import read_csv
from sightline.data.formats.files import is_picture, partition_of, pictures_under, read_text

VOID = 255
VOID_NAMES = frozenset({"void", "ignore", "unlabeled", "unlabelled", "unknown"})
INDEXED = "classes.csv"
CLASS_FILES = ("label_colors.txt", "class_dict.csv", INDEXED, "classes.txt", "labels.txt")
PAIRS = (
    ("images", "masks"),
    ("images", "labels"),
    ("images", "annotations"),
    ("image", "mask"),
    ("imgs", "masks"),
    ("img", "mask"),
    ("JPEGImages", "SegmentationClass"),
    ("701_StillsRaw_full", "LabeledApproved_full"),
)
PART_SUFFIXES = ("annot", "_labels", "_masks", "_mask", "_label")
STEM_SUFFIXES = ("_L", "_mask", "_masks", "_label", "_labels", "_gt", "_seg", "-mask")

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a mask's values mean.

    Attributes:
        classes: names, by class index.
        values: value of an index mask -> class index, or `VOID`.
        colours: colour of a colour mask -> class index, or `VOID`; empty for index masks.
    """

    classes: tuple[str, ...]
    values: dict[int, int]
    colours: dict[Colour, int]


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and its mask, None where it has none."""

    picture: Path
    mask: Path | None
    partition: str = ""
    group: str = ""


def class_file(source: Path) -> Path | None:
    """The file in a folder that says what the values of its masks mean."""
    return next((source / name for name in CLASS_FILES if (source / name).is_file()), None)


def read_meaning(path: Path) -> Meaning:
    """Read a class file: `R G B NAME` lines, a CSV of name, r, g, b or of index, name, or a name a line.

    A class called void, ignore, unlabelled or unknown is void, except in `classes.csv`, and so is the value
    255 everywhere.

    Raises:
        FormatError: a line of another kind, or a colour, value or name that appears twice.
    """
    if path.suffix.lower() == ".csv":
        rows = list(_csv_rows(path))
    elif path.name == "label_colors.txt":
        rows = list(_colour_rows(path))
    else:
        lines = enumerate(read_text(path).splitlines(), 1)
        names = [(n, line.strip()) for n, line in lines if line.strip() and not line.startswith("#")]
        rows = [(n, name, i, None) for i, (n, name) in enumerate(names)]
    if not rows:
        raise FormatError("names no class", where=path)
    return _meaning(path, rows)


Row = tuple[int, str, int, Colour | None]


def _meaning(path: Path, rows: list[Row]) -> Meaning:
    names: dict[str, int] = {}
    values: dict[int, int] = {VOID: VOID}
    colours: dict[Colour, int] = {}
    for line, name, value, colour in rows:
        known: object = colour if colour is not None else value
        if name in names or (colour in colours if colour is not None else value in values and value != VOID):
            raise FormatError(f"{name!r} or its value {known} appears twice", where=f"{path}:{line}")
        is_void = value == VOID if path.name == INDEXED else name.casefold() in VOID_NAMES
        index = VOID if is_void else len(names)
        if index != VOID:
            names[name] = index
        if colour is None:
            values[value] = index
        else:
            colours[colour] = index
    if len(names) > VOID:
        raise FormatError(f"names {len(names)} classes, an index map holds {VOID}", where=path)
    return Meaning(tuple(names), values, colours)


def _colour_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split(None, 3)
        if not words:
            continue
        if len(words) < 4:
            raise FormatError(f"{line!r} is not R G B NAME", where=f"{path}:{number}")
        yield number, words[3].strip(), -1, _colour(words[:3], f"{path}:{number}")


def _csv_rows(path: Path) -> Iterator[Row]:
    names, rows = read_csv(path)
    plain = {name.lower(): name for name in names}
    if {"name", "r", "g", "b"} <= plain.keys():
        for line, row in rows:
            colour = _colour([row[plain[c]] for c in "rgb"], f"{path}:{line}")
            yield line, row[plain["name"]].strip(), -1, colour
    elif {"index", "name"} <= plain.keys():
        for line, row in rows:
            yield line, row[plain["name"]], _level(row[plain["index"]], f"{path}:{line}"), None
    else:
        raise FormatError(f"has columns {names}, not name, r, g, b or index, name", where=f"{path}:1")


def _colour(words: list[str], where: str) -> Colour:
    r, g, b = (_level(word, where) for word in words)
    return r, g, b


def _level(word: str, where: str) -> int:
    text = word.strip()
    if not text.isdecimal() or not text.isascii() or len(text) > 5 or int(text) > VOID:
        raise FormatError(f"{word!r} is not a value from 0 to 255", where=where)
    return int(text)


def find_folders(source: Path) -> list[tuple[Path, Path, str]]:
    """Folders of pictures and of their masks, and the author's part each is for."""
    found: list[tuple[Path, Path, str]] = []
    tops = [source, *(p for p in _subfolders(source) if partition_of(p.name))]
    for top in tops:
        for pictures, masks in PAIRS:
            if _has_pictures(top / pictures) and _has_pictures(top / masks):
                found.append((top / pictures, top / masks, partition_of(top.name)))
                break
    for folder in _subfolders(source):
        if partition_of(folder.name) and _has_pictures(folder):
            for suffix in PART_SUFFIXES:
                if _has_pictures(source / (folder.name + suffix)):
                    found.append((folder, source / (folder.name + suffix), partition_of(folder.name)))
                    break
    return found


def _subfolders(source: Path) -> list[Path]:
    try:
        return sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError:
        return []


def _has_pictures(folder: Path) -> bool:
    try:
        return folder.is_dir() and next(pictures_under(folder), None) is not None
    except OSError:
        return False


def pair_up(folders: list[tuple[Path, Path, str]]) -> tuple[list[Pair], list[Path]]:
    """Pictures with their masks, by place and name; and masks that belong to no picture."""
    pairs: list[Pair] = []
    bare: list[Path] = []
    for pictures, masks, partition in folders:
        waiting = {_key(path, masks): path for path in pictures_under(masks) if is_picture(path)}
        taken: set[Path] = set()
        for picture in pictures_under(pictures):
            key = picture.relative_to(pictures).with_suffix("").as_posix()
            mask = waiting.get(key) or waiting.get(_key(picture, pictures))
            part = partition or partition_of(picture.relative_to(pictures).parts[0])
            pairs.append(Pair(picture, mask, part))
            if mask is not None:
                taken.add(mask)
        bare += [path for path in waiting.values() if path not in taken]
    return pairs, bare


def _key(path: Path, folder: Path) -> str:
    """Place and name without the suffix that masks carry."""
    stem = path.stem
    for suffix in STEM_SUFFIXES:
        if stem.endswith(suffix) and len(stem) > len(suffix):
            stem = stem.removesuffix(suffix)
            break
    return path.relative_to(folder).with_name(stem).as_posix()
