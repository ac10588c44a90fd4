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
from sightline.data.split import PARTS, Progress, Split, divided, units_of

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

# In a grown split's `about`: fingerprint of the split it goes on from.
FROM = "grown_from"


def grown_split(
    dataset: Dataset,
    old: Split,
    section: SplitSection | None = None,
    *,
    name: str = "",
    near: bool = True,
    facts: Mapping[str, Facts] | None = None,
    progress: Progress | None = None,
) -> Split:
    """Divide a dataset that was made from another one; nothing is written.

    Old records stay in their part. A new record of an old group, or a copy of an old picture, goes to that
    part; one that would tie two parts together is left out. The rest are divided by the section, and go to
    training where they are too few units to be divided. By `frame`, every new record is on its own.

    Args:
        dataset: the grown one.
        old: split of the dataset it was made from.
        section: rule, shares and seed for the new records; those of the old split unless given.
        name: of the split; the old one's unless given.
        near: look for copies.
        facts: what `media_facts` gave, if it was called before.
        progress: called with stage, done and total.

    Raises:
        DatasetError: the dataset holds none of the old split's records.
    """
    records = list(dataset.records)
    parts = {r.id: old.parts[r.id] for r in records if r.id in old.parts}
    if not parts:
        raise DatasetError(
            f"holds none of the {len(old.parts)} records of the split it should go on from",
            where=dataset.root,
            remedy="grow the dataset that the champion was trained on",
        )
    section = section or section_of(old)
    copies = _copies(dataset, records, facts, progress) if near and section.by != "frame" else []
    units = units_of(records, copies) if section.by != "frame" else {r.id: r.id for r in records}
    homes: dict[str, set[str]] = {}
    for id, part in parts.items():
        homes.setdefault(units[id], set()).add(part)
    fresh = [r for r in records if r.id not in old.parts]
    tied = [r.id for r in fresh if len(homes.get(units[r.id], ())) > 1]
    parts |= {r.id: min(homes[units[r.id]]) for r in fresh if len(homes.get(units[r.id], ())) == 1}
    free = [r for r in fresh if units[r.id] not in homes]
    placed, note = _free(dataset, free, units, section, copies)
    parts |= placed
    about = _about(section) | {FROM: old.fingerprint, "new": str(len(fresh))}
    notes = [note] if note else []
    if tied:
        notes.append(f"{len(tied)} new records are alike to records of several parts, and left out")
    if notes:
        about["notes"] = "; ".join(notes)
    ordered = {r.id: parts[r.id] for r in records if r.id in parts}
    return Split(name or old.name, ordered, dataset.fingerprint, about, Path(dataset.root))


def section_of(split: Split) -> SplitSection:
    """Rule, shares and seed that a split says it was made by; else by group in the proportions it has."""
    about, counts = split.about, split.counts()
    by = {"author": "author", "frame": "frame"}.get(about.get("by", ""), "group")
    told = [float(about.get(part, 0)) for part in PARTS]
    weights = told if sum(told) > 0 else [float(counts.get(part, 0)) for part in PARTS]
    shares = {part: weight / sum(weights) for part, weight in zip(PARTS, weights, strict=True)}
    return SplitSection.model_validate({"by": by, "seed": int(about.get("seed", 0)), **shares})


def _about(section: SplitSection) -> dict[str, str]:
    """What `section_of` reads."""
    words = {"by": section.by, "seed": str(section.seed)}
    return words | {part: f"{getattr(section, part):g}" for part in PARTS}


def _copies(
    dataset: Dataset, records: list[Record], facts: Mapping[str, Facts] | None, progress: Progress | None
) -> list[Copies]:
    known = facts if facts is not None else media_facts(dataset, records, progress=progress)
    return find_copies(records, known)


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
