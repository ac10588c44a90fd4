"""What became of everything that was read: read = kept + fixed + dropped, with a place for each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

Unit = Literal["picture", "annotation"]
Fate = Literal["fixed", "dropped"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that did not pass as it was.

    Attributes:
        unit: what it is.
        fate: what became of it.
        reason: why, in words that repeat, so that entries can be counted by it.
        place: file and line, pointer or id; names one thing.
        detail: the values found.
    """

    unit: Unit
    fate: Fate
    reason: str
    place: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.detail}" if self.detail else self.place


@dataclass(slots=True)
class Ledger:
    """Counts by unit, and an entry for each thing fixed or dropped.

    A thing, known by its place, is counted as fixed once though it may have several entries, and one that is
    fixed and then dropped counts as dropped.
    """

    read: Counter[Unit] = field(default_factory=Counter)
    fixed: Counter[Unit] = field(default_factory=Counter)
    dropped: Counter[Unit] = field(default_factory=Counter)
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asked: Counter[Unit] = field(default_factory=Counter)
    _repaired: set[tuple[Unit, str]] = field(default_factory=set)

    def saw(self, unit: Unit, count: int = 1) -> None:
        """Count things read."""
        self.read[unit] += count

    def fix(self, unit: Unit, reason: str, place: object, detail: str = "") -> None:
        """One thing was kept after a repair."""
        key = (unit, str(place))
        if key not in self._repaired:
            self._repaired.add(key)
            self.fixed[unit] += 1
        self.entries.append(Entry(unit, "fixed", reason, str(place), detail))

    def drop(self, unit: Unit, reason: str, place: object, detail: str = "", *, asked: bool = False) -> None:
        """One thing was left out; `asked` where the user told us to, which no limit counts."""
        key = (unit, str(place))
        if key in self._repaired:
            self._repaired.discard(key)
            self.fixed[unit] -= 1
        self.dropped[unit] += 1
        self.asked[unit] += asked
        self.entries.append(Entry(unit, "dropped", reason, str(place), detail))

    def note(self, text: str) -> None:
        """A remark about the whole import (a policy that changed what labels say)."""
        self.notes.append(text)

    def kept(self, unit: Unit) -> int:
        """Things that passed as they were."""
        return self.read[unit] - self.fixed[unit] - self.dropped[unit]

    def dropped_share(self) -> float:
        """Largest share dropped over the units, 0..1, without what the user asked to leave out."""
        shares = ((self.dropped[u] - self.asked[u]) / n for u, n in self.read.items() if n)
        return max(shares, default=0.0)

    def reasons(self) -> dict[tuple[Unit, Fate, str], list[str]]:
        """Places, with details, by unit, fate and reason."""
        out: dict[tuple[Unit, Fate, str], list[str]] = {}
        for e in self.entries:
            out.setdefault((e.unit, e.fate, e.reason), []).append(str(e))
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
            {"unit": e.unit, "fate": e.fate, "reason": e.reason, "place": e.place, "detail": e.detail}
            for e in self.entries
        ]
        return {"counts": counts, "entries": entries, "notes": self.notes}
