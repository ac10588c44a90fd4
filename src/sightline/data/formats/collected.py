"""What `sightline collect` keeps: pictures and clips that nobody has labelled yet.

A clip becomes a record for each of its frames. Once labels exist, import the annotators' export instead: the
tasks that `collect` writes carry group, frame and time through it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightline.core.errors import FormatError, MediaError, UsageError
from sightline.core.frames import FrameReader
from sightline.core.media import VIDEO_SUFFIXES
from sightline.core.records import Record
from sightline.data.formats import label_studio
from sightline.data.formats.documents import Fields
from sightline.data.formats.files import read_text, shown
from sightline.data.ledger import Ledger
from sightline.data.media_store import safe_name
from sightline.data.reading import Reading, ReadOptions

LINES = "collected.jsonl"
MEDIA = "media"
CUT = "the line was cut short, its file is not read"


def sniff(source: Path) -> str | None:
    """A collection beside which no labels lie yet."""
    if not (source / LINES).is_file():
        return None
    labelled = label_studio.sniff(source)
    return None if labelled and "annotations" in labelled else f"{LINES} lists what was collected"


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """Records without marks; classes are those of `label_config.xml`.

    Raises:
        FormatError: no collection, or a line that breaks its grammar.
    """
    path = source / LINES
    if not path.is_file():
        raise FormatError(f"holds no {LINES}", where=source)
    root = options.media or source / MEDIA
    records: list[Record] = []
    for line, fields in _lines(path, ledger):
        place = f"{shown(path, source)}:{line}"
        name = safe_name(fields.text("media"))
        if name is None:
            ledger.saw("picture")
            ledger.drop("picture", label_studio.CLIMBS, place, repr(fields.text("media")))
        elif Path(name).suffix.lower() in VIDEO_SUFFIXES:
            records += _clip(fields, name, root / name, place, ledger)
        else:
            ledger.saw("picture")
            records.append(_picture(fields, name, place))
    classes = label_studio.configured(source / label_studio.CONFIG)
    return Reading(tuple(dict.fromkeys(classes)) or ("object",), records, root, files=(path,))


def _lines(path: Path, ledger: Ledger) -> Iterator[tuple[int, Fields]]:
    """Number and fields of each line; one that a killed process left unfinished is noted."""
    *whole, last = read_text(path).split("\n")
    for number, text in enumerate(whole, 1):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise FormatError(f"is no JSON ({error})", where=f"{path}:{number}") from error
        yield number, Fields(value, f"{path}:{number}", "")
    if last:
        ledger.note(f"{path.name}:{len(whole) + 1}: {CUT}")


def _picture(fields: Fields, name: str, place: str) -> Record:
    size = [int(v) for v in fields.items("size_wh", [0, 0]) if isinstance(v, int)]
    time_s = fields.number("time_s") if fields.value.get("time_s") is not None else None
    return Record(
        "",
        name,
        (size[0], size[1]) if len(size) == 2 else (0, 0),
        frame=fields.whole("index", -1),
        group=fields.text("group", ""),
        time_s=time_s,
        source=place,
    )


def _clip(fields: Fields, name: str, path: Path, place: str, ledger: Ledger) -> list[Record]:
    """A record a frame; the clip's place in its source is in its file name, its group the source."""
    try:
        reader = FrameReader(path)
    except MediaError as error:
        ledger.saw("picture")
        ledger.drop("picture", "the clip cannot be read", place, error.what)
        return []
    start = fields.number("time_s") if fields.value.get("time_s") is not None else 0.0
    group = fields.text("group", "")
    count, size_wh = len(reader), reader.size_wh
    times = [start + reader.time_s(i) for i in range(count)]
    reader.close()
    ledger.saw("picture", count)
    return [
        Record("", name, size_wh, frame=i, group=group, time_s=time, source=place)
        for i, time in enumerate(times)
    ]


def write(dataset: Any, out: Path) -> Ledger:
    """Collections are written by `sightline collect` alone."""
    raise UsageError("a dataset is not written as a collection", where=out, remedy="use label-studio")
