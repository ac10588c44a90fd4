"""`sightline rollback`: put the package in use that was so before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    problem: Annotated[Path, typer.Argument(help="the problem.yaml")],
    to: Annotated[
        str | None, typer.Option(help="a version that was in use; the one before this unless given")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="workspace; work/NAME beside the problem unless given")
    ] = None,
    why: Annotated[str, typer.Option(help="in words, for the log")] = "rolled back",
) -> None:
    """Put the package in use that was so before; once more goes one further back."""
    from sightline.cli.promote_command import print_promotion
    from sightline.lifecycle.packages import FOLDER, Packages
    from sightline.lifecycle.run import workspace

    packages = Packages(workspace(problem, out) / FOLDER)
    print_promotion(packages, packages.rollback(why, to))
