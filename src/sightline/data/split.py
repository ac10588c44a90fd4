"""Which records are for training, validation and test: by group, stratified by class, from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import DatasetError
from sightline.core.files import fingerprint, inside, written_whole
from sightline.core.problem import SplitSection
from sightline.core.records import Record
from sightline.data.audit.copies import Copies, find_copies, joined
from sightline.data.audit.facts import Facts, media_facts
from sightline.data.counting import Shown, dense, shown_by_all
from sightline.data.stratify import stratified

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
FOLDER = "splits"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Split:
    """Which part each record is in; records that are in none are left out.

    Attributes:
        name: file name under the dataset's `splits/`.
        parts: part by record id, in the dataset's order.
        dataset: fingerprint of the dataset it divides.
        about: how it was made (`by`, `seed`, shares, notes), as text.
        root: the dataset's folder, or None.
    """

    name: str
    parts: Mapping[str, str]
    dataset: str
    about: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None

    def part(self, name: str) -> list[str]:
        """Ids of one part, in the dataset's order; empty where the split has no such part."""
        return [i for i, part in self.parts.items() if part == name]

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over which record is where; the name does not count."""
        return fingerprint([self.dataset, dict(self.parts)])

    def counts(self) -> dict[str, int]:
        """Number of records by part, train, val and test first."""
        names = dict.fromkeys([*PARTS, *self.parts.values()])
        return {name: n for name in names if (n := len(self.part(name)))}

    def write(self, path: Path | None = None) -> Path:
        """Write `splits/NAME.parquet` beside the records, or `path`; gives where it is."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if path is None and self.root is None:
            raise DatasetError("the split belongs to no dataset folder", remedy="name a path to write to")
        target = path or inside(Path(self.root or ".") / FOLDER, f"{self.name}.parquet")
        words = {"name": self.name, "dataset": self.dataset, **self.about}
        schema = pa.schema(
            [("id", pa.string()), ("part", pa.string())],
            metadata={f"sightline.{key}": value for key, value in words.items()},
        )
        table = pa.table({"id": list(self.parts), "part": list(self.parts.values())}, schema=schema)
        with written_whole(target) as part:
            pq.write_table(table, part, compression="zstd")
        return target

    @classmethod
    def open(cls, path: str | Path, *, dataset: Dataset | None = None) -> Split:
        """Read a split; with `dataset` it must be that dataset's.

        Raises:
            DatasetError: absent, damaged, no split, or made for another dataset.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        if not path.is_file():
            others = ", ".join(sorted(p.stem for p in path.parent.glob("*.parquet"))) or "none"
            raise DatasetError("is no split", where=path, remedy=f"there are: {others}")
        try:
            table = pq.read_table(path)
            pairs = zip(table.column("id").to_pylist(), table.column("part").to_pylist(), strict=True)
            parts = dict(pairs)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise DatasetError(
                f"cannot be read as a split ({str(error).splitlines()[0]})", where=path
            ) from error
        prefix = "sightline."
        words = {
            key.decode().removeprefix(prefix): value.decode()
            for key, value in (table.schema.metadata or {}).items()
            if key.decode().startswith(prefix)
        }
        mark = words.pop("dataset", "")
        name = words.pop("name", path.stem)
        if dataset is not None and mark != dataset.fingerprint:
            raise DatasetError(
                f"was made for dataset {mark or 'unknown'}, this is {dataset.fingerprint}",
                where=path,
                remedy="divide again with: sightline split",
            )
        root = path.parent.parent if path.parent.name == FOLDER else None
        return cls(name, parts, mark, words, root)


def make_split(
    dataset: Dataset,
    section: SplitSection | None = None,
    *,
    name: str = "",
    near: bool = True,
    facts: Mapping[str, Facts] | None = None,
    progress: Progress | None = None,
) -> Split:
    """Divide a dataset; the same dataset and section give the same split. Nothing is written.

    By `group`, whole groups go to one part, and pictures that are exact, near or mirrored copies of one
    another are held to be one group. By `frame`, every record is on its own, copies or not: only where that
    is truly wanted. By `author`, the author's own parts are taken; where he left out validation, it is taken
    from his training part by group.

    Args:
        dataset: an open dataset.
        section: rule, shares and seed.
        name: of the split; by default the rule's.
        near: look for copies; false spares the reading of every picture.
        facts: what `media_facts` gave, if it was called before.
        progress: called with stage, done and total.

    Raises:
        DatasetError: no records, no author's parts, or fewer groups than parts.
    """
    section = section or SplitSection()
    records = list(dataset.records)
    if not records:
        raise DatasetError("holds no records to divide", where=dataset.root)
    copies: list[Copies] = []
    if near and section.by != "frame":
        known = facts if facts is not None else media_facts(dataset, records, progress=progress)
        copies = find_copies(records, known)
    about = {"by": section.by, "seed": str(section.seed)}
    if section.by == "author":
        parts, notes = _author(dataset, records, section, copies)
    else:
        shares = {"train": section.train, "val": section.val, "test": section.test}
        parts, notes = divided(dataset, records, section, copies, shares), ""
        about |= {part: f"{share:g}" for part, share in shares.items()}
    if notes:
        about["notes"] = notes
    return Split(name or section.by, parts, dataset.fingerprint, about, Path(dataset.root))


def _author(
    dataset: Dataset, records: Sequence[Record], section: SplitSection, copies: Sequence[Copies]
) -> tuple[dict[str, str], str]:
    parts = {r.id: r.partition for r in records if r.partition}
    if "train" not in parts.values():
        raise DatasetError(
            "the labels name no training part of their author", where=dataset.root, remedy="use by: group"
        )
    missing = "val" not in parts.values() and section.val > 0 and section.train > 0
    if not missing:
        return parts, ""
    training = [r for r in records if parts.get(r.id) == "train"]
    total = section.train + section.val
    shares = {"train": section.train / total, "val": section.val / total}
    parts |= divided(dataset, training, section, copies, shares)
    ordered = {r.id: parts[r.id] for r in records if r.id in parts}
    return ordered, "the author names no validation part: it is taken from his training part, by group"


def divided(
    dataset: Dataset,
    records: Sequence[Record],
    section: SplitSection,
    copies: Sequence[Copies],
    shares: Mapping[str, float],
) -> dict[str, str]:
    """Part by record id, whole units at a time; DatasetError where there are fewer units than parts."""
    units = units_of(records, copies) if section.by != "frame" else {r.id: r.id for r in records}
    names = sorted(set(units.values()))
    wanted = [part for part, share in shares.items() if share > 0]
    if len(names) < len(wanted):
        raise DatasetError(
            f"has {len(names)} groups, they cannot be divided into {len(wanted)} parts",
            where=dataset.root,
            remedy="set a share to 0, import with another --group, or, where neighbours may be told apart, "
            "use by: frame",
        )
    row = {unit: i for i, unit in enumerate(names)}
    pixels = dense(dataset, records)
    table = np.zeros((len(names), (3 if pixels else 2) * len(dataset.classes) + 2), np.int64)
    for record, seen in zip(records, shown_by_all(dataset, records), strict=True):
        table[row[units[record.id]]] += _tally(seen, pixels=pixels)
    chosen = stratified(table, [shares[part] for part in wanted], section.seed)
    return {r.id: wanted[chosen[row[units[r.id]]]] for r in records}


def _tally(seen: Shown, *, pixels: bool) -> NDArray[np.int64]:
    """What one record adds: which classes are on it, marks and pixels of each, whether none is, itself."""
    present = seen.amounts > 0
    sizes = [seen.pixels] if pixels else []
    return np.concatenate([present, seen.marks, *sizes, [not present.any(), 1]]).astype(np.int64)


def units_of(records: Iterable[Record], copies: Iterable[Copies] = ()) -> dict[str, str]:
    """For each record id the unit that must not be divided: its group, and whatever is a copy of a member."""
    groups: dict[str, list[str]] = {}
    for record in records:
        groups.setdefault(record.group or f"\0{record.id}", []).append(record.id)
    same = [Copies("exact", tuple(ids), 1.0) for ids in groups.values()]
    return joined((i for ids in groups.values() for i in ids), [*same, *copies])


@dataclass(frozen=True, slots=True)
class Leakage:
    """Records held out (val and test) that training has already shown.

    Attributes:
        held_out: records in val and test.
        group: of these, how many have a record of their group in train.
        exact: how many have a byte-for-byte copy in train.
        near: how many have a near or mirrored copy in train.
        compared: whether pictures were compared; if not, `exact` and `near` are not known and 0.
    """

    held_out: int
    group: int
    exact: int
    near: int
    compared: bool = True

    @property
    def clean(self) -> bool:
        """Whether nothing leaks."""
        return not (self.group or self.exact or self.near)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "held_out": self.held_out,
            "group": self.group,
            "exact": self.exact,
            "near": self.near,
            "compared": self.compared,
        }

    def __str__(self) -> str:
        copies = (
            f"{self.exact} exact and {self.near} near copies" if self.compared else "copies not looked for"
        )
        return f"{self.group} of {self.held_out} held-out records share a group with training; {copies}"


def leakage(
    dataset: Dataset,
    split: Split,
    *,
    near: bool = True,
    facts: Mapping[str, Facts] | None = None,
    progress: Progress | None = None,
) -> Leakage:
    """Count what crosses from train into val or test.

    Args:
        dataset: an open dataset.
        split: its split.
        near: compare pictures; false counts groups only.
        facts: what `media_facts` gave, if it was called before.
        progress: called with stage, done and total.
    """
    records = [r for r in dataset.records if r.id in split.parts]
    held = {r.id for r in records if split.parts[r.id] in ("val", "test")}
    trained = {r.group for r in records if r.group and split.parts[r.id] == "train"}
    group = sum(r.id in held and r.group in trained for r in records)
    exact: set[str] = set()
    alike: set[str] = set()
    if near:
        known = facts if facts is not None else media_facts(dataset, records, progress=progress)
        for found in find_copies(records, known):
            if any(split.parts[i] == "train" for i in found.ids):
                (exact if found.how == "exact" else alike).update(held.intersection(found.ids))
    return Leakage(len(held), group, len(exact), len(alike - exact), near)
