"""`sightline clean`: what is odd about a dataset's tracks, and a mended dataset where one is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from sightline.core.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


def command(
    dataset: Annotated[Path, typer.Argument(help="dataset folder")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="folder of the mended dataset; else only tell")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="CSV with every odd place")] = None,
    hide: Annotated[
        list[str] | None,
        typer.Option(help="zero-zero or jump: such points become hidden, boxes go; may be repeated"),
    ] = None,
    fill_gaps: Annotated[
        int, typer.Option(min=0, help="fill gaps up to so many frames on a straight line, and mark them")
    ] = 0,
    still: Annotated[int, typer.Option(min=2, help="frames after which standing still is odd")] = 25,
    still_px: Annotated[float, typer.Option(min=0, help="how far something still may stray")] = 1.0,
    shown: Annotated[int, typer.Option(min=0, help="places printed of each kind, the longest first")] = 5,
    replace: Annotated[
        bool, typer.Option("--replace", help="take the place of a dataset that is there")
    ] = False,
) -> None:
    """List jumps, points at (0, 0), gaps and long stillness of tracks; mend them only on request.

    Without --hide and --fill-gaps nothing is changed.
    """
    from sightline.cli.import_command import print_ledger
    from sightline.core.files import written_whole
    from sightline.data.dataset import Dataset
    from sightline.data.tracks import anomalies, clean

    if (out is None) != (not hide and not fill_gaps):
        raise UsageError("--out and what to mend go together", remedy="--out NEW --hide jump --fill-gaps 3")
    opened = Dataset.open(dataset)
    found = anomalies(opened, still_frames=still, still_px=still_px)
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=160)
    print_anomalies(console, found, shown)
    if table is not None:
        with written_whole(table) as part:
            found.to_csv(part, index=False)
        console.print(f"{len(found)} places: {table}", markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        new, ledger = clean(opened, out, hide=hide or [], fill_gaps=fill_gaps, replace=replace)
        print_ledger(console, ledger)
        text = f"dataset {new.root}: {len(new.records)} records, fingerprint {new.fingerprint}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_anomalies(console: Console, found: pd.DataFrame, shown: int) -> None:
    """Counts by kind, and the longest places of each."""
    from sightline.data.tracks import KINDS

    counts = Table("odd", "places", "frames", title="tracks", title_justify="left")
    for column in counts.columns[1:]:
        column.justify = "right"
    for kind in KINDS:
        rows = found[found["kind"] == kind]
        counts.add_row(kind, f"{len(rows):,}", f"{int(rows['frames'].sum()):,}")
    console.print(counts)
    places = Table("odd", "sequence", "class", "track", "frames", "px", "x, y", "source")
    for kind in KINDS:
        rows = found[found["kind"] == kind].sort_values(["frames", "px"], ascending=False)
        for row in rows.head(shown).to_dict("records"):
            span = str(row["first"]) if row["frames"] == 1 else f"{row['first']}-{row['last']}"
            place = f"{row['x']:.1f}, {row['y']:.1f}"
            values = (kind, row["sequence"], row["class"], row["track"], span, f"{row['px']:.0f}", place)
            places.add_row(*map(str, values), str(row["source"]))
    if places.row_count:
        console.print(places)
