"""`sightline monitor`: pictures, videos or predictions against the reference of a package."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sightline.monitor.offline import Monitored
    from sightline.monitor.report import DriftReport

SHOWN_FAULTS = 20


def command(
    package: Annotated[Path, typer.Argument(help="package folder, or an .onnx with its manifest inside")],
    source: Annotated[
        list[str], typer.Argument(help="pictures, folders, globs and videos, or predictions (.jsonl)")
    ],
    rate: Annotated[
        float,
        typer.Option(min=0.0001, max=0.5, help="how often pictures like the reference's may be flagged"),
    ] = 0.01,
    window: Annotated[
        int, typer.Option(min=0, help="also compare consecutive windows of so many pictures")
    ] = 0,
    persist: Annotated[int, typer.Option(min=1, help="windows in a row before drift is believed")] = 2,
    html: Annotated[Path | None, typer.Option(help="write a page here")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; else all cores")] = None,
) -> None:
    """Tell whether pictures still look, and are answered, as the validation set did; exit code 1 where not.

    The package's reference was stored when it was exported. Frames of a video are alike: give several, or
    a folder of pictures taken over some time.
    """
    import math

    from sightline.monitor.drift import ROUNDS
    from sightline.monitor.offline import monitor

    name = ", ".join(source)
    with ExitStack() as stack:
        given, tick = _given(source, stack)
        found = monitor(
            package,
            given,
            name=name,
            alpha=rate,
            rounds=max(ROUNDS, math.ceil(10 / rate)),
            window=window,
            persist=persist,
            threads=threads,
            on_picture=tick,
        )
    if html is not None:
        from sightline.core.files import write_text
        from sightline.monitor.page import page

        write_text(html, page(found))
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        _print(found, html)
    if found.drifted:
        raise typer.Exit(1)


def _given(source: list[str], stack: ExitStack) -> tuple[Any, Callable[[], None] | None]:
    """What `monitor` takes, and a bar on standard error where that is a terminal."""
    if len(source) == 1 and source[0].lower().endswith(".jsonl"):
        return Path(source[0]), None
    from itertools import count

    from rich.console import Console

    from sightline.cli.bars import bars
    from sightline.video.sources import find_sources

    sources = find_sources(source)
    total = sum(s.length or 0 for s in sources)
    show, done = stack.enter_context(bars(Console(stderr=True))), count(1)
    return (shot for s in sources for shot in s), lambda: show("monitor", next(done), total)


def _print(found: Monitored, html: Path | None) -> None:
    import sys

    from rich.console import Console

    console = Console()
    report = found.report
    for place, reason in found.faults[:SHOWN_FAULTS]:
        print(f"unreadable: {place}: {reason}", file=sys.stderr)
    if len(found.faults) > SHOWN_FAULTS:
        print(f"... and {len(found.faults) - SHOWN_FAULTS} more", file=sys.stderr)
    _table(console, report)
    if found.windows:
        _windows(console, found)
    for note in report.notes:
        console.print(f"[dim]note: {note}[/dim]", highlight=False)
    said = report.sentences or tuple(
        s for w, alarm in zip(found.windows, found.alarms, strict=True) if alarm for s in w.sentences
    )
    if found.drifted:
        console.print(f"[bold red]drifted[/bold red]: {'; '.join(dict.fromkeys(said))}", highlight=False)
    else:
        console.print("[bold green]not drifted[/bold green]", highlight=False)
    if html is not None:
        console.print(f"page: {html}", markup=False, highlight=False, soft_wrap=True)


def _table(console: Console, report: DriftReport) -> None:
    from rich.table import Table

    table = Table(
        title=f"{report.pictures} pictures against {report.reference_pictures} of {report.package}",
        caption=f"false alarms at most {report.alpha:.1%} of the times, over all rows together",
    )
    table.add_column("statistic")
    for name in ("usually", "now", "distance", "limit", "p"):
        table.add_column(name, justify="right")
    table.add_column("measure")
    for row in report.rows:
        style = "bold red" if row.drifted else ""
        cells = [_number(v) for v in (row.was, row.now, row.size, row.limit)]
        table.add_row(row.statistic.replace("_", " "), *cells, f"{row.p:.3f}", row.measure, style=style)
    console.print(table)


def _windows(console: Console, found: Monitored) -> None:
    from rich.table import Table

    table = Table(title="windows")
    for name in ("pictures", "flagged", "believed", "what"):
        table.add_column(name)
    start = 0
    for window, alarm in zip(found.windows, found.alarms, strict=True):
        span = f"{start + 1}–{start + window.pictures}"
        start += window.pictures
        told = "; ".join(window.sentences)
        table.add_row(span, "yes" if window.drifted else "no", "yes" if alarm else "no", told)
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
