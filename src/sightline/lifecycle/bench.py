"""`bench`: how fast a package is from decoding to result, and how fast it could be at most."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.errors import MediaError, PackageError, UsageError
from sightline.core.manifest import stage_file
from sightline.core.predictor import Predictor
from sightline.runtime.loading import load_stage, read_manifest
from sightline.runtime.options import Arithmetic, cores
from sightline.video.sources import Fault, find_sources

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

Array = NDArray[Any]
Element = Mapping[str, Array]
# Gives every element once, in order; taking the next one is what decodes it.
Elements = Callable[[], Iterator[Element]]

WARM_UP = 5
ALONE_ROUNDS = 20
COLD_STARTS = 3
MOST_SECONDS = 60.0

# Run in a new process: what a deployment does, and nothing else.
_COLD = """
import resource, sys, time
import numpy as np
from sightline.runtime.loading import load
package, elements, threads, runtime, arithmetic = sys.argv[1:]
held = np.load(elements)
element = {name: held[name] for name in held.files}
predictor = load(package, int(threads), runtime=runtime or None, arithmetic=arithmetic or None)
predictor.predict([element])
first = time.time()
for _ in range(10):
    predictor.predict([element])
print(first, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

# Every figure that `bench` gives; a criterion may name any of them.
FIGURES = tuple(
    f"bench.{name}"
    for name in (
        *("p50_ms", "p95_ms", "p99_ms", "network_ms", "cold_start_s", "peak_mb", "size_mb", "frames"),
        *("decode_core_ms", "place_core_ms", "network_core_ms", "limit_fps"),
    )
)


@dataclass(frozen=True, slots=True)
class Setting:
    """How the package is run while it is measured.

    Attributes:
        frames: at most so many are measured, and no longer than a minute.
        threads: CPU threads; None is every core.
        runtime: another than the manifest's.
        arithmetic: see `RuntimeOptions`; None is the package's own.
    """

    frames: int = 300
    threads: int | None = None
    runtime: str | None = None
    arithmetic: Arithmetic | None = None

    @property
    def workers(self) -> int:
        """Threads as a number."""
        return self.threads or cores()


def bench(
    package: Path | str, source: str | Path | Sequence[str | Path], setting: Setting | None = None
) -> dict[str, float]:
    """Measure a package on pictures or videos, one frame at a time.

    Returns:
        `bench.p50_ms`, `bench.p95_ms`, `bench.p99_ms` from decoding to result; `bench.network_ms`,
        the network alone (median); `bench.cold_start_s`, a new process to its first result (median of
        three); `bench.peak_mb`, that process's peak memory; `bench.size_mb`; what decoding, placing and
        the network cost each alone on one thread, `bench.decode_core_ms` and so on; and the limit on
        frames a second these allow, `bench.limit_fps`.

    Raises:
        PackageError: no package.
        MediaError: a frame that cannot be read.
        UsageError: the model reads several inputs, or a clip (measure those on a dataset).
    """
    inputs = [source] if isinstance(source, (str, Path)) else source
    chosen = setting or Setting()
    signature = load_stage(package, 1, runtime=chosen.runtime).signature
    ((name, spec),) = _single(signature.inputs)
    sources = find_sources(inputs, threads=1)

    def elements() -> Iterator[Element]:
        for frame in (frame for source in sources for frame in source):
            if isinstance(frame, Fault):
                raise MediaError(frame.reason, where=frame.source)
            yield {name: _as_spec(frame.read(), spec.pixels)}

    return _bench(Path(package), elements, chosen)


def bench_records(
    package: Path | str, dataset: Dataset, ids: Sequence[str], setting: Setting | None = None
) -> dict[str, float]:
    """Measure a package on records of a dataset, clips and several sensors included; see `bench`."""
    from sightline.data.samples import read_inputs, samples

    chosen = setting or Setting()
    inputs = load_stage(package, 1, runtime=chosen.runtime).signature.inputs
    views = samples(dataset, ids, inputs)

    def elements() -> Iterator[Element]:
        for sample in views:
            yield read_inputs(dataset, sample, inputs)

    return _bench(Path(package), elements, chosen)


def _bench(package: Path, elements: Elements, setting: Setting) -> dict[str, float]:
    predictor = load_stage(
        package, setting.workers, runtime=setting.runtime, arithmetic=setting.arithmetic or "f32", batch=1
    )
    total, network = _latency(predictor, elements, setting.frames)
    p50, p95, p99 = (float(v) for v in np.percentile(total, (50, 95, 99)))
    first = next(elements())
    cold, peak = cold_start(package, first, setting)
    return {
        "bench.p50_ms": p50,
        "bench.p95_ms": p95,
        "bench.p99_ms": p99,
        "bench.network_ms": float(np.median(network)),
        "bench.cold_start_s": cold,
        "bench.peak_mb": peak,
        "bench.size_mb": size_mb(package),
        "bench.frames": float(len(total)),
        **_alone(package, elements, setting),
    }


def _latency(predictor: Predictor, elements: Elements, frames: int) -> tuple[list[float], list[float]]:
    """Milliseconds from decoding to result, and of the network, for each frame after the warm-up.

    A source shorter than warm-up and ten more frames is gone through again.
    """
    total: list[float] = []
    network: list[float] = []
    end = time.perf_counter() + MOST_SECONDS
    stream = _again(elements)
    for count in range(WARM_UP + frames):
        start = time.perf_counter()
        element = next(stream, None)
        if element is None:
            break
        placed, where = predictor.place([element])
        before = time.perf_counter()
        outputs = predictor.infer(placed)
        after = time.perf_counter()
        assemble(outputs, 0, predictor.signature, *where[0])
        done = time.perf_counter()
        if count >= WARM_UP:
            total.append((done - start) * 1000)
            network.append((after - before) * 1000)
        if done > end and len(total) >= 10:
            break
    return total, network


def _again(elements: Elements) -> Iterator[Element]:
    """The elements once, and again as long as they are fewer than the warm-up and ten."""
    seen = 0
    while seen < WARM_UP + 10:
        before = seen
        for element in elements():
            seen += 1
            yield element
        if seen == before:
            raise UsageError("no frame to measure on")


def _alone(package: Path, elements: Elements, setting: Setting) -> dict[str, float]:
    """Core-milliseconds a frame of decoding, placing and the network, each on one thread, and their limit."""
    predictor = load_stage(
        package, 1, "throughput", runtime=setting.runtime, arithmetic=setting.arithmetic or "f32", batch=1
    )
    times: dict[str, list[float]] = {"decode": [], "place": [], "network": []}
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        stream = _again(elements)
        for _ in range(WARM_UP + ALONE_ROUNDS):
            start = time.perf_counter()
            element = next(stream, None)
            if element is None:
                break
            decoded = time.perf_counter()
            placed, _ = predictor.place([element])
            before = time.perf_counter()
            predictor.infer(placed)
            after = time.perf_counter()
            for name, span in zip(times, (decoded - start, before - decoded, after - before), strict=True):
                times[name].append(span * 1000)
    finally:
        cv2.setNumThreads(threads)
    cost = {name: float(np.median(spans[WARM_UP:])) for name, spans in times.items()}
    limit = setting.workers * 1000 / sum(cost.values())
    return {**{f"bench.{name}_core_ms": value for name, value in cost.items()}, "bench.limit_fps": limit}


def cold_start(package: Path, element: Element, setting: Setting) -> tuple[float, float]:
    """Seconds from a new process to its first result, and the peak of its memory in MB."""
    # A process that may not keep bytecode would compile everything at each start.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    seconds: list[float] = []
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "element.npz"
        with held.open("wb") as file:
            np.savez(file, **dict(element))  # type: ignore[arg-type]
        words = [
            str(package),
            str(held),
            str(setting.workers),
            setting.runtime or "",
            setting.arithmetic or "",
        ]
        for _ in range(COLD_STARTS):
            start = time.time()
            done = subprocess.run(
                [sys.executable, "-c", _COLD, *words], capture_output=True, text=True, env=environment
            )
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
                raise PackageError(f"a new process cannot run it: {last[0]}", where=package)
            first, peak = (float(word) for word in done.stdout.split())
            seconds.append(first - start)
            peaks.append(peak)
    return float(np.median(seconds)), max(peaks)


def size_mb(package: Path) -> float:
    """Megabytes (10^6 bytes) of the networks in a package."""
    if not package.is_dir():
        return package.stat().st_size / 1e6
    stages = read_manifest(package).stages.values()
    return sum(stage_file(package, stage).stat().st_size for stage in stages) / 1e6


def _as_spec(pixels: Array, kind: str) -> Array:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)) if kind == "grey8" else pixels


def _single(inputs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = list(inputs.items())
    if len(found) != 1 or found[0][1].frames > 1 or found[0][1].pixels == "depth16":
        raise UsageError(
            f"the model reads {', '.join(inputs)}, which single files do not give",
            remedy="measure it on a dataset: sightline bench PACKAGE --data DATASET",
        )
    return found
