"""`sightline watch`: results for what is happening now, and for recordings at full speed."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sightline.core.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from sightline.video.pipeline import Prediction
    from sightline.video.sinks import Sink
    from sightline.video.sources import Source
    from sightline.video.tally import Tally

SHOWN_FAULTS = 10
REFRESH = 4


def command(
    package: Annotated[Path, typer.Argument(help="package folder, or an .onnx with its manifest inside")],
    source: Annotated[
        str, typer.Argument(help="file, folder, glob, /dev/video0, rtsp:// or http:// address, or - (stdin)")
    ],
    mode: Annotated[
        Literal["auto", "live", "file"],
        typer.Option(help="live: the newest frame counts; file: every frame; auto: live for what is live"),
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="results.jsonl, .csv or .json (COCO)")
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="a drawn .mp4; for recordings also a folder")] = None,
    view: Annotated[
        int | None, typer.Option(min=0, max=65535, help="show it in a browser, on this port (0: a free one)")
    ] = None,
    view_host: Annotated[
        str, typer.Option(help="address of the view; others may look where it is not this")
    ] = "127.0.0.1",
    metrics: Annotated[
        int | None, typer.Option(min=0, max=65535, help="count for Prometheus on this port of this machine")
    ] = None,
    max_age: Annotated[int, typer.Option(min=1, help="live: no answer older than this, in ms")] = 200,
    queue: Annotated[int, typer.Option(min=1, help="frames that may wait")] = 3,
    frames: Annotated[int | None, typer.Option(min=1, help="stop after so many answers")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="frames in the network at once, for models without a past")
    ] = None,
    backend: Annotated[Literal["pyav", "gstreamer"], typer.Option(help="what reads and decodes")] = "pyav",
    hardware: Annotated[bool, typer.Option(help="try hardware decoders")] = True,
    ffmpeg: Annotated[
        list[str] | None, typer.Option(help="an option of FFmpeg's, as rtsp_transport=udp; again for more")
    ] = None,
    give_up: Annotated[float, typer.Option(min=0, help="seconds without a frame before it ends")] = 60,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="keep rows from this score on; else the package's own")
    ] = None,
    runtime: Annotated[str | None, typer.Option(help="onnx, openvino, tensorrt; else what suits")] = None,
    arithmetic: Annotated[
        Literal["f32", "bf16"] | None, typer.Option(help="bf16: faster in OpenVINO; else the package's own")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; else all cores")] = None,
) -> None:
    """Watch a source: decode, predict and draw, live or every frame.

    Without --out, --draw or --view the results go to standard output as JSON Lines. Ctrl-C ends it well.
    """
    from sightline.runtime.loading import load
    from sightline.video.clock import Paced
    from sightline.video.connecting import goes_on, open_address
    from sightline.video.live import WatchOptions, watch

    options = dict(_pair(text) for text in ffmpeg or [])
    endless = goes_on(source)
    live = endless if mode == "auto" else mode == "live"
    sources = open_address(source, backend=backend, hardware=hardware, options=options, give_up_s=give_up)
    every = not live and not endless
    predictor: Any = load(
        package, threads, "throughput" if every else "latency", runtime=runtime, arithmetic=arithmetic
    )
    if threshold is not None:
        predictor = predictor.with_thresholds(dict.fromkeys(predictor.signature.tasks, threshold))
    sinks = _sinks(sources, predictor.signature.classes, out, draw, live, endless)
    if view is not None:
        sinks.append(_view(view, view_host))
    if not sinks:
        sinks.append(_standard_output())
    paced: list[Source] = [Paced(each) for each in sources] if live and not endless else sources
    limits = WatchOptions(queue, max_age / 1000, workers or (threads if every else None), frames)
    with ExitStack() as stack:
        stop = stack.enter_context(_stopped_by_signals())
        tally = _live_line(stack)
        counted = None if metrics is None else _metrics(stack, metrics, package, tally)
        watch(
            predictor, paced, sinks, "live" if live else "file",
            options=limits, tally=tally, stop=stop, on_answer=counted,
        )  # fmt: skip
    _close(tally, out, draw)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--ffmpeg {text!r} is no name=value")
    return name, value


def _sinks(
    sources: list[Source],
    classes: tuple[str, ...],
    out: Path | None,
    draw: Path | None,
    live: bool,
    endless: bool,
) -> list[Sink]:
    from sightline.video.prediction import open_sinks

    if draw is not None and endless and draw.suffix.lower() != ".mp4":
        raise UsageError("a live source is drawn into one video", where=draw, remedy="name an .mp4")
    return open_sinks(sources, classes, out, draw, live=live)


def _view(port: int, host: str) -> Sink:
    from sightline.video.live_view import LOOPBACK, LiveView

    shown = LiveView(port, host)
    print(f"view: {shown.address}", file=sys.stderr)
    if host not in LOOPBACK:
        print("the view has no password: whoever reaches this address sees the pictures", file=sys.stderr)
    return shown


def _metrics(stack: ExitStack, port: int, package: Path, tally: Tally) -> Callable[[Prediction], None]:
    """Counts every answer, and what the tally says became of the rest, for whoever scrapes the port."""
    from sightline.monitor.metrics import Metrics
    from sightline.monitor.streams import StreamCounter
    from sightline.runtime.loading import read_manifest

    metrics, manifest = Metrics(), read_manifest(package)
    metrics.model(manifest.name, manifest.version)
    try:
        server = metrics.listen(port)
    except OSError as error:
        raise UsageError(
            f"--metrics {port}: {error.strerror or error}", remedy="choose another port"
        ) from None
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    print(f"metrics: http://127.0.0.1:{server.server_port}/metrics", file=sys.stderr)
    return StreamCounter(metrics, manifest.name, tally).answer


def _standard_output() -> Sink:
    from sightline.video.sinks import JsonLinesTo

    return JsonLinesTo(sys.stdout)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the next one ends the process as ever."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def halt(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, halt)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _live_line(stack: ExitStack) -> Tally:
    """The tally, shown in one line on standard error while it counts, where that is a terminal."""
    from sightline.video.tally import Tally

    tally = Tally()
    if not sys.stderr.isatty():
        return tally
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    live = Live(
        console=console, get_renderable=lambda: _line(tally), refresh_per_second=REFRESH, transient=True
    )
    stack.enter_context(live)
    return tally


def _line(tally: Tally) -> Text:
    """One line: speed, age, what is gone, what decodes."""
    from rich.text import Text

    state = tally.plain()
    parts = [f"{state['fps']:.1f} frames/s", f"{tally.answered:,} answered"]
    if "age_p50_ms" in state:
        parts.append(f"age {state['age_p50_ms']:.0f}/{state['age_p99_ms']:.0f} ms (p50/p99)")
    parts += [
        f"{getattr(tally, name):,} {name}"
        for name in ("dropped", "late", "lost", "undrawn")
        if getattr(tally, name)
    ]
    if tally.disconnects:
        parts.append(f"{tally.disconnects} disconnects")
    if state["decoder"]:
        parts.append(state["decoder"].partition(" (")[0])  # why it is that one stands in the table
    return Text(" · ".join(parts), no_wrap=True, overflow="ellipsis")


def _close(tally: Tally, out: Path | None, draw: Path | None) -> None:
    """The closing table, and the faults."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="watched", title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right", overflow="fold")
    for name, value in _rows(tally):
        table.add_row(name, value)
    console = Console(stderr=True)
    console.print(table)
    for source, reason in list(tally.faults)[-SHOWN_FAULTS:]:
        console.print(f"{source}: {reason}", markup=False, highlight=False)
    places = " and ".join(str(place) for place in (out, draw) if place is not None)
    if places:
        console.print(f"written: {places}", markup=False, highlight=False)


def _rows(tally: Tally) -> Iterator[tuple[str, str]]:
    state = tally.plain()
    yield "frames captured", f"{tally.captured:,}"
    yield "answered", f"{tally.answered:,} in {tally.seconds:.1f} s ({tally.mean_rate:.1f} a second)"
    if len(tally.ages):
        longest = tally.ages.longest_s * 1000
        yield (
            "age p50 / p99 / most",
            f"{state['age_p50_ms']:.1f} / {state['age_p99_ms']:.1f} / {longest:.1f} ms",
        )
    told = {
        "dropped": "dropped for newer ones",
        "late": "too old",
        "unread": "unreadable",
        "left": "in work when it was stopped",
        "undrawn": "answered, not drawn",
        "lost": "packets without a frame",
        "corrupt": "corrupt packets",
        "clock_jumps": "clock jumps",
    }
    for name, words in told.items():
        if name in ("dropped", "late") or getattr(tally, name):
            yield words, f"{getattr(tally, name):,}"
    if tally.disconnects:
        yield "disconnects", f"{tally.disconnects} (longest gap {tally.longest_gap_s:.1f} s)"
    if state["decoder"]:
        yield "decoded by", state["decoder"]
