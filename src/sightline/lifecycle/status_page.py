"""The stages of a problem as one page that opens offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sightline.lifecycle.status import STANDINGS, Row

WORDS = {"done": "done", "stale": "stale", "failing": "failing", "none": "not yet"}


def status_page(name: str, why: str, rows: Sequence[Row]) -> str:
    """HTML of the nine stages.

    Args:
        name: of the problem.
        why: of the problem.
        rows: as `status` gives them.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    counts = Counter(row.state for row in rows)
    return environment.get_template("status.html.j2").render(
        name=name,
        why=why,
        counts=[(WORDS[state], state, counts[state]) for state in STANDINGS if counts[state]],
        now=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        rows=[
            {
                "number": number,
                "stage": row.stage,
                "state": row.state,
                "word": WORDS[row.state],
                "found": row.found,
                "at": f"{row.at:%Y-%m-%d %H:%M}" if row.at else "",
                "path": str(row.path or ""),
                "link": row.path.absolute().as_uri() if isinstance(row.path, Path) else "",
            }
            for number, row in enumerate(rows, 1)
        ],
    )
