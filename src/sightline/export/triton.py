"""A package as a model repository of NVIDIA's Triton Inference Server.

`REPOSITORY/NAME/config.pbtxt` and `REPOSITORY/NAME/VERSION/model.onnx`, which carries its manifest. The
configuration follows `model_config.proto` of https://github.com/triton-inference-server/common. Tensors are
the network's own; placing pictures and mapping results back stay with the client, who finds the specs in the
manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sightline.core.errors import PackageError, UsageError
from sightline.core.files import folder_written_whole, write_json, write_text
from sightline.core.manifest import Manifest, Stage, stage_file

CONFIG = "config.pbtxt"
MODEL = "model.onnx"
MARKER = "sightline.json"
MOST_ROWS = 32
DELAY_US = 2000
NAME = re.compile(r"[A-Za-z0-9_.-]+")

_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}


def export_triton(package: Path, out: Path, *, replace: bool = False) -> Path:
    """Write a package's stages, each as a model of the repository `out`.

    Args:
        package: a package folder.
        out: the repository to make.
        replace: whether a repository that is there may be replaced; it holds a `sightline.json`.

    Returns:
        The repository.

    Raises:
        PackageError: no package, or a stage that is no ONNX file.
        UsageError: the folder exists, or the package's name makes no folder's.
    """
    manifest = Manifest.read(package)
    if not NAME.fullmatch(manifest.name):
        raise UsageError(f"name {manifest.name!r} makes no folder of a repository", where=package)
    version = int(manifest.version) if manifest.version.isascii() and manifest.version.isdecimal() else 1
    with folder_written_whole(out, replace=replace, marker=MARKER) as part:
        for name, stage in manifest.stages.items():
            model = manifest.name if len(manifest.stages) == 1 else f"{manifest.name}-{name}"
            data = stage_file(package, stage).read_bytes()
            text = configuration(model, stage, data)
            folder = part / model / str(max(1, version))
            folder.mkdir(parents=True)
            (folder / MODEL).write_bytes(data)
            write_text(part / model / CONFIG, text)
        write_json(part / MARKER, manifest.to_json())
    return out


def configuration(name: str, stage: Stage, data: bytes) -> str:
    """The text of `config.pbtxt` for one stage; types and shapes are read off the graph itself.

    Raises:
        PackageError: the stage is no ONNX file, or has a type that Triton does not name.
    """
    import onnxruntime as ort

    try:
        session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base but Exception
        raise PackageError(f"is no ONNX file Triton could run ({error})"[:300], where=stage.file) from error
    batched = stage.batch
    lines = [
        f"name: {_text(name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {MOST_ROWS if batched else 0}",
    ]
    lines += _tensors("input", session.get_inputs(), batched, stage.file)
    wanted = [node for node in session.get_outputs() if node.name in stage.outputs]
    lines += _tensors("output", wanted, batched, stage.file)
    if batched:
        lines += ["dynamic_batching {", f"  max_queue_delay_microseconds: {DELAY_US}", "}"]
    return "\n".join(lines) + "\n"


def _tensors(side: str, nodes: Sequence[Any], batched: bool, where: str) -> list[str]:
    """The blocks of one side; the batch axis is Triton's own and is not named."""
    lines: list[str] = []
    for node in nodes:
        if node.type not in _TYPES:
            raise PackageError(f"{side} {node.name!r} is {node.type}, which has no name there", where=where)
        sizes = [size if isinstance(size, int) else -1 for size in node.shape]
        dims = ", ".join(str(size) for size in (sizes[1:] if batched else sizes))
        lines += [
            f"{side} {{",
            f"  name: {_text(node.name)}",
            f"  data_type: {_TYPES[node.type]}",
            f"  dims: [ {dims} ]",
            "}",
        ]
    return lines


def _text(value: str) -> str:
    """A text as protobuf's text format quotes it; JSON's escapes are among its own."""
    return json.dumps(value)
