"""Putting a package on disk: the graph with its manifest inside, and the manifest beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.core.files import folder_written_whole, write_json, write_text
from sightline.core.manifest import MANIFEST, Manifest, Stage
from sightline.core.onnx_file import append_metadata
from sightline.core.specs import Signature
from sightline.runtime.loading import DIGEST_KEY, MANIFEST_KEY

if TYPE_CHECKING:
    from sightline.models.base import Model

MODEL = "model.onnx"
STAGE = "model"


def stage_of(signature: Signature, outputs: tuple[str, ...], data: bytes, runtime: str = "onnx") -> Stage:
    """The manifest's entry for one f32 graph with a free batch axis."""
    return Stage(MODEL, hashlib.sha256(data).hexdigest(), runtime, "f32", signature, outputs)


def with_manifest(body: bytes, manifest: Manifest) -> bytes:
    """A graph that carries its manifest, and the hash of the graph before it was added."""
    value = json.dumps(manifest.to_json(), ensure_ascii=False, allow_nan=False)
    return append_metadata(body, {MANIFEST_KEY: value, DIGEST_KEY: hashlib.sha256(body).hexdigest()})


def write_package(
    out: Path,
    body: bytes,
    manifest: Manifest,
    *,
    parity: object = None,
    card: str | None = None,
    replace_old: bool = False,
    verify: Callable[[Path], None] | None = None,
) -> Path:
    """Write a single-stage package whole, or not at all.

    Args:
        out: the package folder.
        body: the graph.
        manifest: with one stage; its hash is filled in here.
        parity: what `parity.json` says.
        card: what `card.md` says.
        replace_old: whether a folder that is already there may be replaced.
        verify: called with the finished folder before it is put in place; what it raises stops that.

    Raises:
        UsageError: the folder exists, is not empty and may not be replaced.
    """
    ((name, stage),) = manifest.stages.items()
    data = with_manifest(body, manifest)
    final = replace(manifest, stages={name: replace(stage, sha256=hashlib.sha256(data).hexdigest())})
    with folder_written_whole(out, replace=replace_old, marker=MANIFEST) as folder:
        (folder / stage.file).write_bytes(data)
        final.write(folder)
        if parity is not None:
            write_json(folder / "parity.json", parity)
        if card is not None:
            write_text(folder / "card.md", card)
        if verify is not None:
            verify(folder)
    return out


def package_model(model: Model, out: Path, *, name: str = "model", version: str = "0") -> Path:
    """A package of a model as it is, with nothing measured: for benchmarks and tests.

    Raises:
        ModelError: the model cannot be traced.
        UsageError: the folder exists and is not empty.
    """
    from sightline.export.onnx import decoded_outputs, to_onnx, without_raw

    proto = without_raw(to_onnx(model))
    body: bytes = proto.SerializeToString()
    stage = stage_of(model.signature, decoded_outputs(proto), body)
    return write_package(out, body, Manifest(name, version, {STAGE: stage}))
