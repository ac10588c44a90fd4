"""`sightline split`: divide a dataset into train, val and test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from sightline.data.dataset import Dataset
    from sightline.data.split import Split

By = Literal["author", "group", "frame"]


def command(
    dataset: Annotated[Path, typer.Argument(help="dataset folder")],
    by: Annotated[By, typer.Option(help="whole groups, single frames, or the author's parts")] = "group",
    train: Annotated[float, typer.Option(min=0, max=1, help="share for training")] = 0.7,
    val: Annotated[float, typer.Option(min=0, max=1, help="share for validation")] = 0.15,
    test: Annotated[float, typer.Option(min=0, max=1, help="share for the test")] = 0.15,
    seed: Annotated[int, typer.Option(help="another seed gives another split")] = 0,
    name: Annotated[str, typer.Option(help="name of the split; by default the rule's")] = "",
    near: Annotated[bool, typer.Option(help="keep copies of one picture together")] = True,
) -> None:
    """Divide a dataset by group, stratified by class; writes splits/NAME.parquet."""
    from pydantic import ValidationError
    from rich.console import Console

    from sightline.cli.bars import bars
    from sightline.core.errors import UsageError
    from sightline.core.problem import SplitSection
    from sightline.data.dataset import Dataset
    from sightline.data.split import leakage, make_split

    try:
        section = SplitSection(by=by, train=train, val=val, test=test, seed=seed)
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    opened = Dataset.open(dataset)
    console = Console()
    with bars(Console(stderr=True)) as show:
        made = make_split(opened, section, name=name, near=near, progress=show)
        leaks = leakage(opened, made, near=near)
    path = made.write()
    console.print(table_of(opened, made))
    for line in (made.about.get("notes", ""), f"leakage: {leaks}", f"split: {path}"):
        if line:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def table_of(dataset: Dataset, split: Split) -> Table:
    """Marks of each class (pictures that show it, where labels are dense), records and groups, by part."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    from sightline.data.counting import shown_by_all

    marks = {part: np.zeros(len(dataset.classes), np.int64) for part in split.counts()}
    groups: dict[str, set[str]] = {part: set() for part in marks}
    for record, seen in zip(dataset.records, shown_by_all(dataset, dataset.records), strict=True):
        part = split.parts.get(record.id, "")
        if part in marks:
            marks[part] += seen.amounts
            groups[part].add(record.group or record.id)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for part in marks:
        table.add_column(part, justify="right")
        table.add_column("share", justify="right", style="dim")
    rows = [(name, {p: int(marks[p][i]) for p in marks}) for i, name in enumerate(dataset.classes)]
    rows += [("records", split.counts()), ("groups", {p: len(g) for p, g in groups.items()})]
    for name, counts in rows:
        total = max(1, sum(counts.values()))
        cells = [cell for p in marks for cell in (f"{counts[p]:,}", f"{counts[p] / total:.1%}")]
        table.add_row(Text(name), *cells, style="bold" if name in ("records", "groups") else "")
    return table
