"""What an audit says: findings, each with a level, a place and a remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sightline.core.errors import AuditFailed
from sightline.core.files import write_json, write_text

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

Level = Literal["error", "warning", "info"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, or one thing worth knowing.

    Attributes:
        level: `error`: trained or measured as it stands, the set would mislead; `warning`: probably a
            fault, somebody should look; `info`: good to know.
        kind: what it is, one of `kinds.KINDS`.
        message: what was found, with figures.
        records: ids of the records it is about, the first one most of all.
        places: file and line, pointer or annotation id in the labels it came from.
        remedy: what the reader can do.
        marks: by record id, positions of the annotations it is about.
    """

    level: Level
    kind: str
    message: str
    records: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    remedy: str = ""
    marks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "level": self.level,
            "kind": self.kind,
            "message": self.message,
            "records": list(self.records),
            "places": list(self.places),
            "remedy": self.remedy,
            "marks": {record: list(marks) for record, marks in self.marks.items()},
        }


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class in figures.

    Attributes:
        name: the class.
        marks: annotations of it; a record that shows it in dense labels alone counts as one.
        records: records that show it.
        effective: effective number of samples (Cui et al. 2019).
        weight: what `balance.class_weights` gives it, from pixels where there are any.
        parts: marks by part of the split.
        pixels: of it in dense labels; 0 where there are none.
    """

    name: str
    marks: int
    records: int
    effective: float
    weight: float
    parts: Mapping[str, int] = field(default_factory=dict)
    pixels: int = 0


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings on a dataset, errors first, and what was looked at.

    Attributes:
        dataset: its fingerprint.
        name: its folder's name.
        split: name of the split that was looked at, empty for none.
        findings: sorted by level and kind.
        classes: figures of each class.
        counts: `records`, `pictures`, `annotations`, `groups`, and the split's parts as `part:NAME`.
        unchecked: what could not be looked at, in words.
    """

    dataset: str
    name: str
    split: str
    findings: tuple[Finding, ...]
    classes: tuple[ClassRow, ...]
    counts: Mapping[str, int]
    unchecked: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings of level error."""
        return tuple(f for f in self.findings if f.level == "error")

    def of(self, kind: str) -> tuple[Finding, ...]:
        """Findings of one kind."""
        return tuple(f for f in self.findings if f.kind == kind)

    def levels(self) -> dict[Level, int]:
        """Number of findings by level."""
        found = Counter(f.level for f in self.findings)
        return {level: found[level] for level in LEVELS}

    def kinds(self) -> list[tuple[Level, str, Sequence[Finding]]]:
        """Findings by level and kind, errors first."""
        out: dict[tuple[Level, str], list[Finding]] = {}
        for finding in self.findings:
            out.setdefault((finding.level, finding.kind), []).append(finding)
        return [(level, kind, found) for (level, kind), found in out.items()]

    def check(self) -> None:
        """Raise AuditFailed where an error-level finding stands."""
        if self.errors:
            first = self.errors[0]
            kinds = Counter(f.kind for f in self.errors)
            listed = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
            raise AuditFailed(
                f"{len(self.errors)} errors stand ({listed}); first: {first.message}", where=self.name
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "dataset": self.dataset,
            "name": self.name,
            "split": self.split,
            "levels": self.levels(),
            "counts": dict(self.counts),
            "classes": [
                {
                    "name": row.name,
                    "marks": row.marks,
                    "pixels": row.pixels,
                    "records": row.records,
                    "effective": round(row.effective, 3),
                    "weight": round(row.weight, 5),
                    "parts": dict(row.parts),
                }
                for row in self.classes
            ],
            "unchecked": list(self.unchecked),
            "findings": [finding.to_json() for finding in self.findings],
        }

    def to_html(self, dataset: Dataset | None = None) -> str:
        """One self-contained page; with the dataset, thumbnails with the faulty marks drawn on them."""
        from sightline.data.audit.page import page

        return page(self, dataset)

    def write(self, folder: Path, dataset: Dataset | None = None) -> tuple[Path, Path]:
        """Write `audit.json` and `audit.html` into a folder; gives their paths."""
        data, html = folder / "audit.json", folder / "audit.html"
        write_json(data, self.to_json())
        write_text(html, self.to_html(dataset))
        return data, html
