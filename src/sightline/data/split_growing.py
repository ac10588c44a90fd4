"""A split for a dataset that has grown: what was held out stays held out, what is new is divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.core.errors import DatasetError
from sightline.core.problem import SplitSection
from sightline.core.records import Record
from sightline.data.audit.copies import Copies, find_copies
from sightline.data.audit.facts import Facts, media_facts
from sightline.data.split import Progress, Split, divided, units_of

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset


def grown_split(
    dataset: Dataset,
    old: Split,
    section: SplitSection | None = None,
    *,
    name: str = "grown",
    near: bool = True,
    facts: Mapping[str, Facts] | None = None,
    progress: Progress | None = None,
) -> Split:
    """Divide a dataset that was made from another one; nothing is written.

    Old records stay in their part. A new record of an old group, or a copy of an old picture, goes to that
    part; one that would tie two parts together is left out. The rest are divided by the section, and go to
    training where they are too few units to be divided.

    Args:
        dataset: the grown one.
        old: split of the dataset it was made from.
        section: rule, shares and seed for the new records.
        name: of the split.
        near: look for copies.
        facts: what `media_facts` gave, if it was called before.
        progress: called with stage, done and total.

    Raises:
        DatasetError: the dataset holds none of the old split's records.
    """
    section, records = section or SplitSection(), list(dataset.records)
    parts = {r.id: old.parts[r.id] for r in records if r.id in old.parts}
    if not parts:
        raise DatasetError(
            f"holds none of the {len(old.parts)} records of the split it should go on from",
            where=dataset.root,
            remedy="grow the dataset that the champion was trained on",
        )
    known = facts if facts is not None else media_facts(dataset, records, progress=progress) if near else {}
    copies = find_copies(records, known) if near else []
    units = units_of(records, copies)
    homes: dict[str, set[str]] = {}
    for id, part in parts.items():
        homes.setdefault(units[id], set()).add(part)
    fresh = [r for r in records if r.id not in old.parts]
    tied = [r.id for r in fresh if len(homes.get(units[r.id], ())) > 1]
    parts |= {r.id: min(homes[units[r.id]]) for r in fresh if len(homes.get(units[r.id], ())) == 1}
    free = [r for r in fresh if units[r.id] not in homes]
    placed, note = _free(dataset, free, units, section, copies)
    parts |= placed
    notes = [note] if note else []
    if tied:
        notes.append(f"{len(tied)} new records are alike to records of several parts, and left out")
    about = {"by": "grown", "from": old.fingerprint, "seed": str(section.seed), "new": str(len(fresh))}
    if notes:
        about["notes"] = "; ".join(notes)
    ordered = {r.id: parts[r.id] for r in records if r.id in parts}
    return Split(name, ordered, dataset.fingerprint, about, Path(dataset.root))


def _free(
    dataset: Dataset,
    records: Sequence[Record],
    units: Mapping[str, str],
    section: SplitSection,
    copies: Sequence[Copies],
) -> tuple[dict[str, str], str]:
    """Parts of records that nothing old ties down, and what there is to say of it."""
    if section.by == "author" and all(r.partition for r in records):
        return {r.id: r.partition for r in records}, ""
    shares = {"train": section.train, "val": section.val, "test": section.test}
    wanted = sum(share > 0 for share in shares.values())
    count = len({units[r.id] for r in records})
    if count < wanted:
        told = f"{count} new groups are too few to be divided: all of them train" if records else ""
        return {r.id: "train" for r in records}, told
    return divided(dataset, records, section, copies, shares), ""
