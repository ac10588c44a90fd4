"""A dataset and newly labelled pictures as one: the next version, that knows its parent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sightline.core.errors import DatasetError
from sightline.core.records import Record
from sightline.data.ledger import Ledger
from sightline.data.media_store import Found, examine, is_url
from sightline.data.reading import Reading
from sightline.data.schema import to_records

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

# Keys of a grown dataset's `source`.
OLD, AGAIN, FROM = "grown_from_records", "grown_labelled_again", "grown_from"


def grown(
    parent: Dataset, fresh: Reading, found: Mapping[str, Found], ledger: Ledger
) -> tuple[Reading, dict[str, Found], dict[str, object]]:
    """Records of a dataset and fresh ones as one reading.

    The parent's come first and keep their ids and order. A fresh picture that is byte for byte one of the
    parent's takes its labels' place; one that only has its name gets another.

    Args:
        parent: the dataset to grow.
        fresh: judged records of the same classes, in the same order.
        found: the fresh media by name.
        ledger: told of what was labelled again and renamed.

    Returns:
        The reading, its media by name, and what the header's `source` should say.

    Raises:
        DatasetError: the classes differ, or the parent's media are not at hand.
    """
    if tuple(fresh.classes) != parent.classes:
        raise DatasetError(
            f"its classes are {', '.join(parent.classes)}, the new ones {', '.join(fresh.classes)}",
            where=parent.root,
        )
    media = {name: examine(parent.media_path(name)) for name in _names(parent.records)}
    old = list(parent.records)
    place = {(media[r.media].digest, r.frame): i for i, r in enumerate(old) if r.media in media}
    taken, names = {r.id for r in old}, set(media)
    added: list[Record] = []
    again: list[str] = []
    moved: dict[str, str] = {}
    for record in _records(fresh):
        twin = place.get((found[record.media].digest, record.frame)) if record.media in found else None
        if twin is not None and not record.maps:
            old[twin] = replace(
                old[twin], annotations=record.annotations, maps=record.maps, source=record.source
            )
            again.append(old[twin].id)
            continue
        added.append(_renamed(record, moved, names, taken))
    every = {**media, **{moved[n]: f for n, f in found.items() if n in moved}}
    made = {moved[n]: make for n, make in fresh.made.items() if n in moved}
    ledger.note(
        f"grown from {parent.fingerprint}: {len(old)} records, {len(added)} new, {len(again)} labelled again"
    )
    reading = Reading(parent.classes, [*old, *added], fresh.media_root, made=made, files=fresh.files)
    reading.notes = dict(fresh.notes)
    about: dict[str, object] = {OLD: len(old), AGAIN: again, FROM: str(parent.root)}
    return reading, every, about


def _names(records: Iterable[Record]) -> list[str]:
    names = [n for r in records for n in (r.media, *r.maps.values())]
    return [n for n in dict.fromkeys(names) if not is_url(n)]


def _records(reading: Reading) -> Iterable[Record]:
    if reading.table is None:
        yield from reading.records
        return
    for table in reading.table:
        yield from to_records(table)


def _renamed(record: Record, moved: dict[str, str], names: set[str], taken: set[str]) -> Record:
    """A record whose media and id nothing else has."""
    for name in (record.media, *record.maps.values()):
        if name not in moved:
            moved[name] = name if is_url(name) else _free(name, names)
            names.add(moved[name])
    media, maps = moved[record.media], {task: moved[n] for task, n in record.maps.items()}
    number = f"#{record.frame}" if record.frame >= 0 and "#" in record.id else ""
    wanted = record.id if media == record.media else media + number
    name, again = wanted, 1
    while name in taken:
        again += 1
        name = f"{wanted}~{again}"
    taken.add(name)
    return replace(record, id=name, media=media, maps=maps)


def _free(name: str, taken: set[str]) -> str:
    """A name like this one that is free, and is no folder of another."""
    path, number, found = PurePosixPath(name), 1, name
    while found in taken:
        number += 1
        found = str(path.with_name(f"{path.stem}~{number}{path.suffix}"))
    return found


def fresh_ids(dataset: Dataset) -> list[str]:
    """Ids of the records that a grown dataset has and its parent had not, in order; none where none."""
    count = dataset.header.get("source", {}).get(OLD)
    if not dataset.header.get("parent") or not isinstance(count, int):
        return []
    return [str(i) for i in dataset.table.column("id").to_pylist()[count:]]
