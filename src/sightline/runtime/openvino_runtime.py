"""OpenVINO: the same stages, often faster on Intel and AMD CPUs; an optional extra."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MissingExtra, PackageError
from sightline.core.manifest import Stage
from sightline.core.predictor import Infer
from sightline.runtime.options import RuntimeOptions

Array = NDArray[Any]


def open_stage(data: bytes, stage: Stage, options: RuntimeOptions) -> Infer:
    """A stage as a function; see `options.Runtime`.

    OpenVINO would choose bf16 by itself where the machine has it; here the caller does.
    """
    try:
        import openvino as ov
    except ImportError as error:
        raise MissingExtra("openvino", "openvino") from error
    throughput = options.mode == "throughput"
    config = {
        "INFERENCE_PRECISION_HINT": options.arithmetic,
        "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
        "INFERENCE_NUM_THREADS": str(options.workers),
        "NUM_STREAMS": str(options.workers if throughput else 1),
    }
    try:
        core = ov.Core()
        compiled = core.compile_model(core.read_model(data, b""), "CPU", config)
    except RuntimeError as error:
        raise PackageError(f"OpenVINO cannot load it: {_last_line(error)}", where=stage.file) from error
    _check(compiled, stage)
    return _caller(compiled, stage)


def _caller(compiled: Any, stage: Stage) -> Infer:
    """One inference request a thread: a request's tensors are its own."""
    local = threading.local()

    def infer(inputs: dict[str, Array]) -> Mapping[str, Array]:
        request = local.__dict__.get("request")
        if request is None:
            request = local.request = compiled.create_infer_request()
        request.infer({name: np.ascontiguousarray(value) for name, value in inputs.items()})
        return {name: np.array(request.get_tensor(name).data) for name in stage.outputs}

    return infer


def _check(compiled: Any, stage: Stage) -> None:
    inputs = {name for port in compiled.inputs for name in port.get_names()}
    outputs = {name for port in compiled.outputs for name in port.get_names()}
    missing = (set(stage.signature.inputs) - inputs) | (set(stage.outputs) - outputs)
    missing |= set(stage.signature.outputs) - set(stage.outputs)
    if missing:
        raise PackageError(f"does not name {', '.join(sorted(missing))}", where=stage.file)


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
