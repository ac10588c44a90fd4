"""A dataset and newly labelled pictures as one: the next version, that knows its parent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sightline.core.errors import DatasetError
from sightline.core.records import Record
from sightline.data.ledger import Ledger
from sightline.data.media_store import Found, examine, is_url
from sightline.data.reading import Reading
from sightline.data.schema import to_records

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset
    from sightline.data.split import Part, Split

# Keys of a grown dataset's `source`, and of its splits' `about`.
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


def grow_split(parent: Split, dataset: Dataset, *, seed: int = 0) -> Split:
    """A parent's split for the grown dataset: old records stay where they are, new ones are divided alike.

    New records are divided by group in the proportions of the parent's split; a group or a picture of which
    the parent knows a member (by group or as a copy) goes to that member's part, so nothing leaks. So the
    old held-out set is `part("test")` without `fresh_ids(dataset)`, the new one is within them.

    Args:
        parent: split of the dataset's parent.
        dataset: a grown dataset.
        seed: of the division.

    Raises:
        DatasetError: the split is not of this dataset's parent.
    """
    from sightline.data.audit.copies import find_copies
    from sightline.data.audit.facts import media_facts
    from sightline.data.split import PARTS, Split, units_of

    if parent.dataset != dataset.header.get("parent"):
        raise DatasetError(
            f"the split is of {parent.dataset}, this grew from {dataset.header.get('parent') or 'none'}",
            where=dataset.root,
        )
    import numpy as np

    records = list(dataset.records)
    units = units_of(records, find_copies(records, media_facts(dataset, records)))
    known: dict[str, str] = {}
    for name, part in parent.parts.items():
        known.setdefault(units[name], part)
    counts = parent.counts()
    shares = {part: counts.get(part, 0) / max(1, sum(counts.values())) for part in PARTS}
    fresh = fresh_ids(dataset)
    loose = sorted({units[i] for i in fresh} - set(known))
    np.random.default_rng(seed).shuffle(loose)
    known |= _dealt(loose, shares)
    parts = {r.id: parent.parts[r.id] for r in records if r.id in parent.parts}
    parts |= {i: known[units[i]] for i in fresh}
    about = {**parent.about, FROM: parent.dataset, "seed_of_new": str(seed)}
    return Split(parent.name, parts, dataset.fingerprint, about, Path(dataset.root))


def _dealt(units: Sequence[str], shares: Mapping[Part, float]) -> dict[str, str]:
    """Units to parts, each to the part that lags most behind its share."""
    counts = dict.fromkeys(shares, 0)
    dealt: dict[str, str] = {}
    for number, unit in enumerate(units, 1):
        part = max(shares, key=lambda p: shares[p] * number - counts[p])
        counts[part] += 1
        dealt[unit] = part
    return dealt
