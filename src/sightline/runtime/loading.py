"""`load`: a package folder, or one `.onnx` that carries its manifest, to a predictor."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from sightline.core.errors import PackageError, UsageError
from sightline.core.manifest import MANIFEST, Manifest, Stage, stage_file
from sightline.core.onnx_file import split_metadata
from sightline.core.predictor import Predictor
from sightline.runtime.choosing import fastest
from sightline.runtime.coarse_to_fine import KIND, CoarseToFine
from sightline.runtime.options import Arithmetic, Mode, Runtime, RuntimeOptions

# Name -> module:function that meets `options.Runtime`. Others come from the entry point group
# `sightline.runtimes`.
RUNTIMES = {
    "onnx": "sightline.runtime.onnx_runtime:open_stage",
    "openvino": "sightline.runtime.openvino_runtime:open_stage",
    "tensorrt": "sightline.runtime.tensorrt_runtime:open_stage",
}
COARSE, FINE = "coarse", "fine"

MANIFEST_KEY = "sightline.manifest"
DIGEST_KEY = "sightline.digest"


def load(
    package: Path | str,
    threads: int | None = None,
    mode: Mode = "latency",
    *,
    runtime: str | None = None,
    arithmetic: Arithmetic | None = None,
    stage: str | None = None,
    batch: int = 8,
    cache: Path | None = None,
) -> Predictor | CoarseToFine:
    """A predictor from a package folder or a single `.onnx` with its manifest inside.

    Every byte that is run was held to its hash first. A package of several stages is loaded whole, unless one
    of its stages is named.

    Args:
        package: the folder, or the file.
        threads: CPU threads; None is every core this process may use.
        mode: `latency` (one call at a time, all threads) or `throughput` (one thread a caller).
        runtime: name of a runtime; unless given, the fastest at hand (`choosing.fastest`) for throughput and
            for several stages, and for one picture the package's own, which starts soonest.
        arithmetic: `bf16` lets the runtime round inside the network; `f32` never does. Unless given, the
            package's own, which its quality was measured with; `f32` where it names none.
        stage: which stage alone, where a package has several.
        batch: the largest batch handed to the network at once.
        cache: folder for what a runtime compiles, so that the next start is faster; see `RuntimeOptions`.

    Raises:
        PackageError: no package, malformed, changed since it was written, or newer than this code.
        UsageError: an unknown runtime, or stages that nothing says how to join, and none named.
        MissingExtra: the runtime is not installed.
    """
    found = read_package(package, stage)
    return found.open(threads, mode, runtime=runtime, arithmetic=arithmetic, batch=batch, cache=cache)


def load_stage(
    package: Path | str,
    threads: int | None = None,
    mode: Mode = "latency",
    *,
    runtime: str | None = None,
    arithmetic: Arithmetic = "f32",
    stage: str | None = None,
    batch: int = 8,
    cache: Path | None = None,
) -> Predictor:
    """One network of a package, for what runs networks itself; arguments and errors as `load`.

    Raises:
        UsageError: the package has several stages and none is named.
    """
    found = read_package(package, stage)
    if len(found.stages) > 1:
        _choose(found.manifest, stage, found.path)  # refuses, naming them
    predictor = found.open(threads, mode, runtime=runtime, arithmetic=arithmetic, batch=batch, cache=cache)
    assert isinstance(predictor, Predictor)
    return predictor


@dataclass(frozen=True, slots=True)
class Package:
    """A package as it was read once: what happens to its files afterwards changes nothing.

    Attributes:
        path: where it was read.
        manifest: of the package.
        stages: those that are run; of two-stage locators the coarse one first.
        data: each one's file, held to its hash.
        fingerprint: as `fingerprint` gives it, of the very bytes that were read.
    """

    path: Path
    manifest: Manifest
    stages: tuple[Stage, ...]
    data: tuple[bytes, ...]
    fingerprint: str

    def open(
        self,
        threads: int | None = None,
        mode: Mode = "latency",
        *,
        runtime: str | None = None,
        arithmetic: Arithmetic | None = None,
        batch: int = 8,
        cache: Path | None = None,
    ) -> Predictor | CoarseToFine:
        """A predictor; arguments and errors as `load`."""
        how = self.manifest.pipeline
        options = RuntimeOptions(threads, mode, arithmetic or how.get("arithmetic", "f32"), cache)
        if how.get("kind") != KIND or len(self.stages) == 1:
            return self._one(0, options, runtime, batch)
        coarse, *fines = (self._one(i, options, runtime, batch) for i in range(len(self.stages)))
        workers = options.workers if mode == "throughput" else 1
        return CoarseToFine(coarse, fines, how, workers=workers)

    def _one(self, index: int, options: RuntimeOptions, runtime: str | None, batch: int) -> Predictor:
        stage = self.stages[index]
        quick = options.mode == "throughput" or len(self.stages) > 1
        chosen = runtime or (fastest(stage) if quick else stage.runtime)
        infer = resolve(chosen)(self.data[index], stage, options)
        return Predictor(stage.signature, infer, batch=batch if stage.batch else 1)


def fingerprint(package: Path) -> str:
    """What changes when a package is replaced: cheap to read, so that it can be looked at often.

    Raises:
        PackageError: the package is not there.
    """
    try:
        if package.is_dir():
            return _digest((package / MANIFEST).read_bytes())
        return _identity(package.stat())
    except OSError as error:
        raise PackageError(f"cannot be read ({error.strerror})", where=package) from error


def _digest(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()[:16]


def _identity(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def _listed(names: Any) -> list[str]:
    """The fine stages a manifest names: one, or several that vote."""
    return [names] if isinstance(names, str) else list(names)


def read_manifest(package: Path | str) -> Manifest:
    """The manifest of a package folder or of a single `.onnx`, its hashes verified.

    Raises:
        PackageError: as `load` does.
    """
    path = Path(package)
    return Manifest.read(path) if path.is_dir() else _read_single(path).manifest


def resolve(name: str) -> Runtime:
    """The function that opens a stage in the runtime of that name.

    Raises:
        UsageError: no runtime of that name is built in or installed.
    """
    if name in RUNTIMES:
        module, function = RUNTIMES[name].split(":")
        found: Runtime = getattr(import_module(module), function)
        return found
    plugins = {point.name: point for point in entry_points(group="sightline.runtimes")}
    if name in plugins:
        loaded: Runtime = plugins[name].load()
        return loaded
    raise UsageError(f"no runtime is called {name!r}", remedy=f"known: {', '.join([*RUNTIMES, *plugins])}")


def read_package(package: Path | str, stage: str | None = None) -> Package:
    """A package folder or a single `.onnx`, read once.

    Raises:
        PackageError: no package, malformed, or changed since it was written, or while it was read.
        UsageError: the package has several stages that nothing says how to join, and none is named.
    """
    path = Path(package)
    if not path.is_dir():
        return _read_single(path)
    manifest, text = Manifest.read_with_text(path)
    stages = _wanted(manifest, stage, path)
    data = tuple(_verified(path, chosen) for chosen in stages)
    return Package(path, manifest, stages, data, _digest(text))


def _wanted(manifest: Manifest, stage: str | None, path: Path) -> tuple[Stage, ...]:
    """The stage that is named, those of the pipeline, or the only one."""
    how = manifest.pipeline
    if stage is not None or how.get("kind") != KIND:
        return (_choose(manifest, stage, path),)
    names = [how.get(COARSE, COARSE), *_listed(how.get(FINE, FINE))]
    for name in names:
        if name not in manifest.stages:
            raise PackageError(f"its pipeline names the stage {name!r}, which it lacks", where=path)
    return tuple(manifest.stages[name] for name in names)


def _verified(path: Path, stage: Stage) -> bytes:
    data, _ = _bytes(stage_file(path, stage))
    if hashlib.sha256(data).hexdigest() != stage.sha256:
        raise PackageError(
            f"{stage.file} does not match its hash", where=path, remedy="export the package again"
        )
    return data


def _read_single(path: Path) -> Package:
    """A lone `.onnx`: its manifest is in its metadata, with the hash of all that comes before."""
    data, identity = _bytes(path)
    metadata: dict[str, str] = {}
    try:
        body, metadata = split_metadata(data)
    except ValueError as error:
        raise PackageError(f"is no ONNX file ({error})", where=path) from error
    if MANIFEST_KEY not in metadata:
        raise PackageError(
            "carries no sightline manifest", where=path, remedy="give the package folder, or adopt the model"
        )
    if hashlib.sha256(body).hexdigest() != metadata.get(DIGEST_KEY):
        raise PackageError("does not match the hash in its metadata", where=path, remedy="export it again")
    value: Any = None
    try:
        value = json.loads(metadata[MANIFEST_KEY])
    except ValueError as error:
        raise PackageError(f"manifest in its metadata cannot be read ({error})", where=path) from error
    manifest = Manifest.from_json(value, where=path)
    chosen = _choose(manifest, None, path)
    chosen = replace(chosen, sha256=hashlib.sha256(data).hexdigest())
    return Package(path, manifest, (chosen,), (data,), identity)


def _choose(manifest: Manifest, stage: str | None, path: Path) -> Stage:
    names = ", ".join(manifest.stages)
    if stage is None and len(manifest.stages) == 1:
        return next(iter(manifest.stages.values()))
    if stage in manifest.stages:
        return manifest.stages[stage]
    if not names:
        raise PackageError("manifest names no stage", where=path)
    raise UsageError(f"has the stages {names}", where=path, remedy="name one of them")


def _bytes(path: Path) -> tuple[bytes, str]:
    """What a file holds, and which file that was."""
    try:
        with path.open("rb") as file:
            return file.read(), _identity(os.fstat(file.fileno()))
    except OSError as error:
        raise PackageError(f"cannot be read ({error.strerror})", where=path) from error
