"""`sightline review`: what a service found hard, as a table, a page, or tasks for annotators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightline.monitor.review_items import Item

PIPE_WIDTH = 160


def command(
    store: Annotated[str, typer.Argument(help="folder of --review, or the URL of its database")],
    model: Annotated[str, typer.Option(help="only of this model")] = "",
    reason: Annotated[str, typer.Option(help="only for this: uncertain, novel, unstable, flagged")] = "",
    state: Annotated[
        Literal["open", "exported", "dismissed", "all"], typer.Option(help="only in this state")
    ] = "open",
    limit: Annotated[int, typer.Option(min=0, help="at most so many, the most valuable; 0: all")] = 50,
    dismiss: Annotated[list[int] | None, typer.Option(help="not worth a look; may be repeated")] = None,
    html: Annotated[Path | None, typer.Option(help="write a page of them here")] = None,
    export: Annotated[
        Literal["label-studio", "cvat"] | None, typer.Option(help="write tasks with pre-annotations")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="folder of the tasks")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="take the place of tasks there")] = False,
) -> None:
    """List pictures that were uncertain, novel, unstable or flagged, the most valuable first.

    What is exported is marked so, and not listed again unless asked for. Labels come back with
    `sightline import LABELS --onto DATASET --out GROWN`.
    """
    from rich.console import Console

    from sightline.core.errors import UsageError
    from sightline.monitor.review_items import REASONS
    from sightline.monitor.store import Store

    if reason and reason not in REASONS:
        raise UsageError(f"--reason {reason!r} is not one of {', '.join(REASONS)}")
    if (export is None) != (out is None):
        raise UsageError("--export and --out go together")
    console = Console()
    console = console if console.is_terminal else Console(width=PIPE_WIDTH)
    found = Store.open(store, create=False)
    if dismiss:
        console.print(f"dismissed {found.mark(dismiss, 'dismissed')}", highlight=False)
    states = () if state == "all" else (state,)
    items = found.items(model=model, reason=reason, states=states, limit=limit)
    _print(console, items, found.counts())
    if html is not None:
        from sightline.core.files import write_text
        from sightline.monitor.review_page import page

        write_text(html, page(found, items))
        console.print(f"page: {html}", markup=False, highlight=False, soft_wrap=True)
    if export is not None and out is not None:
        from sightline.monitor.review_export import export_tasks

        told = export_tasks(found, items, out, export, replace=replace)
        console.print(told.line(), markup=False, highlight=False, soft_wrap=True)


def _print(console: object, items: Sequence[Item], counts: dict[str, int]) -> None:
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    table = Table("id", "when", "model", "reasons", "seen", "picture", "request", "note")
    for item in items:
        told, (width, height) = item.prediction, item.prediction.size_wh
        reasons = ", ".join(f"{n} {v:.2f}" for n, v in sorted(item.reasons.items(), key=lambda p: -p[1]))
        when = datetime.fromtimestamp(told.created, UTC).strftime("%Y-%m-%d %H:%M")
        kept = f"{width}x{height}" + ("" if item.bytes else ", not kept")
        request = told.request_id + (f" #{told.index}" if told.index else "")
        cells = (str(item.id), when, f"{told.model} {told.version}", reasons, str(item.seen), kept)
        table.add_row(*(_plain(c) for c in (*cells, request, item.note)))
    console.print(table)
    states = ", ".join(f"{counts[s]:,} {s}" for s in ("open", "exported", "dismissed") if s in counts)
    console.print(
        f"{states or 'nothing kept'}; {counts['bytes'] / (1 << 20):.1f} MB of pictures; "
        f"{counts['predictions']:,} answers, {counts['feedback']:,} with labels",
        highlight=False,
    )


def _plain(text: str) -> str:
    """Text of strangers for a table cell: no markup, no control characters."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "·" for c in text))
