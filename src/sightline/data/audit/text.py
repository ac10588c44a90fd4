"""The audit in a terminal: classes as a table, findings by kind with the first few of each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sightline.data.audit.findings import Audit, Finding
from sightline.data.audit.kinds import remedy, title

SHOWN = 3
_STYLE = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def print_audit(audit: Audit, console: Console, *, shown: int = SHOWN) -> None:
    """Print an audit; `shown` findings of each kind, the others counted."""
    counts = ", ".join(f"{n:,} {name.replace('part:', 'in ')}" for name, n in audit.counts.items())
    console.print(Text(f"{audit.name} ({audit.dataset}): {counts}"), soft_wrap=True)
    if audit.classes:
        console.print(_classes(audit))
    for level, kind, found in audit.kinds():
        head = Text.assemble((f"{level:<8}", _STYLE[level]), (title(kind), "bold"), f"  {len(found)}")
        for line in (head, *_lines(found, shown), Text(f"        → {remedy(kind)}", "dim")):
            console.print(line, soft_wrap=True)
    for reason in audit.unchecked:
        console.print(Text(f"not checked: {reason}", "dim"), soft_wrap=True)
    levels = audit.levels()
    console.print(
        Text(f"{levels['error']} errors, {levels['warning']} warnings, {levels['info']} remarks", "bold")
    )


def _lines(findings: Sequence[Finding], shown: int) -> list[Text]:
    lines: list[Text] = []
    for finding in findings[:shown]:
        lines.append(Text(f"        {_plain(finding.message)}"))
        # Messages that begin with their record say already where they are.
        if finding.places and not (finding.records and finding.message.startswith(finding.records[0])):
            places = ", ".join(map(_plain, finding.places[:shown]))
            more = f" and {len(finding.places) - shown} more" if len(finding.places) > shown else ""
            lines.append(Text(f"          at {places}{more}", "dim"))
    if len(findings) > shown:
        lines.append(Text(f"        and {len(findings) - shown} more", "dim"))
    return lines


def _plain(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _classes(audit: Audit) -> Table:
    parts = [key.removeprefix("part:") for key in audit.counts if key.startswith("part:")]
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
    for name in ("marks", "records", "effective", "weight", *parts):
        table.add_column(name, justify="right")
    for row in audit.classes:
        figures = [f"{row.marks:,}", f"{row.records:,}", f"{row.effective:,.1f}", f"{row.weight:.2f}"]
        table.add_row(Text(_plain(row.name)), *figures, *(f"{row.parts.get(part, 0):,}" for part in parts))
    return table
