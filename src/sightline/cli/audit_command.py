"""`sightline audit`: find faults in a dataset; exit 1 where an error stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    dataset: Annotated[Path, typer.Argument(help="dataset folder")],
    split: Annotated[str, typer.Option(help="split to hold it to; by default the author's own")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="folder for audit.json and audit.html")
    ] = None,
    media: Annotated[bool, typer.Option(help="read every picture: files, sizes, copies")] = True,
    shown: Annotated[int, typer.Option(min=0, help="findings printed of each kind")] = 3,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead of text")] = False,
) -> None:
    """Find faults: in files, sizes, marks, tracks, classes, copies and the split."""
    import json as codec
    import sys

    from rich.console import Console

    from sightline.cli.bars import bars
    from sightline.data.audit import audit
    from sightline.data.audit.text import print_audit
    from sightline.data.dataset import Dataset

    opened = Dataset.open(dataset)
    chosen = opened.split(split) if split else None
    console = Console()
    with bars(Console(stderr=True)) as show:
        found = audit(opened, chosen, media=media, progress=show)
    if json:
        sys.stdout.write(codec.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        print_audit(found, console, shown=shown)
    if out is not None:
        written = found.write(out, opened)
        if not json:
            console.print(f"page: {written[1]}", markup=False, highlight=False, soft_wrap=True)
    found.check()
