"""`bench` of a package of two stages: whole films through its stream, frame by frame, as live video comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightline.core.errors import MediaError, UsageError
from sightline.core.picture import Picture, as_rgb
from sightline.evaluate.films import pictures_of
from sightline.lifecycle.bench import MOST_SECONDS, WARM_UP, Setting, cold_start, size_mb
from sightline.runtime.loading import load, read_manifest
from sightline.video.sources import Fault, PictureSource, Source, find_sources

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset


def two_stages(package: Path | str) -> bool:
    """Whether a package's stages work together, so that films measure it.

    Raises:
        PackageError: no package.
    """
    return bool(read_manifest(package).pipeline)


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
    films = dict.fromkeys(dataset.media_path(dataset.record(i).media) for i in ids)
    return _bench(Path(package), [partial(pictures_of, film) for film in films], setting or Setting())


def bench_sources(
    package: Path | str, source: str | Path | Sequence[str | Path], setting: Setting | None = None
) -> dict[str, float]:
    """Measure a two-stage package on videos, named as for `bench.bench`; see `bench_films`.

    Raises:
        PackageError: no package.
        MediaError: a frame that cannot be read.
        UsageError: pictures, which have no order, or too few frames.
    """
    sources = find_sources([source] if isinstance(source, (str, Path)) else source)
    still = next((one for one in sources if isinstance(one, PictureSource)), None)
    if still is not None:
        raise UsageError(
            "is a picture; two stages work together over the frames of a film",
            where=still.name,
            remedy="measure on videos, or one stage alone from Python: runtime.load(package, stage=...)",
        )
    return _bench(Path(package), [partial(_pictures, one) for one in sources], setting or Setting())


def _pictures(source: Source) -> Iterator[Picture]:
    for frame in source:
        if isinstance(frame, Fault):
            raise MediaError(frame.reason, where=frame.source)
        yield frame.picture()


def _bench(
    package: Path, films: Sequence[Callable[[], Iterator[Picture]]], setting: Setting
) -> dict[str, float]:
    predictor = load(package, setting.threads, runtime=setting.runtime, arithmetic=setting.arithmetic)
    ((name, spec),) = predictor.signature.inputs.items()
    total: list[float] = []
    decoded: list[float] = []
    end = time.perf_counter() + MOST_SECONDS
    for film in films:
        stream = predictor.open_stream()
        for index, (picture, decode_ms) in enumerate(_timed(film())):
            before = time.perf_counter()
            stream.push({name: picture})
            if index >= WARM_UP:
                total.append((time.perf_counter() - before) * 1000 + decode_ms)
                decoded.append(decode_ms)
            if len(total) >= setting.frames or time.perf_counter() > end:
                break
        stream.close()
        if len(total) >= setting.frames or time.perf_counter() > end:
            break
    if not total:
        raise UsageError(f"films of {WARM_UP} frames and fewer cannot be measured on", where=package)
    first = as_rgb(next(films[0]()))
    clip = np.stack([first] * spec.frames) if spec.frames > 1 else first
    cold, peak = cold_start(package, {name: clip}, setting)
    p50, p95, p99 = (float(v) for v in np.percentile(total, (50, 95, 99)))
    return {
        "bench.p50_ms": p50,
        "bench.p95_ms": p95,
        "bench.p99_ms": p99,
        "bench.cold_start_s": cold,
        "bench.peak_mb": peak,
        "bench.size_mb": size_mb(package),
        "bench.frames": float(len(total)),
        "bench.decode_core_ms": float(np.median(decoded)),
    }


def _timed(frames: Iterator[Picture]) -> Iterator[tuple[Picture, float]]:
    """Frames of a film, each with the milliseconds that decoding it took."""
    while True:
        start = time.perf_counter()
        picture = next(frames, None)
        if picture is None:
            return
        yield picture, (time.perf_counter() - start) * 1000
