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
    from sightline.cli.telling import Telling
    from sightline.lifecycle.run import Places, run, workspace

    console = Console()
    places = Places(workspace(problem, out))
    with Telling(console) as told:
        verdict = run(problem, places.root, tell=told.tell)
    print_verdict(console, verdict)
    for name, path in (("package", places.package), ("report", places.report / "report.html")):
        console.print(f"{name:<9}{path}", markup=False, highlight=False, soft_wrap=True)
    if not verdict.met:
        raise typer.Exit(1)


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
