"""`sightline promote`: put a package in use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sightline.lifecycle.packages import Packages, Promotion


def command(
    problem: Annotated[Path, typer.Argument(help="the problem.yaml")],
    package: Annotated[
        Path | None, typer.Argument(help="package folder; the one that `run` made unless given")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="workspace; work/NAME beside the problem unless given")
    ] = None,
    why: Annotated[str, typer.Option(help="in words, for the log")] = "",
    shadow: Annotated[
        str, typer.Option(help="address of the service where it runs as a shadow; SIGHTLINE_TOKEN is sent")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="against the evidence; needs --why")] = False,
) -> None:
    """Put a package in use, if the evidence beside it speaks for it; exit code 1 where it does not.

    The first has to meet the problem's criteria; a later one also has to be compared with the one in use
    (`sightline retrain`), and where `retrain.shadow` stands in the problem, tried on live traffic. Serve
    `packages/current` in the workspace: it is exchanged in one step.
    """
    from sightline.core.errors import UsageError
    from sightline.core.problem import Problem
    from sightline.lifecycle.packages import FOLDER, Packages
    from sightline.lifecycle.retrain import promote_package
    from sightline.lifecycle.run import Places, workspace
    from sightline.lifecycle.shadowing import sentence, shadow_of

    if force and not why:
        raise UsageError("--force needs --why", remedy="say why, it stands in the log")
    places = Places(workspace(problem, out))
    wanted = Problem.load(problem).retrain.shadow
    seen = shadow_of(shadow) if shadow else None
    if shadow and seen is None:
        raise UsageError("runs no shadow", where=shadow, remedy="serve --shadow PACKAGE")
    if seen is not None:
        print(sentence(seen, Packages(places.root / FOLDER).current))
    done = promote_package(places, package, why=why, force=force, wanted=wanted, shadow=seen)
    print_promotion(Packages(places.root / FOLDER), done)


def print_promotion(packages: Packages, done: Promotion) -> None:
    """What is in use now, since when and in whose place."""
    from rich.console import Console

    console = Console(highlight=False)
    before = f", in place of {done.before}" if done.before else ""
    console.print(f"[green]✓[/green] in use: version {done.version}{before}, since {done.at}")
    console.print(f"serve   {packages.root / 'current'}", markup=False, soft_wrap=True)
    console.print(f"log     {packages.root / 'promotions.jsonl'}", markup=False, soft_wrap=True)
