"""`sightline run`: from labels to a measured package, redoing only what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sightline.lifecycle.verdict import Verdict


def command(
    problem: Annotated[Path, typer.Argument(help="the problem.yaml")],
    out: Annotated[
        Path | None, typer.Option(help="workspace; work/NAME beside the problem unless given")
    ] = None,
) -> None:
    """Import, audit, split, train, evaluate, export and bench; ends with the criteria, met or not."""
    from sightline.lifecycle.run import Places, run
    from sightline.lifecycle.run import workspace as find

    console = Console()
    place = find(problem, out)
    verdict = run(problem, out, say=lambda *stage: print_stage(console, *stage))
    print_verdict(console, verdict)
    places = Places(place)
    console.print(f"package  {places.package}\nreport   {places.report / 'report.html'}", highlight=False)
    if not verdict.met:
        raise typer.Exit(1)


def print_stage(console: Console, name: str, kept: bool, seconds: float) -> None:
    """One line a stage: done now, or kept from before."""
    word = "[dim]kept[/dim]" if kept else f"{seconds:7.1f} s"
    console.print(f"[green]✓[/green] {name:<10}{word}", highlight=False)


def print_verdict(console: Console, verdict: Verdict) -> None:
    """The table of success criteria."""
    table = Table(title="Success criteria")
    for column in ("criterion", "bound", "measured", "95% interval", ""):
        table.add_column(column, justify="left" if column in ("criterion", "") else "right")
    for row in verdict.rows:
        figure = row.figure
        interval = "" if figure.low == figure.high else f"{figure.low:.4g} – {figure.high:.4g}"
        word = "[green]met[/green]" if row.met else "[red]missed[/red]"
        bound = f"{row.criterion}" + (" (worst end)" if row.criterion.interval else "")
        table.add_row(row.criterion.metric, bound, f"{figure.value:.4g}", interval, word)
    console.print(table)
