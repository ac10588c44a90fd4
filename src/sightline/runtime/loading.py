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
from sightline.runtime.options import Arithmetic, Mode, Runtime, RuntimeOptions

# Name -> module:function that meets `options.Runtime`. Others come from the entry point group
# `sightline.runtimes`.
RUNTIMES = {
    "onnx": "sightline.runtime.onnx_runtime:open_stage",
    "openvino": "sightline.runtime.openvino_runtime:open_stage",
}

MANIFEST_KEY = "sightline.manifest"
DIGEST_KEY = "sightline.digest"


def load(
    package: Path | str,
    threads: int | None = None,
    mode: Mode = "latency",
    *,
    runtime: str | None = None,
    arithmetic: Arithmetic = "f32",
    stage: str | None = None,
    batch: int = 8,
) -> Predictor:
    """A predictor from a package folder or a single `.onnx` with its manifest inside.

    Every byte that is run was held to its hash first.

    Args:
        package: the folder, or the file.
        threads: CPU threads; None is every core this process may use.
        mode: `latency` (one call at a time, all threads) or `throughput` (one thread a caller).
        runtime: name of a runtime, where another than the manifest's is wanted.
        arithmetic: `bf16` lets OpenVINO round inside the network; `f32` never does.
        stage: which stage, where a package has several.
        batch: the largest batch handed to the network at once.

    Raises:
        PackageError: no package, malformed, changed since it was written, or newer than this code.
        UsageError: an unknown runtime, or several stages and none named.
        MissingExtra: the runtime is not installed.
    """
    path = Path(package)
    _, data, chosen = _read(path, stage)
    options = RuntimeOptions(threads, mode, arithmetic)
    infer = resolve(runtime or chosen.runtime)(data, chosen, options)
    return Predictor(chosen.signature, infer, batch=batch if chosen.batch else 1)


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
