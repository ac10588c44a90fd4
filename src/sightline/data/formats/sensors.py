"""Pictures of several sensors, with dense labels: a `records.csv` beside its files.

Columns: `file` (a picture, or a 16-bit PNG of a depth sensor), and any of `sensor`, `time_s` (seconds on that
sensor's own clock), `group`, `frame`, `partition`, `segment` and `depth` (files of maps). Segment maps hold
indices that `classes.csv` (index, name) names; depth is millimetres in 16 bits, 0 unknown.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.core.errors import FormatError, MediaError
from sightline.core.files import folder_written_whole
from sightline.core.media import VIDEO_SUFFIXES
from sightline.core.records import Record
from sightline.data.formats.documents import head_of, read_csv
from sightline.data.formats.files import Lost, copy_media, note_absent
from sightline.data.formats.masks import is_map, map_bytes, mask_values, png_kind, shown_values, to_index
from sightline.data.formats.masks_layout import INDEXED, VOID, Meaning, read_meaning
from sightline.data.ledger import Ledger
from sightline.data.media_store import safe_name
from sightline.data.reading import Reading, ReadOptions

TABLE = "records.csv"
MAPS = ("segment", "depth")
COLUMNS = ("file", "sensor", "time_s", "group", "frame", "partition", *MAPS)
DEPTH_PNG = (16, 0)
PARTITIONS = ("", "train", "val", "test")
CLIMBS = "file name is absolute or climbs out of its folder"
UNKNOWN = "values of its mask that are no class become void"
BAD_MAP = "its {} map cannot serve and is left out"


def sniff(source: Path) -> str | None:
    """A folder with `records.csv` that has a column `file` and another of this format's."""
    table = source / TABLE if source.is_dir() else source
    if table.name != TABLE or not table.is_file():
        return None
    names = [name.strip() for name in head_of(table, 2000).partition("\n")[0].split(",")]
    known = [name for name in names if name in COLUMNS]
    return f"{TABLE} has the columns {','.join(known)}" if "file" in known and len(known) > 1 else None


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """One record a line.

    Raises:
        FormatError: no `records.csv`, an unknown column, or a cell that is no number; names file and line.
    """
    table = source / TABLE if source.is_dir() else source
    names, rows = read_csv(table)
    strange = [name for name in names if name not in COLUMNS]
    if strange or "file" not in names:
        what = f"unknown column {strange[0]!r}" if strange else "has no column 'file'"
        raise FormatError(what, where=f"{table}:1", remedy=f"columns are {', '.join(COLUMNS)}")
    named = table.parent / INDEXED
    meaning = read_meaning(named) if named.is_file() else Meaning((), {VOID: VOID}, {})
    if "segment" in names and not named.is_file():
        raise FormatError("has a column 'segment' and no classes.csv (index, name) beside it", where=table)
    made: dict[str, Callable[[], bytes]] = {}
    records = []
    for line, row in rows:
        ledger.saw("picture")
        record = _record(table, line, row, meaning, ledger, made)
        if record is not None:
            records.append(record)
    files = [table, named] if named.is_file() else [table]
    return Reading(meaning.classes, records, table.parent, made=made, files=files)


def _record(
    table: Path,
    line: int,
    row: dict[str, str],
    meaning: Meaning,
    ledger: Ledger,
    made: dict[str, Callable[[], bytes]],
) -> Record | None:
    where, place = f"{table}:{line}", f"{table.name}: line {line}"
    media = safe_name(row["file"].replace("\\", "/"))
    if media is None:
        ledger.drop("picture", CLIMBS, place, repr(row["file"]))
        return None
    partition = row.get("partition", "").strip()
    if partition not in PARTITIONS:
        raise FormatError(f"partition is {partition!r}, must be train, val, test or empty", where=where)
    maps: dict[str, str] = {}
    for task in MAPS:
        if row.get(task, ""):
            name = _map(table.parent, task, row[task], meaning, ledger, place, made)
            if name is not None:
                maps[task] = name
    frame = _number(row, "frame", where)
    if frame is not None and (not frame.is_integer() or not 0 <= frame < 1 << 31):
        raise FormatError(f"frame is {row['frame']!r}, not a whole number from 0", where=where)
    return Record(
        id="",
        media=media,
        size_wh=(0, 0),
        frame=-1 if frame is None else int(frame),
        group=row.get("group", ""),
        sensor=row.get("sensor", ""),
        time_s=_number(row, "time_s", where),
        maps=maps,
        partition=partition,
        source=place,
    )


def _number(row: dict[str, str], column: str, where: str) -> float | None:
    text = row.get(column, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"{column} is {text!r}, not a number", where=where)
    return value


def _map(
    root: Path,
    task: str,
    name: str,
    meaning: Meaning,
    ledger: Ledger,
    place: str,
    made: dict[str, Callable[[], bytes]],
) -> str | None:
    """The name of a map, made anew where a dataset keeps it otherwise; None where it cannot serve."""
    safe = safe_name(name.replace("\\", "/"))
    if safe is None or not (root / safe).is_file():
        ledger.fix("picture", BAD_MAP.format(task), place, f"{name!r} is not there")
        return None
    path = root / safe
    if task != "segment":
        if png_kind(path) == DEPTH_PNG:
            return safe
        ledger.fix("picture", BAD_MAP.format(task), place, f"{safe} is not a 16-bit grey PNG")
        return None
    try:
        stored = mask_values(path, meaning)
    except MediaError as error:
        ledger.fix("picture", BAD_MAP.format(task), place, f"{safe} {error.what}")
        return None
    index, unknown = to_index(stored, meaning)
    if unknown:
        ledger.fix("picture", UNKNOWN, place, f"{safe}: {shown_values(unknown)}")
    if is_map(path, stored, index):
        return safe
    target = f"segment/{PurePosixPath(safe).with_suffix('')}.png"
    made[target] = partial(map_bytes, path, meaning)
    return target


def write(dataset: Any, out: Path) -> Ledger:
    """Write `records.csv`, `classes.csv`, and the files under `media/`.

    Not carried: annotations, panoptic maps, and frames of videos.
    """
    ledger = Ledger()
    absent: list[str] = []
    table = io.StringIO(newline="")
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    with folder_written_whole(out) as part:
        for record in dataset.records:
            lost = Lost(ledger, record)
            if PurePosixPath(record.media).suffix.lower() in VIDEO_SUFFIXES:
                lost.picture("it is a frame of a video")
                continue
            if record.maps.keys() - set(MAPS):
                ledger.fix("picture", "its other maps are not carried", record.id)
            for number in range(len(record.annotations)):
                lost.mark(number, "this format carries maps alone")
            cells = [_copied(dataset, record, record.media, part, absent), record.sensor]
            cells += ["" if record.time_s is None else repr(record.time_s), record.group]
            cells += [str(record.frame) if record.frame >= 0 else "", record.partition]
            cells += [
                _copied(dataset, record, record.maps[task], part, absent) if task in record.maps else ""
                for task in MAPS
            ]
            rows.writerow(cells)
        (part / TABLE).write_text(table.getvalue(), encoding="utf-8", newline="")
        named = io.StringIO(newline="")
        csv.writer(named, lineterminator="\n").writerows([("index", "name"), *enumerate(dataset.classes)])
        (part / INDEXED).write_text(named.getvalue(), encoding="utf-8", newline="")
    note_absent(ledger, absent)
    return ledger


def _copied(dataset: Any, record: Record, name: str, part: Path, absent: list[str]) -> str:
    """Copy a file of the dataset; its name in the table."""
    if not copy_media(dataset, replace(record, media=name), part / "media" / name):
        absent.append(name)
    return f"media/{name}"
