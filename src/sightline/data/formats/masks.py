"""Pictures beside masks of their classes, as index or colour pictures: CamVid, Cityscapes and their kin.

A mask becomes an 8-bit index map; 255 is void. What a value means is looked up by a class file in the
source's folder (Cityscapes brings its own table); values and colours that it does not name become void, and
the ledger says where.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import FormatError, MediaError
from sightline.core.files import folder_written_whole
from sightline.core.media import MAX_PIXELS, VIDEO_SUFFIXES, probe, read_map
from sightline.core.records import Annotation, Record
from sightline.data.formats import masks_cityscapes as cityscapes
from sightline.data.formats.files import Lost, copy_media, note_absent, shown
from sightline.data.formats.masks_layout import (
    CLASS_FILES,
    VOID,
    Meaning,
    Pair,
    class_file,
    find_folders,
    pair_up,
    read_meaning,
)
from sightline.data.ledger import Ledger
from sightline.data.media_store import examine
from sightline.data.reading import Reading, ReadOptions

MAPS = "segment"
UNKNOWN = "values of its mask that are no class become void"
NO_MASK = "picture has no mask"
UNREADABLE = "its mask cannot be read"
OTHER_SIZE = "its mask has another size"
_PALETTE = 3
_COLOURS_SHOWN = 3

Index = NDArray[np.uint8]


def sniff(source: Path) -> str | None:
    """Cityscapes' folders, or a folder of pictures beside one of masks."""
    if not source.is_dir():
        return None
    truth = cityscapes.truth_folder(source)
    if truth is not None:
        return f"folders {cityscapes.PICTURES} and {truth.name}, as Cityscapes has them"
    folders = find_folders(source)
    if not folders:
        return None
    pictures, masks, _ = folders[0]
    file = class_file(source)
    named = f", classes in {file.name}" if file else ", no class file"
    return f"pictures in {shown(pictures, source)} and masks in {shown(masks, source)}{named}"


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """One record a picture, with a `segment` map; Cityscapes' instances become masks.

    Raises:
        FormatError: no masks, no class file, or one that breaks its grammar.
    """
    truth = cityscapes.truth_folder(source) if source.is_dir() else None
    files: list[Path] = []
    bare: list[Path] = []
    given: Meaning | None = None
    if truth is not None:
        pairs, classes = cityscapes.pairs_of(source, truth), cityscapes.NAMES
    else:
        pairs, bare = pair_up(find_folders(source) if source.is_dir() else [])
        if not pairs:
            raise FormatError("holds no folder of pictures beside one of masks", where=source)
        file = class_file(source)
        if file is None:
            raise FormatError(
                "has masks and no file that names their classes",
                where=source,
                remedy=f"write one of {', '.join(CLASS_FILES)}, for example a class name a line",
            )
        given = _binary(read_meaning(file), pairs, ledger)
        classes, files = given.classes, [file]
    if bare:
        ledger.note(f"{len(bare)} masks have no picture, first {shown(bare[0], source)}")
    made: dict[str, Callable[[], bytes]] = {}
    records = []
    for pair in pairs:
        record = _record(source, pair, given, options, ledger, made)
        if record is not None:
            records.append(record)
    return Reading(classes, records, source, made=made, files=files)


def _binary(meaning: Meaning, pairs: list[Pair], ledger: Ledger) -> Meaning:
    """Two classes drawn as 0 and 255: then 255 is the second class, not void."""
    first = next((pair.mask for pair in pairs if pair.mask is not None), None)
    if len(meaning.classes) != 2 or meaning.colours or first is None:
        return meaning
    seen: set[int] = set()
    for pair in pairs:
        if pair.mask is None:
            continue
        try:
            values = set(np.unique(_pixels(pair.mask, colours=False)).tolist())
        except (MediaError, FormatError):
            continue
        seen |= values
        if not values <= {0, VOID}:
            return meaning
    if seen != {0, VOID}:
        return meaning
    ledger.note(f"masks hold 0 and 255 alone: 255 is read as {meaning.classes[1]!r}")
    return Meaning(meaning.classes, {0: 0, 1: 1, VOID: 1}, {})


def _record(
    source: Path,
    pair: Pair,
    given: Meaning | None,
    options: ReadOptions,
    ledger: Ledger,
    made: dict[str, Callable[[], bytes]],
) -> Record | None:
    """The record of a pair; a picture whose mask cannot serve is dropped."""
    ledger.saw("picture")
    media = pair.picture.relative_to(source).as_posix()
    if pair.mask is None:
        ledger.drop("picture", NO_MASK, media)
        return None
    meaning = given or cityscapes.meaning_of(pair.mask)
    place = shown(pair.mask, source)
    try:
        stored = mask_values(pair.mask, meaning)
        size_wh = examine(pair.picture).size_wh if options.check_media else stored.shape[1::-1]
    except MediaError as error:
        ledger.drop("picture", UNREADABLE, media, str(error.what))
        return None
    if size_wh != stored.shape[1::-1]:
        detail = f"{place} is {stored.shape[1]}x{stored.shape[0]}, picture {size_wh[0]}x{size_wh[1]}"
        ledger.drop("picture", OTHER_SIZE, media, detail)
        return None
    index, unknown = to_index(stored, meaning)
    if unknown:
        ledger.fix("picture", UNKNOWN, media, f"{place}: {shown_values(unknown)}")
    if is_map(pair.mask, stored, index):
        name = pair.mask.relative_to(source).as_posix()
    else:
        name = f"{MAPS}/{PurePosixPath(media).with_suffix('')}.png"
        made[name] = partial(map_bytes, pair.mask, meaning)
    marks = _instances(pair.mask, place, ledger) if given is None else []
    return Record(
        media,
        media,
        (int(size_wh[0]), int(size_wh[1])),
        tuple(marks),
        group=pair.group,
        maps={MAPS: name},
        partition=pair.partition,
        source=place,
    )


def shown_values(unknown: Counter[Any]) -> str:
    """Values that are no class, the commonest first, for a ledger."""
    worst = ", ".join(f"{value}: {count} px" for value, count in unknown.most_common(_COLOURS_SHOWN))
    return worst + (f" and {len(unknown) - _COLOURS_SHOWN} more" if len(unknown) > _COLOURS_SHOWN else "")


def _instances(mask: Path, place: str, ledger: Ledger) -> list[Annotation]:
    path = cityscapes.instances_path(mask)
    if path is None:
        return []
    try:
        found = cityscapes.instances(read_map(path), "instance")
    except MediaError as error:
        ledger.note(f"{place}: its instances cannot be read ({error.what})")
        return []
    ledger.saw("annotation", len(found))
    return found


def mask_values(mask: Path, meaning: Meaning) -> NDArray[Any]:
    """A mask's values (H, W), or colours (H, W, 3) where the meaning is by colours.

    Raises:
        MediaError: unreadable, over the limit, or colours where the meaning has none.
    """
    stored = _pixels(mask, colours=bool(meaning.colours))
    if mask.stem.endswith("instanceIds"):
        stored = np.where(stored >= 1000, stored // 1000, stored).astype(np.uint8)
    return stored


def map_bytes(mask: Path, meaning: Meaning) -> bytes:
    """A mask as the 8-bit PNG of class indices that a dataset keeps."""
    index, _ = to_index(mask_values(mask, meaning), meaning)
    return encode_index(index)


def encode_index(index: Index) -> bytes:
    """An 8-bit PNG of class indices."""
    done, data = cv2.imencode(".png", index)
    if not done:
        raise MediaError(f"a map of {index.shape} cannot be encoded")
    return bytes(data)


def is_map(path: Path, stored: NDArray[Any], index: Index) -> bool:
    """Whether a mask's file is a dataset's map as it lies: an 8-bit grey PNG of class indices."""
    if stored.ndim != 2 or stored.dtype != np.uint8 or not np.array_equal(stored, index):
        return False
    return png_kind(path) == (8, 0)


def png_kind(path: Path) -> tuple[int, int] | None:
    """Bits a channel and colour type (0 grey, 2 RGB, 3 palette) of a PNG; None for other files."""
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError:
        return None
    return (head[24], head[25]) if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) == 26 else None


def _pixels(path: Path, *, colours: bool) -> NDArray[Any]:
    """A mask as stored: (H, W) values, or (H, W, 3) RGB where `colours`. Palettes give their indices."""
    width, height = probe(path).stored_wh
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise MediaError(f"is {width}x{height}, the limit is {MAX_PIXELS} pixels", where=path)
    kind = png_kind(path)
    if kind is not None and kind[1] == _PALETTE and not colours:  # OpenCV would give the palette's colours
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as picture:
                return np.asarray(picture)
        except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as error:
            raise MediaError(f"cannot be decoded ({error})", where=path) from error
    pixels = read_map(path)
    if colours:
        return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.ndim == 3:
        if not (pixels == pixels[:, :, :1]).all():
            raise MediaError("is a colour mask, and the class file gives no colours", where=path)
        return np.asarray(pixels[:, :, 0])
    return pixels


def to_index(stored: NDArray[Any], meaning: Meaning) -> tuple[Index, Counter[Any]]:
    """Class indices (H, W) of a mask, and the pixel counts of values that are no class (now void)."""
    if stored.ndim == 3:
        codes = stored.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        table = {r << 16 | g << 8 | b: index for (r, g, b), index in meaning.colours.items()}
    else:
        codes, table = stored.astype(np.uint32), meaning.values
    values, where, counts = np.unique(codes, return_inverse=True, return_counts=True)
    indices = np.array([table.get(int(v), VOID) for v in values], np.uint8)
    unknown: Counter[Any] = Counter()
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        if value not in table:
            shade = (value >> 16, value >> 8 & 255, value & 255) if stored.ndim == 3 else value
            unknown[shade] = count
    return indices[where].reshape(codes.shape), unknown


def write(dataset: Any, out: Path) -> Ledger:
    """Write `images/`, `masks/` (8-bit index PNG, 255 void) and `classes.csv` (index, name).

    Not carried: annotations, frames of videos, groups, sensors, times, other maps.
    """
    ledger, absent = Ledger(), []
    names: set[str] = set()
    with folder_written_whole(out) as part:
        for record in dataset.records:
            lost = Lost(ledger, record)
            if MAPS not in record.maps or PurePosixPath(record.media).suffix.lower() in VIDEO_SUFFIXES:
                lost.picture("it has no segment map of a single picture")
                continue
            for number in range(len(record.annotations)):
                lost.mark(number, "masks carry classes of pixels alone")
            name = PurePosixPath(record.partition) / PurePosixPath(record.media)
            if str(name.with_suffix("")) in names:
                lost.ledger.drop("picture", "another picture has its name", record.id)
                continue
            names.add(str(name.with_suffix("")))
            target = part / "masks" / name.with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(encode_index(dataset.read_map(record, MAPS)))
            if not copy_media(dataset, record, part / "images" / name):
                absent.append(record.media)
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerows([("index", "name"), *enumerate(dataset.classes)])
        (part / "classes.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    note_absent(ledger, absent)
    return ledger
