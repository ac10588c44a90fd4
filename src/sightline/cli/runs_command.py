"""`sightline runs`: versions side by side on the same held-out set."""

from __future__ import annotations

import json as codec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from sightline.lifecycle.versions import Version

SPEED = (("bench.p50_ms", "p50 ms"), ("bench.limit_fps", "limit f/s"), ("bench.size_mb", "MB"))


def command(
    places: Annotated[list[Path], typer.Argument(help="folders of train or run, or folders of such")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="to show; may be repeated; else the headlines")
    ] = None,
    on: Annotated[str, typer.Option(help="part of the held-out set's text, where there are several")] = "",
    sort: Annotated[str, typer.Option(help="metric to order by, the best first; else by folder")] = "",
    plot: Annotated[Path | None, typer.Option(help="a comparison as .png or .svg")] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Compare versions: parents, sizes, figures with 95% intervals, speed.

    Versions measured on different held-out sets are refused: their figures do not compare.
    """
    from sightline.evaluate.metrics import higher_is_better
    from sightline.lifecycle.versions import comparable, estimate, find_versions, headlines
    from sightline.lifecycle.versions import plot as draw

    found = find_versions(places)
    measured = comparable(found, on)
    metrics = list(metric or headlines(measured))
    if sort:
        sign = -1 if higher_is_better(sort) else 1
        measured = sorted(measured, key=lambda version: sign * estimate(version, sort).value)
    if json:
        print(codec.dumps([_plain(v, metrics) for v in measured], indent=2, ensure_ascii=False))
    else:
        console = Console() if Console().is_terminal else Console(width=200)
        console.print(_table(measured, metrics))
        told = f"measured on {measured[0].held_out}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
        never = [v.name for v in found if v.report is None]
        if never:
            text = f"never measured: {', '.join(never)}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    if plot is not None:
        draw(measured, metrics, plot)


def _table(versions: list[Version], metrics: list[str]) -> Table:
    from sightline.lifecycle.versions import estimate

    table = Table("version", "parent", "model", title="versions", title_justify="left")
    for name in ("parameters", "epochs"):
        table.add_column(name, justify="right")
    for name in metrics:
        table.add_column(name.replace(".", ".\n", 1), justify="right")
    speed = [(key, text) for key, text in SPEED if any(key in v.speed for v in versions)]
    for _, text in speed:
        table.add_column(text, justify="right")
    for version in versions:
        cells = [version.name, version.parent, version.model, f"{version.parameters:,}", str(version.epochs)]
        for name in metrics:
            e = estimate(version, name)
            span = f"\n{e.low:.3g} to {e.high:.3g}" if e.low < e.high else ""
            cells.append(f"{e.value:.4g}{span}")
        cells += [f"{version.speed[key]:.3g}" if key in version.speed else "" for key, _ in speed]
        table.add_row(*cells)
    return table


def _plain(version: Version, metrics: list[str]) -> dict[str, Any]:
    from dataclasses import asdict

    from sightline.lifecycle.versions import estimate

    return {
        "name": version.name,
        "folder": str(version.folder),
        "parent": version.parent,
        "model": version.model,
        "parameters": version.parameters,
        "epochs": version.epochs,
        "held_out": version.held_out,
        "metrics": {name: asdict(estimate(version, name)) for name in metrics},
        "speed": version.speed,
    }
