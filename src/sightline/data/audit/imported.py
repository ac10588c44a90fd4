"""What the import already mended or left out, read from its ledger, as findings with their places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from sightline.core.errors import SightlineError
from sightline.data.audit.case import Case, finding
from sightline.data.audit.findings import Finding, Level
from sightline.data.checks import CUT_MOST


def check_ledger(case: Case) -> Iterator[Finding]:
    """One finding for each unit, fate and reason; what was dropped warns, what was mended informs.

    A mark of which most was cut away warns too: it may be of another picture and reach this one by chance.
    """
    ledger = {}
    with suppress(SightlineError, AttributeError):  # a dataset made in memory has none
        ledger = case.dataset.ledger()
    places: dict[tuple[str, str, str], list[str]] = {}
    for entry in ledger.get("entries", ()):
        key = (entry["unit"], entry["fate"], entry["reason"])
        detail = entry.get("detail", "")
        places.setdefault(key, []).append(f"{entry['place']}: {detail}" if detail else entry["place"])
    for (unit, fate, reason), where in places.items():
        most = reason == CUT_MOST
        level: Level = "warning" if most or fate == "dropped" else "info"
        plural = "s" if len(where) > 1 else ""
        text = f"{len(where)} {unit}{plural} {fate}: {reason}"
        yield finding(level, "import-cut" if most else f"import-{fate}", text, places=where)
