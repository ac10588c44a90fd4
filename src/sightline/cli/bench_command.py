"""`sightline bench`: speed of a package, decode to result, and the limit beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

ROWS = (
    ("p50", "bench.p50_ms", "ms", "decoding to result, one frame at a time"),
    ("p95", "bench.p95_ms", "ms", ""),
    ("p99", "bench.p99_ms", "ms", ""),
    ("network", "bench.network_ms", "ms", "the network alone"),
    ("cold start", "bench.cold_start_s", "s", "a new process to its first result"),
    ("peak memory", "bench.peak_mb", "MB", "of that process"),
    ("size", "bench.size_mb", "MB", "of the networks on disk"),
    ("decode", "bench.decode_core_ms", "core-ms", "alone, on one thread"),
    ("place", "bench.place_core_ms", "core-ms", "alone, on one thread"),
    ("network", "bench.network_core_ms", "core-ms", "alone, on one thread"),
    ("limit", "bench.limit_fps", "frames/s", "cores x 1000 / (decode + place + network)"),
)


def command(
    package: Annotated[Path, typer.Argument(help="package folder, or an .onnx with its manifest inside")],
    source: Annotated[list[str] | None, typer.Argument(help="pictures, folders, globs and videos")] = None,
    data: Annotated[
        Path | None, typer.Option(help="a dataset instead: clips and sensors come from it")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="measure at most so many")] = 300,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; else all cores")] = None,
    runtime: Annotated[str | None, typer.Option(help="onnx or openvino; else the package's own")] = None,
    arithmetic: Annotated[
        Literal["f32", "bf16"] | None, typer.Option(help="bf16: faster in OpenVINO; else the package's own")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Measure a package: latency, cold start, memory, size, and the most frames a second it could do.

    A package of two stages is measured on films, frame by frame through its stream; it has no single network,
    so the rows of one are left out.
    """
    from sightline.core.errors import UsageError
    from sightline.lifecycle.bench import Setting, bench, bench_records
    from sightline.lifecycle.bench_films import bench_films, bench_sources, two_stages

    staged = two_stages(package)
    setting = Setting(frames, threads, runtime, arithmetic)
    if (data is None) == (not source):
        raise UsageError("give files to measure on, or --data, and not both")
    if data is not None:
        from sightline.data.dataset import Dataset

        dataset = Dataset.open(data)
        ids = [record.id for record in dataset.records]
        figures = (bench_films if staged else bench_records)(package, dataset, ids, setting)
    else:
        figures = (bench_sources if staged else bench)(package, source or [], setting)
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures)


def _print(figures: Mapping[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{figures['bench.frames']:.0f} frames")
    for name, justify in (("what", "left"), ("value", "right"), ("unit", "left"), ("meaning", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for what, key, unit, meaning in (row for row in ROWS if row[1] in figures):
        table.add_row(what, f"{figures[key]:.4g}", unit, meaning)
    Console().print(table)
