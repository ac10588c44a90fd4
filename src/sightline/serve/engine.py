"""One version of one package, ready to answer: its sessions, and the layout that was measured for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.predictor import Predictor
from sightline.core.specs import Signature
from sightline.runtime.coarse_to_fine import CoarseToFine
from sightline.runtime.loading import Package, read_package
from sightline.runtime.options import Mode, cores
from sightline.serve.options import ServeOptions
from sightline.serve.whole_frames import OUTPUTS, WholeFrames

Array = NDArray[Any]

# A layout must win by this much: a larger batch and a second copy of the weights both have their price.
BATCH_GAIN = 1.1
WIDE_GAIN = 1.1
BATCHES = (4, 16)
TURNS = 3
# Calls beyond one a core: while one thread waits for the interpreter another one computes.
SPARE = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """How an engine's network is called.

    Attributes:
        sessions: calls at once.
        batch: most pictures a call.
        wide: whether a call that is alone gets all threads instead of one.
        rates: pictures a second of each layout that was measured, the network alone.
        call_ms: milliseconds of one call at batch 1, as the layout makes it.
    """

    sessions: int
    batch: int
    wide: bool
    rates: Mapping[str, float]
    call_ms: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Engine:
    """A package that was read, held to its hashes and warmed up.

    Args:
        package: folder, or `.onnx` with its manifest inside.
        options: threads, sessions, batch, warm-up.
        name: under which it is served; empty is the manifest's.

    Raises:
        PackageError: as `runtime.load`.
        MissingExtra: its runtime is not installed.
    """

    def __init__(self, package: Path, options: ServeOptions, name: str = "") -> None:
        self.package = package
        # Read once: a package that is replaced meanwhile cannot lend one version the network of another.
        found = read_package(package)
        self.fingerprint, self.manifest = found.fingerprint, found.manifest
        self.name, self.version = name or self.manifest.name, self.manifest.version
        threads = options.threads or cores()
        self._narrow = _opened(found, threads, "throughput", options)
        self._wide = _opened(found, threads, "latency", options) if threads > 1 else None
        self.signature: Signature = self._narrow.signature
        self.free_batch = self._narrow.batch > 1
        self.outputs = found.stages[0].outputs if isinstance(self._narrow, Predictor) else OUTPUTS
        self.layout = _measure(self, options)
        if not self.layout.wide:
            self._wide = None

    @property
    def predictor(self) -> Predictor | WholeFrames:
        """Places pictures and knows the signature; its `infer` is the one-thread call."""
        return self._narrow

    @property
    def locator(self) -> CoarseToFine | None:
        """What opens a stream for each connection, where the package has two stages that work together."""
        chosen = self._wide or self._narrow
        return chosen.locator if isinstance(chosen, WholeFrames) else None

    def infer(self, placed: dict[str, Array], *, alone: bool = False) -> Mapping[str, Array]:
        """Decoded tensors of placed inputs; `alone` says that no other call runs beside this one."""
        if alone and self._wide is not None:
            return self._wide.infer(placed)
        return self._narrow.infer(placed)

    def blank(self, rows: int) -> dict[str, Array]:
        """Placed inputs of mid grey, for warming up."""
        if isinstance(self._narrow, WholeFrames):
            return self._narrow.blank(rows)
        return {
            name: np.full(spec.shape(rows), 128, spec.dtype) for name, spec in self.signature.inputs.items()
        }


def _opened(found: Package, threads: int, mode: Mode, options: ServeOptions) -> Predictor | WholeFrames:
    # Both layouts in one runtime: a client must not see which of them answered.
    runtime = options.runtime or (found.stages[0].runtime if len(found.stages) == 1 else None)
    opened = found.open(threads, mode, runtime=runtime, arithmetic=options.arithmetic)
    return WholeFrames(opened) if isinstance(opened, CoarseToFine) else opened


def _measure(engine: Engine, options: ServeOptions) -> Layout:
    """Try the layouts that are left open, each for its share of the warm-up."""
    threads = options.threads or cores()
    sessions = options.sessions or threads + SPARE
    tries: dict[str, tuple[Callable[[], object], int, int]] = {}

    def call(rows: int, alone: bool) -> Callable[[], object]:
        blank = engine.blank(rows)
        return lambda: engine.infer(blank, alone=alone)

    tries["narrow x1"] = (call(1, False), sessions, 1)
    if engine._wide is not None:
        tries["wide x1"] = (call(1, True), 1, 1)
    sizes = [n for n in BATCHES if n <= options.limits.pictures]
    for size in sizes if engine.free_batch and options.batch is None else ():
        tries[f"narrow x{size}"] = (call(size, False), sessions, size)
    rates = _rates(tries, options.warmup_s)
    batch = options.batch or _best_batch(rates)
    call_s = sessions / rates["narrow x1"]
    wide_s = 1 / rates["wide x1"] if "wide x1" in rates else float("inf")
    wide = wide_s * WIDE_GAIN < min(sessions, threads) / rates["narrow x1"]
    rounded = {name: round(rate, 1) for name, rate in rates.items()}
    return Layout(sessions, batch, wide, rounded, round(1000 * (wide_s if wide else call_s), 3))


def _rates(tries: Mapping[str, tuple[Callable[[], object], int, int]], seconds: float) -> dict[str, float]:
    """Pictures a second of each layout: its best of several short turns, since what runs beside it at the
    start of a service only ever makes it slower.
    """
    share = seconds / len(tries) / TURNS
    rates: dict[str, float] = {}
    for turn in range(TURNS):
        for name, (run, at_once, rows) in tries.items():
            if rows > 1 and rows * at_once / rates["narrow x1"] > TURNS * share:
                continue  # one call of it would take longer than it has, by what a single picture took
            if turn == 0:
                run()  # the first call allocates
            rates[name] = max(rates.get(name, 0.0), _rate(run, at_once, share) * rows)
    return rates


def _best_batch(rates: Mapping[str, float]) -> int:
    best, rate = 1, rates["narrow x1"]
    for name, found in rates.items():
        kind, _, size = name.partition(" x")
        if kind == "narrow" and found > rate * BATCH_GAIN:
            best, rate = int(size), found
    return best


def _rate(run: Callable[[], object], at_once: int, seconds: float) -> float:
    """Calls a second of `at_once` threads together, each at least once."""
    counts = [0] * at_once
    end = time.perf_counter() + seconds

    def loop(index: int) -> None:
        while counts[index] < 1 or time.perf_counter() < end:
            run()
            counts[index] += 1

    start = time.perf_counter()
    threads = [threading.Thread(target=loop, args=(i,)) for i in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)
