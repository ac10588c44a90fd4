"""`bench` of a package of two stages: whole films through its stream, frame by frame, as live video comes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightline.core.errors import UsageError
from sightline.core.picture import Picture, as_rgb
from sightline.evaluate.films import pictures_of
from sightline.lifecycle.bench import MOST_SECONDS, WARM_UP, Setting, cold_start, size_mb
from sightline.runtime.loading import load

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset


def bench_films(
    package: Path | str, dataset: Dataset, ids: Sequence[str], setting: Setting | None = None
) -> dict[str, float]:
    """Measure a two-stage package on the films that hold some records.

    Returns:
        As `bench.bench`, without the figures of a single network: `bench.p50_ms`, `p95_ms` and `p99_ms` from
        decoding to result, `cold_start_s`, `peak_mb`, `size_mb`, `frames`, `decode_core_ms`.

    Raises:
        PackageError: no package.
        UsageError: the films hold too few frames to measure on.
    """
    chosen, folder = setting or Setting(), Path(package)
    predictor = load(folder, chosen.threads, runtime=chosen.runtime, arithmetic=chosen.arithmetic)
    ((name, spec),) = predictor.signature.inputs.items()
    films = [dataset.media_path(media) for media in dict.fromkeys(dataset.record(i).media for i in ids)]
    total: list[float] = []
    decoded: list[float] = []
    end = time.perf_counter() + MOST_SECONDS
    for film in films:
        stream = predictor.open_stream()
        for index, (picture, decode_ms) in enumerate(_timed(film)):
            before = time.perf_counter()
            stream.push({name: picture})
            if index >= WARM_UP:
                total.append((time.perf_counter() - before) * 1000 + decode_ms)
                decoded.append(decode_ms)
        if len(total) >= chosen.frames or time.perf_counter() > end:
            break
    if not total:
        raise UsageError(f"films of {WARM_UP} frames and fewer cannot be measured on", where=dataset.root)
    first = as_rgb(next(pictures_of(films[0])))
    clip = np.stack([first] * spec.frames) if spec.frames > 1 else first
    cold, peak = cold_start(folder, {name: clip}, chosen)
    p50, p95, p99 = (float(v) for v in np.percentile(total, (50, 95, 99)))
    return {
        "bench.p50_ms": p50,
        "bench.p95_ms": p95,
        "bench.p99_ms": p99,
        "bench.cold_start_s": cold,
        "bench.peak_mb": peak,
        "bench.size_mb": size_mb(folder),
        "bench.frames": float(len(total)),
        "bench.decode_core_ms": float(np.median(decoded)),
    }


def _timed(film: Path) -> Iterator[tuple[Picture, float]]:
    """Frames of a film, each with the milliseconds that decoding it took."""
    frames = pictures_of(film)
    while True:
        start = time.perf_counter()
        picture = next(frames, None)
        if picture is None:
            return
        yield picture, (time.perf_counter() - start) * 1000
