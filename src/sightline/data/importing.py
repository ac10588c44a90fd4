"""From label files in any format to a checked dataset."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from sightline.core.errors import DatasetError, MediaError, TooMuchDropped, UsageError
from sightline.core.files import fingerprint, sha256, write_json
from sightline.core.records import Annotation, Record
from sightline.data import formats
from sightline.data.checks import admit
from sightline.data.dataset import Dataset, check_classes
from sightline.data.grouping import group_names
from sightline.data.ledger import Ledger
from sightline.data.media_store import Found, MediaMode, examine, is_url, locate, safe_name
from sightline.data.reading import Reading, ReadOptions
from sightline.data.upright import turned
from sightline.data.writing import refuse_occupied, write_dataset

Progress = Callable[[str, int, int], None]

NO_PICTURE = "its picture was dropped"
ABSENT = "picture file is absent"
LEFT_OUT = "its class is left out, as told"
WRONG_SIZE = "declared size is not the file's; the file's is taken"
TURNED = "labels counted stored pixels and are turned upright"
TWICE = "picture is listed before"
MAP_ABSENT = "its map is absent or unreadable and is left out"
MAP_SIZE = "its map has another size than the picture and is left out"


def import_dataset(
    source: str | Path,
    out: str | Path,
    format: str = "auto",
    options: ReadOptions | None = None,
    *,
    media: MediaMode = "link",
    drop_limit: float = 0.05,
    group: str = "auto",
    fetch: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> tuple[Dataset, Ledger]:
    """Read labels, judge every mark, and write a dataset folder whole.

    Args:
        source: folder or label file.
        out: the dataset's folder.
        format: a name of `formats.FORMATS`, or `auto` to look.
        options: policies; see `ReadOptions`.
        media: `link`, `copy` or `none`.
        drop_limit: the largest share of pictures or annotations that may be dropped, 0..1.
        group: how pictures that belong together are found; see `grouping.group_names`.
        fetch: bring pictures that are addresses.
        replace: take the place of a dataset that is there.
        progress: called with stage, done and total.

    Returns:
        The dataset, and the ledger: read = kept + fixed + dropped.

    Raises:
        FormatError: a label file breaks its grammar.
        DatasetError: nothing is left, a class name twice, a disk that refuses.
        TooMuchDropped: more than `drop_limit` was dropped. No dataset is written; the ledger hangs on the
            error and is written beside, to `OUT.ledger.json`.
    """
    source, out, options = Path(source), Path(out).absolute(), options or ReadOptions()
    refuse_occupied(out, replace=replace)
    name, why = (format, "named by the caller") if format != "auto" else formats.sniff(source)
    module = formats.resolve(name)
    if not source.exists():
        raise DatasetError("does not exist", where=source)
    ledger = Ledger()
    ledger.note(f"format {name}: {why}")
    reading = module.read(source, options, ledger)
    check_classes(reading.classes, where=source)
    reading, renumber = _renamed(reading, options.rename, source)
    if fetch:
        reading = _fetched(reading, out, ledger, progress)
    if reading.table is None:
        found = _judge_records(reading, renumber, options, ledger, group, progress)
    else:
        judge: Any = import_module("sightline.data.importing_table")
        found = judge.judge_table(reading, renumber, options, ledger, group, progress)
    _hold_to_limit(ledger, drop_limit, out)
    if (reading.table.num_rows if reading.table is not None else len(list(reading.records))) == 0:
        raise DatasetError("no picture is left", where=source, remedy=_first_reason(ledger))
    lineage = {"path": str(source.absolute()), "format": name, "seen": why, **_licence(source)}
    lineage["labels_sha256"] = _hash_labels(reading)
    dataset = write_dataset(
        out,
        reading,
        ledger,
        media=media,
        found=found,
        source=lineage,
        replace=replace,
        progress=progress,
    )
    return dataset, ledger


def _renamed(reading: Reading, rename: dict[str, str], source: Path) -> tuple[Reading, list[int]]:
    """Classes after renaming, and for each old index the new one, or -1 where it is left out."""
    for name in rename:
        if name not in reading.classes:
            near = difflib.get_close_matches(name, reading.classes, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(reading.classes)}"
            raise UsageError(f"class {name!r} to rename is not in the labels", where=source, remedy=hint)
    targets = [rename.get(name, name) for name in reading.classes]
    classes = tuple(dict.fromkeys(target for target in targets if target))
    numbers = {name: index for index, name in enumerate(classes)}
    return replace(reading, classes=classes), [numbers.get(target, -1) for target in targets]


def _fetched(reading: Reading, out: Path, ledger: Ledger, progress: Progress | None) -> Reading:
    module: Any = import_module("sightline.data.fetch")
    fetched: Reading = module.fetch_reading(reading, out, ledger, progress)
    return fetched


@dataclass(slots=True)
class _Desk:
    """What judging a record needs, and what it gathers."""

    reading: Reading
    renumber: list[int]
    options: ReadOptions
    ledger: Ledger
    found: dict[str, Found] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    addresses: list[str] = field(default_factory=list)


def _judge_records(
    reading: Reading,
    renumber: list[int],
    options: ReadOptions,
    ledger: Ledger,
    group: str,
    progress: Progress | None,
) -> dict[str, Found]:
    """Judge every record; the reading's records become the list that is kept. Gives media by name."""
    desk = _Desk(reading, renumber, options, ledger)
    records = list(reading.records)
    kept: list[Record] = []
    for done, record in enumerate(records, 1):
        judged = _judged(desk, record)
        if judged is not None:
            kept.append(judged)
        if progress is not None and (done % 64 == 0 or done == len(records)):
            progress("checks", done, len(records))
    note_addresses(ledger, desk.addresses)
    groups, why = group_names(kept, group)
    ledger.note(f"groups: {why}")
    reading.records = [replace(record, group=name) for record, name in zip(kept, groups, strict=True)]
    return desk.found


def note_addresses(ledger: Ledger, addresses: Sequence[str]) -> None:
    """List pictures that are on the network and not here."""
    if addresses:
        shown = ", ".join(addresses[:5]) + (", ..." if len(addresses) > 5 else "")
        ledger.note(
            f"{len(addresses)} pictures are missing: they are addresses; --fetch brings them: {shown}"
        )


def _judged(desk: _Desk, record: Record) -> Record | None:
    """A record with its media found, its size true and its marks admitted; None where it is dropped."""
    place = record.source or record.media
    if is_url(record.media):
        desk.addresses.append(record.media)
    elif record.media not in desk.reading.made:
        try:
            record = _on_file(desk, record)
        except MediaError as error:
            _drop_record(desk, record, str(error.what), place)
            return None
    if not record.id:
        record = replace(record, id=record.media if record.frame < 0 else f"{record.media}#{record.frame}")
    if record.id in desk.seen:
        _drop_record(desk, record, TWICE, f"{place} ({record.id})")
        return None
    desk.seen.add(record.id)
    record = replace(record, maps=_maps(desk, record, place))
    return replace(record, annotations=tuple(_admitted(desk, record, place)))


def _on_file(desk: _Desk, record: Record) -> Record:
    """The record with the file's own name and true size; raises MediaError where it has none."""
    there = locate(desk.reading.media_root, record.media)
    if not desk.options.check_media:
        name = there[0] if there else safe_name(record.media.replace("\\", "/"))
        if name is None:
            raise MediaError("picture name is absolute or climbs out of its folder")
        return _named(record, name)
    if there is None:
        raise MediaError(ABSENT)
    name, path = there
    desk.found[name] = found = examine(path)
    return _sized(desk, _named(record, name), found)


def _named(record: Record, name: str) -> Record:
    """Media under its new name; an id that was the old name follows."""
    if name == record.media:
        return record
    new_id = record.id.replace(record.media, name, 1) if record.id.startswith(record.media) else record.id
    return replace(record, media=name, id=new_id)


def _sized(desk: _Desk, record: Record, found: Found) -> Record:
    """True size; marks that count stored pixels are turned upright, once."""
    place, declared = record.source or record.media, record.size_wh
    stored = found.stored_wh
    if found.orientation != 1 and record.annotations:
        on_stored = desk.reading.labels_on == "stored"
        if stored != found.size_wh and declared in (stored, found.size_wh):
            on_stored = declared == stored
        if on_stored:
            detail = f"EXIF orientation {found.orientation}, stored {stored[0]}x{stored[1]}"
            desk.ledger.fix("picture", TURNED, place, detail)
            marks = tuple(turned(a, stored, found.orientation) for a in record.annotations)
            return replace(record, annotations=marks, size_wh=found.size_wh)
    if declared not in ((0, 0), found.size_wh, stored):
        detail = f"declared {declared[0]}x{declared[1]}, is {found.size_wh[0]}x{found.size_wh[1]}"
        desk.ledger.fix("picture", WRONG_SIZE, place, detail)
    return replace(record, size_wh=found.size_wh)


def _maps(desk: _Desk, record: Record, place: str) -> dict[str, str]:
    """Dense labels that are there and fit their picture."""
    kept: dict[str, str] = {}
    for task, name in record.maps.items():
        if name in desk.reading.made or not desk.options.check_media:
            kept[task] = name
            continue
        there = locate(desk.reading.media_root, name)
        try:
            found = examine(there[1]) if there else None
        except MediaError:
            found = None
        if there is None or found is None:
            desk.ledger.fix("picture", MAP_ABSENT, place, name)
        elif found.size_wh != record.size_wh:
            shown = f"{found.size_wh[0]}x{found.size_wh[1]}"
            desk.ledger.fix("picture", MAP_SIZE, place, f"{name} is {shown}")
        else:
            kept[task], desk.found[there[0]] = there[0], found
    return kept


def _admitted(desk: _Desk, record: Record, place: str) -> Iterable[Annotation]:
    for number, annotation in enumerate(record.annotations):
        here = f"{place}: {annotation.source or f'annotation {number}'}"
        if not 0 <= annotation.label < len(desk.renumber):
            raise DatasetError(
                f"class index {annotation.label} is not one of {len(desk.renumber)}", where=here
            )
        label = desk.renumber[annotation.label]
        if label < 0:
            desk.ledger.drop("annotation", LEFT_OUT, here, asked=True)
            continue
        if label != annotation.label:
            annotation = replace(annotation, label=label)
        admitted = admit(annotation, record.size_wh, desk.options, desk.ledger, here)
        if admitted is not None:
            yield admitted


def _drop_record(desk: _Desk, record: Record, reason: str, place: str) -> None:
    """Leave a picture out, and its marks with it."""
    desk.ledger.drop("picture", reason, place, record.media)
    for number, annotation in enumerate(record.annotations):
        here = f"{place}: {annotation.source or f'annotation {number}'}"
        desk.ledger.drop("annotation", NO_PICTURE, here)


def _hold_to_limit(ledger: Ledger, limit: float, out: Path) -> None:
    share = ledger.dropped_share()
    if share <= limit:
        return
    beside = out.with_name(out.name + ".ledger.json")
    write_json(beside, ledger.to_json())
    raise TooMuchDropped(
        f"{share:.1%} of what was read would be dropped, the limit is {limit:.1%}; {_first_reason(ledger)}",
        ledger,
        where=out,
        remedy=f"every place is in {beside}; mend the labels, or pass --drop-limit {_rounded_up(share):g}",
    )


def _rounded_up(share: float) -> float:
    return min(1.0, int(share * 100 + 1) / 100)


def _first_reason(ledger: Ledger) -> str:
    dropped = {key: places for key, places in ledger.reasons().items() if key[1] == "dropped"}
    if not dropped:
        return "the source names no picture"
    (_, _, reason), places = max(dropped.items(), key=lambda item: len(item[1]))
    return f"most often ({len(places)} times): {reason}, first at {places[0]}"


def _licence(source: Path) -> dict[str, Any]:
    """Name and hash of a licence file in the source's folder or the one above."""
    folder = source if source.is_dir() else source.parent
    for place in (folder, folder.parent):
        for path in sorted(place.glob("LICEN[SC]E*")):
            if path.is_file():
                return {"licence": {"file": path.name, "sha256": sha256(path)}}
    return {}


def _hash_labels(reading: Reading) -> str:
    """One hash over the label files, by name and content."""
    return fingerprint([(path.name, sha256(path)) for path in reading.files])
