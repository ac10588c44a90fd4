"""`sightline retrain`: a challenger from the champion's weights, compared with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sightline.lifecycle.challenge import Challenge
    from sightline.lifecycle.retrain import Retrained

MARKS = {1: "[green]better[/green]", -1: "[red]worse[/red]", 0: "[dim]not sure[/dim]"}


def command(
    problem: Annotated[Path, typer.Argument(help="the problem.yaml")],
    dataset: Annotated[
        Path | None,
        typer.Option(help="the grown dataset; found in the workspace by its lineage unless given"),
    ] = None,
    challenger: Annotated[
        Path | None, typer.Option(help="a package to compare, in place of one to be trained")
    ] = None,
    drift: Annotated[
        Path | None,
        typer.Option(help="a report of `monitor --json`; drift.json in the workspace unless given"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell which rules ask for it, and stop")] = False,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="for timers: only where a rule asks and retrain.automatic is set")
    ] = False,
    promote: Annotated[bool, typer.Option("--promote", help="promote the challenger if it may be")] = False,
    out: Annotated[
        Path | None, typer.Option(help="workspace; work/NAME beside the problem unless given")
    ] = None,
) -> None:
    """Train a challenger from the champion's weights on the grown dataset, and compare the two.

    Both answer the same held-out records: those the champion was measured on, and those that came since.
    Exit code 1 where the challenger misses a criterion or does anything significantly worse.
    """
    from rich.console import Console

    from sightline.cli.telling import Telling
    from sightline.lifecycle.retrain import Wanted, retrain

    console = Console(highlight=False)
    wanted = Wanted(dataset, challenger, drift, dry_run, if_due, promote)
    with Telling(console) as told:
        found = retrain(problem, out, wanted, tell=told.tell)
    _print_rules(console, found)
    if found.challenge is None:
        return
    _print_challenge(console, found.challenge)
    if found.promotion is not None:
        console.print(f"[green]✓[/green] in use: version {found.promotion.version}")
    elif found.challenge.promotable:
        if found.refused:
            console.print(f"[red]not promoted[/red] {found.refused}", soft_wrap=True)
        console.print(
            f"promote it with: sightline promote {problem} {found.challenge.package}", soft_wrap=True
        )
    if not found.challenge.promotable:
        raise typer.Exit(1)


def _print_rules(console: Console, found: Retrained) -> None:
    from rich.table import Table

    where = f", {found.dataset.name}: {found.fresh} records it has not seen" if found.dataset else ""
    console.print(f"champion: version {found.champion}{where}", markup=False)
    if not found.rules:
        console.print("[dim]the problem gives no rule under retrain[/dim]")
        return
    table = Table("rule", "asks at", "found", "")
    for rule in found.rules:
        word = "[bold]due[/bold]" if rule.due else "[dim]not due[/dim]"
        table.add_row(rule.name, rule.wanted, rule.found, word)
    console.print(table)


def _print_challenge(console: Console, found: Challenge) -> None:
    from rich.table import Table

    from sightline.cli.run_command import print_verdict

    table = Table(title=f"Challenger against version {found.champion}")
    for name in ("held out", "figure", "champion", "challenger", "difference", "95% interval", ""):
        table.add_column(name, justify="left" if name in ("held out", "figure", "") else "right")
    counts = found.comparison.samples
    for row in found.comparison.rows:
        table.add_row(
            f"{row.held_out} ({counts[row.held_out]})",
            row.metric,
            f"{row.champion:.4g}",
            f"{row.challenger:.4g}",
            f"{row.difference:+.4g}",
            f"{row.low:+.4g} to {row.high:+.4g}",
            MARKS[row.better],
        )
    console.print(table)
    print_verdict(console, found.verdict)
    for note in found.comparison.notes:
        console.print(f"[dim]note: {note}[/dim]")
    for reason in found.refusals:
        console.print(f"[red]refused[/red] {reason}", soft_wrap=True)
    if found.promotable:
        console.print("[bold green]may be promoted[/bold green]")
