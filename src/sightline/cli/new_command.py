"""`sightline new`: a problem.yaml to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    task: Annotated[str, typer.Argument(help="classify, detect, segment or locate")],
    labels: Annotated[Path, typer.Argument(help="folder or file with the labels")],
    out: Annotated[Path, typer.Option(help="where to write")] = Path("problem.yaml"),
    name: Annotated[str | None, typer.Option(help="name of the problem")] = None,
) -> None:
    """Write a problem.yaml to start from; the label format is read off the labels."""
    from sightline.lifecycle.new import new

    path = new(task, labels, out, name=name)
    print(f"wrote {path}; say why it matters and set the criteria, then: sightline run {path}")
