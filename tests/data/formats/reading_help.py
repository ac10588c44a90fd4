"""What the tests of formats share: read a source, and look at the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sightline.core.records import Annotation, Record
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading, ReadOptions


@dataclass
class Read:
    reading: Reading
    records: list[Record]
    ledger: Ledger

    @property
    def classes(self) -> tuple[str, ...]:
        return self.reading.classes

    def marks(self, media: str) -> list[Annotation]:
        """Annotations of all records of one picture or video."""
        return [a for r in self.records if r.media == media for a in r.annotations]

    def names(self, media: str) -> list[str]:
        return [self.classes[a.label] for a in self.marks(media)]


def read(module: Any, source: Path, **options: Any) -> Read:
    """Read, and hold the ledger to its promise: every mark read is given or dropped."""
    ledger = Ledger()
    reading = module.read(source, ReadOptions(**options), ledger)
    records = list(reading.records)
    given = sum(len(r.annotations) for r in records)
    assert ledger.read["annotation"] == given + ledger.dropped["annotation"]
    assert ledger.read["picture"] == len(records) + ledger.dropped["picture"]
    return Read(reading, records, ledger)


def dataset(classes: tuple[str, ...], records: list[Record], root: Path | None = None) -> Any:
    """As much of a dataset as a format's `write` may ask of one."""
    place = root or Path()
    return SimpleNamespace(
        classes=classes, records=records, root=place, media_path=lambda name: place / name, header={}
    )
