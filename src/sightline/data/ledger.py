"""What became of everything that was read: read = kept + fixed + dropped, with a place for each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

Unit = Literal["picture", "annotation"]
Fate = Literal["fixed", "dropped"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that did not pass as it was."""

    unit: Unit
    fate: Fate
    reason: str
    place: str


@dataclass(slots=True)
class Ledger:
    """Counts by unit, and an entry for each thing fixed or dropped.

    A thing is fixed at most once in the counts, though it may have several entries.
    """

    read: Counter[Unit] = field(default_factory=Counter)
    fixed: Counter[Unit] = field(default_factory=Counter)
    dropped: Counter[Unit] = field(default_factory=Counter)
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def saw(self, unit: Unit, count: int = 1) -> None:
        """Count things read."""
        self.read[unit] += count

    def fix(self, unit: Unit, reason: str, place: object) -> None:
        """One thing was kept after a repair."""
        self.fixed[unit] += 1
        self.entries.append(Entry(unit, "fixed", reason, str(place)))

    def drop(self, unit: Unit, reason: str, place: object) -> None:
        """One thing was left out."""
        self.dropped[unit] += 1
        self.entries.append(Entry(unit, "dropped", reason, str(place)))

    def note(self, text: str) -> None:
        """A remark about the whole import (a policy that changed what labels say)."""
        self.notes.append(text)

    def kept(self, unit: Unit) -> int:
        """Things that passed as they were."""
        return self.read[unit] - self.fixed[unit] - self.dropped[unit]

    def dropped_share(self) -> float:
        """Largest share dropped over the units, 0..1."""
        return max((self.dropped[u] / n for u, n in self.read.items() if n), default=0.0)

    def reasons(self) -> dict[tuple[Unit, Fate, str], list[str]]:
        """Places by unit, fate and reason."""
        out: dict[tuple[Unit, Fate, str], list[str]] = {}
        for e in self.entries:
            out.setdefault((e.unit, e.fate, e.reason), []).append(e.place)
        return out

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        counts = {
            unit: {
                "read": n,
                "kept": self.kept(unit),
                "fixed": self.fixed[unit],
                "dropped": self.dropped[unit],
            }
            for unit, n in self.read.items()
        }
        entries = [
            {"unit": e.unit, "fate": e.fate, "reason": e.reason, "place": e.place} for e in self.entries
        ]
        return {"counts": counts, "entries": entries, "notes": self.notes}
