"""Judging a record: its media found, its size true, its marks admitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from sightline.core.errors import DatasetError, MediaError
from sightline.core.records import Annotation, Record
from sightline.data.checks import admit
from sightline.data.ledger import Ledger
from sightline.data.media_store import Found, examine, is_url, locate, safe_name
from sightline.data.panoptic import renumbered
from sightline.data.reading import Reading, ReadOptions
from sightline.data.upright import turned

Progress = Callable[[str, int, int], None]

NO_PICTURE = "its picture was dropped"
ABSENT = "picture file is absent"
LEFT_OUT = "its class is left out, as told"
WRONG_SIZE = "declared size is not the file's; the file's is taken"
TURNED = "labels counted stored pixels and are turned upright"
TWICE = "picture is listed before"
MAP_ABSENT = "its map is absent or unreadable and is left out"
MAP_SIZE = "its map has another size than the picture and is left out"


@dataclass(slots=True)
class Desk:
    """What judging a record needs, and what it gathers."""

    reading: Reading
    renumber: list[int]
    options: ReadOptions
    ledger: Ledger
    found: dict[str, Found] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    addresses: list[str] = field(default_factory=list)
    made: dict[str, Callable[[], bytes]] = field(default_factory=dict)


def note_addresses(desk: Desk) -> None:
    """List pictures that are on the network and not here."""
    found = desk.addresses
    if found:
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        desk.ledger.note(
            f"{len(found)} pictures are missing: they are addresses; --fetch brings them: {shown}"
        )


def judged(desk: Desk, record: Record) -> Record | None:
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
        _drop_record(desk, record, TWICE, place)
        return None
    desk.seen.add(record.id)
    record = replace(record, maps=_maps(desk, record))
    admitted = dict(_admitted(desk, record, place))
    if "panoptic" in record.maps and len(admitted) < len(record.annotations):
        _renumber_map(desk, record, list(admitted))
    return replace(record, annotations=tuple(admitted.values()))


def _renumber_map(desk: Desk, record: Record, kept: list[int]) -> None:
    """The pixels of dropped annotations become void, those of the others follow their numbers."""
    name = record.maps["panoptic"]
    origin = desk.reading.made.get(name)
    file = desk.found[name].path if name in desk.found else desk.reading.media_root / name
    desk.made[name] = partial(renumbered, origin or file, kept, len(record.annotations))


def _place(record: Record) -> str:
    """The place of one picture: a label file may hold many."""
    if not record.source or record.source == record.media:
        return record.media
    return f"{record.source}: {record.media}"


def _on_file(desk: Desk, record: Record) -> Record:
    """The record with the file's own name and true size; raises MediaError where it has none."""
    root = desk.reading.media_root
    name = None if desk.options.check_media else safe_name(record.media.replace("\\", "/"))
    if name is not None:
        return _named(record, name)
    there = locate(root, record.media)
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


def _sized(desk: Desk, record: Record, found: Found) -> Record:
    """True size; marks that count stored pixels are turned upright, once."""
    declared = record.size_wh
    stored = found.stored_wh
    if found.orientation != 1 and record.annotations:
        on_stored = desk.reading.labels_on == "stored"
        if stored != found.size_wh and declared in (stored, found.size_wh):
            on_stored = declared == stored
        if on_stored:
            detail = f"EXIF orientation {found.orientation}, stored {stored[0]}x{stored[1]}"
            desk.ledger.fix("picture", TURNED, _place(record), detail)
            marks = tuple(turned(a, stored, found.orientation) for a in record.annotations)
            return replace(record, annotations=marks, size_wh=found.size_wh)
    if declared not in ((0, 0), found.size_wh, stored):
        detail = f"declared {declared[0]}x{declared[1]}, is {found.size_wh[0]}x{found.size_wh[1]}"
        desk.ledger.fix("picture", WRONG_SIZE, _place(record), detail)
    return replace(record, size_wh=found.size_wh)


def _maps(desk: Desk, record: Record) -> dict[str, str]:
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
            desk.ledger.fix("picture", MAP_ABSENT, _place(record), name)
        elif found.size_wh != record.size_wh:
            shown = f"{found.size_wh[0]}x{found.size_wh[1]}"
            desk.ledger.fix("picture", MAP_SIZE, _place(record), f"{name} is {shown}")
        else:
            kept[task], desk.found[there[0]] = there[0], found
    return kept


def _admitted(desk: Desk, record: Record, place: str) -> Iterator[tuple[int, Annotation]]:
    """Marks that stay, with their numbers before."""
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
            yield number, admitted


def _drop_record(desk: Desk, record: Record, reason: str, place: str) -> None:
    """Leave a picture out, and its marks with it."""
    desk.ledger.drop("picture", reason, _place(record))
    for number, annotation in enumerate(record.annotations):
        here = f"{place}: {annotation.source or f'annotation {number}'}"
        desk.ledger.drop("annotation", NO_PICTURE, here)
