"""`sightline collect`: frames or clips worth labelling, from any source, into a folder."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from sightline.cli.sizes import read_bytes
from sightline.core.errors import UsageError

if TYPE_CHECKING:
    from sightline.core.predictor import AnyPredictor
    from sightline.video.choosing import Rule
    from sightline.video.collecting import Session
    from sightline.video.sources import Source

Marks = Literal["classify", "detect", "segment", "instances", "panoptic", "locate"]
SHOWN_FAULTS = 10


def command(
    inputs: Annotated[list[str], typer.Argument(help="pictures, folders, globs, videos, cameras, streams")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to fill")],
    every: Annotated[str, typer.Option(help="one frame in so many (30), or so many seconds (2s)")] = "",
    motion: Annotated[
        float, typer.Option(min=0, max=1, help="where this share of the picture changed since the last kept")
    ] = 0.0,
    scenes: Annotated[bool, typer.Option("--scenes", help="the first frame of every scene")] = False,
    model: Annotated[Path | None, typer.Option(help="a package that guesses the labels")] = None,
    unsure: Annotated[
        float, typer.Option(min=0, max=1, help="with --model: where its doubt is at least this (0.5, say)")
    ] = 0.0,
    clip: Annotated[float, typer.Option(min=0, help="clips of so many seconds, not single frames")] = 0.0,
    gap: Annotated[float, typer.Option(min=0, help="least seconds between two kept")] = 0.0,
    budget: Annotated[str, typer.Option(help="bytes the folder's media may take: 500M, 2G")] = "2G",
    limit: Annotated[int, typer.Option(min=0, help="stop when so many are kept; 0 for any number")] = 0,
    for_s: Annotated[float, typer.Option("--for", min=0, help="stop after so many seconds")] = 0.0,
    png: Annotated[bool, typer.Option("--png", help="frames as PNG, without loss; else JPEG")] = False,
    quality: Annotated[int, typer.Option(min=1, max=100, help="of JPEG")] = 95,
    classes: Annotated[
        list[str] | None, typer.Option("--class", "-c", help="to label; may be repeated; else the model's")
    ] = None,
    task: Annotated[Marks | None, typer.Option(help="marks to make; else the model's, or boxes")] = None,
    add: Annotated[bool, typer.Option("--add", help="go on in a collection that is there")] = False,
) -> None:
    """Keep the frames that any rule asks for, ready for Label Studio and for `sightline import`.

    Rules are --every, --motion, --scenes and --unsure. Ctrl-C ends a session in good order.
    """
    from sightline.video.collecting import Wanted, collect

    predictor = _load(model, unsure)
    signature = predictor.signature if predictor is not None else None
    wanted = Wanted(
        _rules(every, motion, scenes, predictor, unsure),
        clip,
        gap,
        read_bytes(budget, "--budget"),
        limit,
        for_s,
        ".png" if png else ".jpg",
        quality,
        tuple(classes or ()) or (signature.classes if signature else ("object",)),
        (task,) if task else (tuple(signature.tasks) if signature else ("detect",)),
    )
    console = Console(width=None if Console().is_terminal else 140)
    with _stopping() as asked, _progress() as show:
        sources = _sources(inputs, asked)
        session = collect(sources, out, wanted, add=add, stop=asked.is_set, on_frame=show)
    print_session(console, session)
    where = (
        f"{session.files} files, {session.bytes:,} bytes in {out}; next: sightline import {out}, or label "
    )
    console.print(
        where + f"{out / 'tasks.json'} in Label Studio", markup=False, highlight=False, soft_wrap=True
    )


def _sources(inputs: list[str], stop: threading.Event) -> list[Source]:
    """Files first, then what is live; a live source ends when it is told to."""
    from sightline.video.connecting import LiveSource, is_live, open_live
    from sightline.video.sources import find_sources

    sources = find_sources([text for text in inputs if not is_live(text)])
    for text in filter(is_live, inputs):
        source = open_live(text)
        if isinstance(source, LiveSource):
            source.heed(stop)
        sources.append(source)
    return sources


def _load(model: Path | None, unsure: float) -> AnyPredictor | None:
    if (model is None) != (unsure == 0):
        raise UsageError("--model and --unsure go together", remedy="--model PACKAGE --unsure 0.5")
    if model is None:
        return None
    from sightline.runtime.loading import load

    return load(model)


def _rules(
    every: str, motion: float, scenes: bool, predictor: AnyPredictor | None, unsure: float
) -> list[Rule]:
    from sightline.video.choosing import Every, Motion, Scenes, Unsure

    rules: list[Rule] = []
    if every:
        rules.append(Every(seconds=_seconds(every)) if every.endswith("s") else Every(frames=_count(every)))
    if motion:
        rules.append(Motion(motion))
    if scenes:
        rules.append(Scenes())
    if predictor is not None:
        rules.append(Unsure(predictor, unsure))
    return rules


def _seconds(text: str) -> float:
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        raise UsageError(f"--every {text!r} is no time", remedy="write 2s or 0.5s") from None


def _count(text: str) -> int:
    if not text.isdigit():
        raise UsageError(f"--every {text!r} is no number of frames", remedy="write 30, or 2s for seconds")
    return int(text)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second Ctrl-C interrupts as ever."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def _progress() -> Iterator[Any]:
    """A line on standard error, where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with console.status("collecting") as status:
        yield lambda session: status.update(f"{session.looked_at:,} looked at, {session.kept:,} kept")


def print_session(console: Console, session: Session) -> None:
    """The ledger: looked at = kept + passed over + unreadable, and why."""
    table = Table("frames", "count", "reason", title="ledger", title_justify="left")
    table.columns[1].justify = "right"
    table.add_row("looked at", f"{session.looked_at:,}", session.ended)
    why = ", ".join(f"{name} {count:,}" for name, count in session.why.items() if count)
    table.add_row("kept", f"{session.kept:,}", why)
    for reason, count in session.passed_over.items():
        table.add_row("passed over", f"{count:,}", reason)
    if session.unreadable:
        table.add_row("unreadable", f"{session.unreadable:,}", "see below")
    console.print(table)
    for source, reason in session.faults[:SHOWN_FAULTS]:
        console.print(f"unreadable: {source}: {reason}", markup=False, highlight=False, soft_wrap=True)
    if len(session.faults) > SHOWN_FAULTS:
        console.print(f"... and {len(session.faults) - SHOWN_FAULTS} more in collected.json")
