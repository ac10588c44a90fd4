"""`load`: a package folder, or one `.onnx` that carries its manifest, to a predictor."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from sightline.core.errors import PackageError, UsageError
from sightline.core.manifest import Manifest, Stage, stage_file
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

    Every byte that is run was held to its hash first. A package of several stages is loaded whole, in the
    fastest runtime at hand (`choosing.fastest`), unless one of its stages is named.

    Args:
        package: the folder, or the file.
        threads: CPU threads; None is every core this process may use.
        mode: `latency` (one call at a time, all threads) or `throughput` (one thread a caller).
        runtime: name of a runtime, where another is wanted.
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
    path = Path(package)
    manifest = Manifest.read(path, verify=False) if path.is_dir() and stage is None else None
    how = manifest.pipeline if manifest is not None else {}
    options = RuntimeOptions(threads, mode, arithmetic or how.get("arithmetic", "f32"), cache)
    if manifest is None or how.get("kind") != KIND:
        return _opened(path, stage, options, runtime, batch)
    names = [how.get(COARSE, COARSE), *_listed(how.get(FINE, FINE))]
    for name in names:
        if name not in manifest.stages:
            raise PackageError(f"its pipeline names the stage {name!r}, which it lacks", where=path)
    chosen = [runtime or fastest(manifest.stages[name]) for name in names]
    coarse, *fines = (
        _opened(path, name, options, picked, batch) for name, picked in zip(names, chosen, strict=True)
    )
    workers = options.workers if mode == "throughput" else 1
    return CoarseToFine(coarse, fines, how, workers=workers)


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
    return _opened(Path(package), stage, RuntimeOptions(threads, mode, arithmetic, cache), runtime, batch)


def _opened(
    path: Path, stage: str | None, options: RuntimeOptions, runtime: str | None, batch: int
) -> Predictor:
    _, data, chosen = _read(path, stage)
    infer = resolve(runtime or chosen.runtime)(data, chosen, options)
    return Predictor(chosen.signature, infer, batch=batch if chosen.batch else 1)


def _listed(names: Any) -> list[str]:
    """The fine stages a manifest names: one, or several that vote."""
    return [names] if isinstance(names, str) else list(names)


def read_manifest(package: Path | str) -> Manifest:
    """The manifest of a package folder or of a single `.onnx`, its hashes verified.

    Raises:
        PackageError: as `load` does.
    """
    path = Path(package)
    return Manifest.read(path) if path.is_dir() else _read_single(path)[0]


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


def _read(path: Path, stage: str | None) -> tuple[Manifest, bytes, Stage]:
    """Manifest, verified bytes and the stage to run."""
    if not path.is_dir():
        return _read_single(path)
    manifest = Manifest.read(path, verify=False)
    chosen = _choose(manifest, stage, path)
    file = stage_file(path, chosen)
    data = _bytes(file)
    if hashlib.sha256(data).hexdigest() != chosen.sha256:
        raise PackageError(
            f"{chosen.file} does not match its hash", where=path, remedy="export the package again"
        )
    return manifest, data, chosen


def _read_single(path: Path) -> tuple[Manifest, bytes, Stage]:
    """A lone `.onnx`: its manifest is in its metadata, with the hash of all that comes before."""
    data = _bytes(path)
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
    return manifest, data, replace(chosen, sha256=hashlib.sha256(data).hexdigest())


def _choose(manifest: Manifest, stage: str | None, path: Path) -> Stage:
    names = ", ".join(manifest.stages)
    if stage is None and len(manifest.stages) == 1:
        return next(iter(manifest.stages.values()))
    if stage in manifest.stages:
        return manifest.stages[stage]
    if not names:
        raise PackageError("manifest names no stage", where=path)
    raise UsageError(f"has the stages {names}", where=path, remedy="name one of them")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PackageError(f"cannot be read ({error.strerror})", where=path) from error
