"""`sightline predict`: results for pictures, folders, globs and videos."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from sightline.video.pipeline import Prediction
    from sightline.video.sources import Source

SHOWN_FAULTS = 20


def command(
    package: Annotated[Path, typer.Argument(help="package folder, or an .onnx with its manifest inside")],
    inputs: Annotated[list[str], typer.Argument(help="pictures, folders, globs and videos")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="results.jsonl, .csv or .json (COCO); else JSON Lines here"),
    ] = None,
    format: Annotated[
        Literal["auto", "label-studio"],
        typer.Option(help="auto: by the suffix of --out; label-studio: a folder of pre-annotated tasks"),
    ] = "auto",
    draw: Annotated[
        Path | None, typer.Option(help="drawn pictures: a folder, or an .mp4 for one video")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="keep rows from this score on; else the package's own")
    ] = None,
    runtime: Annotated[str | None, typer.Option(help="onnx or openvino; else the package's own")] = None,
    arithmetic: Annotated[
        Literal["f32", "bf16"] | None, typer.Option(help="bf16: faster in OpenVINO; else the package's own")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; else all cores")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="stop at the first file that cannot be read")
    ] = False,
) -> None:
    """Predict every picture and every frame, in order.

    Frames of a video go through a package of two stages as `watch` would show them; a picture goes alone.
    A file that cannot be read is named with its reason, the others go on, and the exit code is 1 in the end.
    """
    from sightline.core.errors import UsageError
    from sightline.runtime.loading import load
    from sightline.video.prediction import open_sinks, predict
    from sightline.video.sinks import JsonLinesTo
    from sightline.video.sources import find_sources

    sources = find_sources(inputs)
    alone = len(sources) == 1 and sources[0].length == 1
    predictor = load(
        package, threads, "latency" if alone else "throughput", runtime=runtime, arithmetic=arithmetic
    )
    if threshold is not None:
        predictor = predictor.with_thresholds(dict.fromkeys(predictor.signature.tasks, threshold))
    tasks = format == "label-studio"
    if tasks and out is None:
        raise UsageError("--format label-studio makes a folder", remedy="name it with --out")
    sinks = open_sinks(sources, predictor.signature.classes, out, draw, label_studio=tasks)
    if out is None:
        sinks.append(JsonLinesTo(sys.stdout))
    with ExitStack() as stack:
        tick = _progress(stack, sources) if not alone else None
        summary = predict(
            predictor, sources, sinks, workers=1 if alone else threads, strict=strict, on_frame=tick
        )
    for source, reason in summary.faults[:SHOWN_FAULTS]:
        print(f"unreadable: {source}: {reason}", file=sys.stderr)
    if len(summary.faults) > SHOWN_FAULTS:
        print(f"... and {len(summary.faults) - SHOWN_FAULTS} more", file=sys.stderr)
    if out is not None or draw is not None:
        places = " and ".join(str(place) for place in (out, draw) if place is not None)
        print(f"{summary.frames} predicted, {len(summary.faults)} unreadable: {places}", file=sys.stderr)
    if summary.faults:
        raise typer.Exit(1)


def _progress(stack: ExitStack, sources: list[Source]) -> Callable[[Prediction], None] | None:
    """A bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    lengths = [source.length for source in sources]
    total = None if None in lengths else sum(length or 0 for length in lengths)
    columns: list[Any] = ["{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
    task = bar.add_task("predict", total=total)

    def tick(prediction: Prediction) -> None:
        bar.update(task, advance=1)

    return tick
