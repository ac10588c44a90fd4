"""`sightline show`: a contact sheet with the labels drawn on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightline.data.dataset import Dataset


def command(
    dataset: Annotated[Path, typer.Argument(help="dataset folder")],
    out: Annotated[Path, typer.Option("--out", "-o", help="picture to write")] = Path("sheet.png"),
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=400, help="pictures on the sheet")] = 24,
    classes: Annotated[
        list[str] | None, typer.Option("--class", "-c", help="only records with this class; may be repeated")
    ] = None,
    split: Annotated[str, typer.Option(help="split to take a part of")] = "",
    part: Annotated[str, typer.Option(help="only this part: train, val or test")] = "",
    faulty: Annotated[
        bool, typer.Option("--audit", help="only what an audit finds, the marks in question in red")
    ] = False,
    augment: Annotated[
        Path | None, typer.Option(help="a problem.yaml: what its training sees, a row a record")
    ] = None,
    heat: Annotated[Path | None, typer.Option(help="a run of a locator: its heatmaps over frames")] = None,
    seed: Annotated[int, typer.Option(help="which records; -1 takes the first ones")] = 0,
    columns: Annotated[int, typer.Option(min=0, help="0 chooses")] = 0,
    cell: Annotated[int, typer.Option(min=64, max=2000, help="width of a picture in pixels")] = 320,
    dark: Annotated[bool, typer.Option("--dark", help="dark page")] = False,
) -> None:
    """Draw records with their labels on one sheet: at random, of a class, of a part, or the faulty ones."""
    from rich.console import Console

    from sightline.cli.bars import bars
    from sightline.core.errors import UsageError
    from sightline.core.files import written_whole
    from sightline.core.media import PICTURE_SUFFIXES, write_picture
    from sightline.data.dataset import Dataset
    from sightline.data.sheet import choose, choose_faulty, sheet

    if out.suffix.lower() not in PICTURE_SUFFIXES:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise UsageError(f"a sheet cannot be encoded as {out.suffix!r}", where=out, remedy=f"use {kinds}")
    if sum((faulty, augment is not None, heat is not None)) > 1:
        raise UsageError("--audit, --augment and --heat are three sheets", remedy="ask for one")
    opened = Dataset.open(dataset)
    console = Console()
    with bars(Console(stderr=True)) as show:
        if faulty:
            chosen = choose_faulty(
                opened, count, split=split, part=part, classes=classes or [], progress=show
            )
        else:
            chosen = choose(opened, count, split=split, part=part, classes=classes or [], seed=seed)
        if augment is not None or heat is not None:
            page = _trained(opened, [choice.record.id for choice in chosen], augment, heat, dark)
        else:
            page = sheet(opened, chosen, columns=columns, cell_width=cell, dark=dark)
    with written_whole(out) as file:
        named = file.with_suffix(out.suffix)
        write_picture(named, page)
        named.replace(file)
    text = f"{len(chosen)} records on {out} ({page.shape[1]}x{page.shape[0]})"
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _trained(
    dataset: Dataset, ids: list[str], augment: Path | None, heat: Path | None, dark: bool
) -> NDArray[np.uint8]:
    """Sheets that need the network."""
    from sightline.core.problem import Problem
    from sightline.train.run import Run
    from sightline.train.sheet import augmentation_sheet, heat_sheet

    if augment is not None:
        return augmentation_sheet(Problem.load(augment), dataset, ids, dark=dark)
    assert heat is not None
    return heat_sheet(Run.open(heat), dataset, ids, dark=dark)
