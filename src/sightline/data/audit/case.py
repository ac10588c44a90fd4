"""What every check is given, and the short way to a finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sightline.core.records import Annotation, Record
from sightline.data.audit.copies import Copies
from sightline.data.audit.facts import Facts
from sightline.data.audit.findings import ClassRow, Finding, Level
from sightline.data.audit.kinds import remedy

if TYPE_CHECKING:
    from sightline.data.split import Split


@dataclass(frozen=True, slots=True)
class Case:
    """A dataset under audit.

    Attributes:
        dataset: the open dataset.
        classes: its class names.
        records: all of its records.
        facts: what is true of their media, by record id; empty where media were not read.
        copies: pictures that are copies of one another.
        split: the split to look at, or None.
        named: whether the caller named the split; the author's own, looked at unasked, can only warn.
        rows: figures of each class.
    """

    dataset: Any
    classes: tuple[str, ...]
    records: Sequence[Record]
    facts: Mapping[str, Facts] = field(default_factory=dict)
    copies: Sequence[Copies] = ()
    split: Split | None = None
    named: bool = True
    rows: tuple[ClassRow, ...] = ()

    def class_name(self, index: int) -> str:
        """A class's name, or its number where it has none."""
        return self.classes[index] if 0 <= index < len(self.classes) else f"#{index}"


def place_of(record: Record, annotation: Annotation | None = None) -> str:
    """Where a mark or a record was read from."""
    parts = [record.source or record.id]
    if annotation is not None and annotation.source and not parts[0].endswith(annotation.source):
        parts.append(annotation.source)
    return ": ".join(parts)


def finding(
    level: Level,
    kind: str,
    message: str,
    records: Iterable[Record] = (),
    *,
    marks: Mapping[str, tuple[int, ...]] | None = None,
    places: Iterable[str] | None = None,
) -> Finding:
    """A finding with its kind's remedy; the places are those of the marks, or else of the records."""
    involved = tuple(records)
    marks = marks or {}
    if places is None:
        places = [
            place_of(record, record.annotations[index] if index is not None else None)
            for record in involved
            for index in (marks.get(record.id) or (None,))
        ]
    ids = tuple(record.id for record in involved)
    return Finding(level, kind, message, ids, tuple(places), remedy(kind), dict(marks))
