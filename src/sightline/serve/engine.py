"""One version of one package, ready to answer: its sessions, and the layout that was measured for them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import PackageError
from sightline.core.manifest import MANIFEST, Manifest
from sightline.core.predictor import Predictor
from sightline.core.specs import Signature
from sightline.runtime.coarse_to_fine import CoarseToFine
from sightline.runtime.loading import load, read_manifest
from sightline.runtime.options import Mode, cores
from sightline.serve.options import ServeOptions
from sightline.serve.whole_frames import OUTPUTS, WholeFrames

Array = NDArray[Any]

# A layout must win by this much: a larger batch and a second copy of the weights both have their price.
BATCH_GAIN = 1.1
WIDE_GAIN = 1.2
BATCHES = (4, 16)


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
        self.fingerprint = package_fingerprint(package)  # first: a change while it is read is found again
        before = _identity(package)
        self.manifest: Manifest = read_manifest(package)
        self.name, self.version = name or self.manifest.name, self.manifest.version
        threads = options.threads or cores()
        self._threads = threads
        self._narrow = _loaded(package, threads, "throughput", options)
        self._wide = _loaded(package, threads, "latency", options) if threads > 1 else None
        if (
            _identity(package) != before
        ):  # else the version of one package could answer with another's network
            raise PackageError("changed while it was read", where=package, remedy="it is read again")
        self.signature: Signature = self._narrow.signature
        self.free_batch = self._narrow.batch > 1
        stage = next(iter(self.manifest.stages.values()))
        self.outputs = stage.outputs if isinstance(self._narrow, Predictor) else OUTPUTS
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


def _loaded(package: Path, threads: int, mode: Mode, options: ServeOptions) -> Predictor | WholeFrames:
    found = load(package, threads, mode, runtime=options.runtime, arithmetic=options.arithmetic)
    return WholeFrames(found) if isinstance(found, CoarseToFine) else found


def package_fingerprint(package: Path) -> str:
    """What changes when a package is replaced: cheap to read, so that it can be looked at often.

    Raises:
        PackageError: the package is not there.
    """
    try:
        if package.is_dir():
            return hashlib.sha256((package / MANIFEST).read_bytes()).hexdigest()[:16]
        status = package.stat()
    except OSError as error:
        raise PackageError(f"cannot be read ({error.strerror})", where=package) from error
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def _identity(package: Path) -> tuple[int, int, int]:
    """Which file stands there now; another one has another, even where it says the same."""
    try:
        status = (package / MANIFEST if package.is_dir() else package).stat()
    except OSError as error:
        raise PackageError(f"cannot be read ({error.strerror})", where=package) from error
    return status.st_ino, status.st_ctime_ns, status.st_mtime_ns


def _measure(engine: Engine, options: ServeOptions) -> Layout:
    """Try the layouts that are left open, each for its share of the warm-up."""
    threads = options.threads or cores()
    sessions = options.sessions or threads
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
    rates: dict[str, float] = {}
    share = options.warmup_s / len(tries)
    for name, (run, at_once, rows) in tries.items():
        run()  # the first call allocates
        if name != "narrow x1" and rows > 1 and _hopeless(rates, rows, share, sessions):
            continue
        rates[name] = _rate(run, at_once, share) * rows
    batch = options.batch or _best_batch(rates)
    call_s = sessions / rates["narrow x1"]
    wide_s = 1 / rates["wide x1"] if "wide x1" in rates else float("inf")
    wide = wide_s * WIDE_GAIN < call_s
    rounded = {name: round(rate, 1) for name, rate in rates.items()}
    return Layout(sessions, batch, wide, rounded, round(1000 * (wide_s if wide else call_s), 3))


def _hopeless(rates: Mapping[str, float], rows: int, share: float, sessions: int) -> bool:
    """Whether a batch would take longer than its share of the warm-up, by what a single picture took."""
    return rows * sessions / rates["narrow x1"] > share


def _best_batch(rates: Mapping[str, float]) -> int:
    best, rate = 1, rates["narrow x1"]
    for name, found in rates.items():
        kind, _, size = name.partition(" x")
        if kind == "narrow" and found > rate * BATCH_GAIN:
            best, rate = int(size), found
    return best


def _rate(run: Callable[[], object], at_once: int, seconds: float) -> float:
    """Calls a second of `at_once` threads together, each at least twice."""
    counts = [0] * at_once
    end = time.perf_counter() + seconds

    def loop(index: int) -> None:
        while counts[index] < 2 or time.perf_counter() < end:
            run()
            counts[index] += 1

    start = time.perf_counter()
    threads = [threading.Thread(target=loop, args=(i,)) for i in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)
