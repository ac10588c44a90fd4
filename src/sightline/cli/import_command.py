"""`sightline import`: labels in any format to a checked dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column, Table

from sightline.core.errors import TooMuchDropped, UsageError

Boxes = Literal["clip", "drop", "fail"]
Visible = Literal["as-labelled", "all"]
Points = Literal["as-labelled", "box-centres"]
Media = Literal["link", "copy", "none"]

PLACES_SHOWN = 3
PIPE_WIDTH = 160


def command(
    source: Annotated[Path, typer.Argument(help="folder or label file")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder of the dataset to make")],
    format: Annotated[str, typer.Option(help="label format, or auto to look")] = "auto",
    boxes: Annotated[Boxes, typer.Option(help="marks that leave the picture: cut, drop, or stop")] = "clip",
    visible: Annotated[
        Visible, typer.Option(help="'all' takes every point as visible, whatever its column says")
    ] = "as-labelled",
    points: Annotated[
        Points, typer.Option(help="'box-centres' makes every plain box a point, hidden where there is none")
    ] = "as-labelled",
    media_root: Annotated[
        Path | None, typer.Option(help="where pictures are, if not where the labels point")
    ] = None,
    media: Annotated[
        Media, typer.Option(help="link pictures into the dataset, copy them, or neither")
    ] = "link",
    check_media: Annotated[bool, typer.Option(help="open each picture's header for its true size")] = True,
    group: Annotated[
        str, typer.Option(help="what belongs together: auto, none, folder, stem, or a regular expression")
    ] = "auto",
    rename: Annotated[
        list[str] | None, typer.Option(help="OLD=NEW renames a class, OLD= leaves it out; may be repeated")
    ] = None,
    drop_limit: Annotated[float, typer.Option(min=0, max=1, help="largest share that may be dropped")] = 0.05,
    fetch: Annotated[bool, typer.Option("--fetch", help="bring pictures that are addresses")] = False,
    fetch_private: Annotated[
        bool, typer.Option("--fetch-private", help="fetch from loopback and private addresses too")
    ] = False,
    onto: Annotated[
        Path | None, typer.Option(help="dataset to grow: OUT is its next version, with its splits")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="take the place of a dataset that is there")
    ] = False,
) -> None:
    """Read labels, judge every mark, write a dataset and say what became of everything."""
    from sightline.data.dataset import Dataset
    from sightline.data.fetch_http import FetchLimits
    from sightline.data.importing import import_dataset
    from sightline.data.reading import ReadOptions

    options = ReadOptions(
        boxes=boxes,
        visible=visible,
        points=points,
        media=media_root,
        rename=_renames(rename or []),
        check_media=check_media and media != "none",
    )
    console = _console()
    try:
        with _progress(console) as show:
            dataset, ledger = import_dataset(
                source,
                out,
                format,
                options,
                media=media,
                drop_limit=drop_limit,
                group=group,
                fetch=FetchLimits(allow_private=True) if fetch_private else fetch,
                replace=replace,
                onto=None if onto is None else Dataset.open(onto),
                progress=show,
            )
    except TooMuchDropped as error:
        print_ledger(console, error.ledger)
        raise
    print_ledger(console, ledger)
    console.print(
        f"dataset {dataset.root}: {len(dataset.records)} records, {len(dataset.classes)} classes, "
        f"fingerprint {dataset.fingerprint}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _console() -> Console:
    """The terminal as it is; a pipe or a file gets lines wide enough to read and to search."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def _renames(words: list[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    for word, (old, sign, _) in zip(words, pairs, strict=True):
        if not sign or not old:
            raise UsageError(f"--rename {word!r} is not OLD=NEW")
    return {old: new for old, _, new in pairs}


class _progress:
    """A bar a stage, on a terminal only."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn())
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


def print_ledger(console: Console, ledger: Any) -> None:
    """The ledger as tables: read = kept + fixed + dropped, and the reasons with their first places."""
    counts = Table("", "read", "kept", "fixed", "dropped", title="ledger", title_justify="left")
    for column in counts.columns[1:]:
        column.justify = "right"
    for unit, row in ledger.to_json()["counts"].items():
        counts.add_row(unit + "s", *(f"{row[key]:,}" for key in ("read", "kept", "fixed", "dropped")))
    console.print(counts)
    reasons = Table("fate", "count", "reason", Column("first places", overflow="fold", ratio=1))
    for (unit, fate, reason), places in sorted(ledger.reasons().items(), key=lambda item: -len(item[1])):
        shown = [_plain(place) for place in places[:PLACES_SHOWN]]
        more = (
            [f"... {len(places) - PLACES_SHOWN:,} more in ledger.json"] if len(places) > PLACES_SHOWN else []
        )
        reasons.add_row(fate, f"{len(places):,}", f"{unit}: {_plain(reason)}", "\n".join(shown + more))
    if reasons.row_count:
        console.print(reasons)
    for note in ledger.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def _plain(text: str) -> str:
    """Text for a table cell: no markup, and line breaks in file names made visible."""
    from rich.markup import escape

    return escape(text.replace("\n", "\\n").replace("\r", "\\r"))
