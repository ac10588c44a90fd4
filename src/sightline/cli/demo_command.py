"""`sightline demo`: the whole life cycle on simulated rallies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sightline.cli.run_command import print_verdict
from sightline.lifecycle.demo import EPOCHS, FRAMES, RALLIES


def command(
    out: Annotated[Path, typer.Option(help="folder to make")] = Path("demo"),
    replace: Annotated[bool, typer.Option(help="replace what is there")] = False,
    rallies: Annotated[int, typer.Option(min=6, help="labelled rallies")] = RALLIES,
    frames: Annotated[int, typer.Option(min=4, help="frames a rally")] = FRAMES,
    epochs: Annotated[int, typer.Option(min=1, help="of training, of each stage")] = EPOCHS,
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="make the films, their labels and a problem file, and stop")
    ] = False,
) -> None:
    """Simulate labelled badminton rallies and carry a two-stage locator from labels to an annotated video."""
    from sightline.cli.telling import Telling
    from sightline.lifecycle.demo import demo, labelled

    console = Console()
    started = time.perf_counter()
    console.print(f"Simulating {rallies} rallies of {frames} frames, labelled as a Label Studio export.")
    if labels_only:
        with Telling(console) as told:
            labelled(out, rallies=rallies, frames=frames, epochs=epochs, replace=replace, tell=told.tell)
        _print_places(console, labels=out / "labels", problem=out / "problem.yaml", film=out / "unseen.mp4")
        return
    with Telling(console) as told:
        made = demo(out, rallies=rallies, frames=frames, epochs=epochs, replace=replace, tell=told.tell)
    print_verdict(console, made.verdict)
    _print_places(
        console,
        labels=out / "labels",
        problem=out / "problem.yaml",
        package=made.places.package,
        report=made.places.report / "report.html",
        video=made.video,
    )
    console.print(f"{time.perf_counter() - started:.0f} s in all", highlight=False)
    if not made.verdict.met:
        raise typer.Exit(1)


def _print_places(console: Console, **places: Path) -> None:
    for name, path in places.items():
        console.print(f"{name:<9}{path}", markup=False, highlight=False, soft_wrap=True)
