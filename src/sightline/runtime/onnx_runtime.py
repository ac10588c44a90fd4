"""ONNX Runtime: the default runtime, on the CPU, or on a GPU where this build of it can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sightline.core.errors import PackageError
from sightline.core.manifest import Stage
from sightline.core.predictor import Infer
from sightline.runtime.choosing import NVIDIA
from sightline.runtime.options import RuntimeOptions

Array = NDArray[Any]

_DTYPES = {"tensor(uint8)": "uint8", "tensor(uint16)": "uint16", "tensor(float)": "float32"}


def open_stage(data: bytes, stage: Stage, options: RuntimeOptions) -> Infer:
    """A stage as a function; see `options.Runtime`.

    In `throughput` mode the session has one thread of its own, the caller's, so that as many callers
    run at once as call, and the weights are held once.
    """
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1 if options.mode == "throughput" else options.workers
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    # Threads that spin while they wait take the cores from decoding and placing.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(data, settings, providers=_providers())
    except Exception as error:  # its errors share no base but Exception
        raise PackageError(f"ONNX Runtime cannot load it: {_first_line(error)}", where=stage.file) from error
    _check(session, stage)
    names = list(stage.outputs)

    def infer(inputs: dict[str, Array]) -> Mapping[str, Array]:
        values = session.run(names, inputs)
        return dict(zip(names, (np.asarray(v) for v in values), strict=True))

    return infer


def _providers() -> list[str]:
    """CUDA first where ONNX Runtime was built with it and a driver is there; the CPU always."""
    on_gpu = NVIDIA.exists() and "CUDAExecutionProvider" in ort.get_available_providers()
    return [*(["CUDAExecutionProvider"] if on_gpu else []), "CPUExecutionProvider"]


def _check(session: Any, stage: Stage) -> None:
    """Hold the graph's own names, types and shapes to the manifest's."""
    found = {node.name: node for node in session.get_inputs()}
    if set(found) != set(stage.signature.inputs):
        raise PackageError(
            f"reads {sorted(found)}, its manifest says {sorted(stage.signature.inputs)}", where=stage.file
        )
    for name, spec in stage.signature.inputs.items():
        shape = [size if isinstance(size, int) else None for size in found[name].shape]
        want = list(spec.shape(1))
        fits = len(shape) == len(want) and all(
            size in (None, w) for size, w in zip(shape[1:], want[1:], strict=True)
        )
        if not fits or _DTYPES.get(found[name].type) != spec.dtype:
            raise PackageError(
                f"input {name!r} is {found[name].type} {found[name].shape}, "
                f"its manifest says {spec.dtype} {spec.shape(1)}",
                where=stage.file,
            )
    missing = set(stage.outputs) - {node.name for node in session.get_outputs()}
    missing |= set(stage.signature.outputs) - set(stage.outputs)
    if missing:
        raise PackageError(f"does not give {', '.join(sorted(missing))}", where=stage.file)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
