"""OpenVINO: the same stages, often faster on Intel and AMD CPUs; an optional extra."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
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

    OpenVINO would choose bf16 by itself where the machine has it; here the caller does. Batches of one run
    in a graph of fixed shapes, which is a little faster; others in one that takes any batch.
    """
    try:
        core = _core()
    except ImportError as error:
        raise MissingExtra("openvino", "openvino") from error
    graphs = _Graphs(core, data, stage, options)
    _check(graphs.alone, stage)
    return graphs.infer


@cache
def _core() -> Any:
    """OpenVINO's one core of this process, its CPU plugin loaded by a thread that ends at once.

    The plugin gives the thread that loads it a signal stack, and unmaps that stack when it is freed, on
    whichever thread. The thread that loaded it would then die of its next signal, a child's end included,
    without a word.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_loaded_core).result()


def _loaded_core() -> Any:
    import openvino as ov

    core = ov.Core()
    core.get_versions("CPU")  # loads the plugin
    return core


class _Graphs:
    """One stage compiled for single elements, and for batches once somebody brings one."""

    def __init__(self, core: Any, data: bytes, stage: Stage, options: RuntimeOptions) -> None:
        throughput = options.mode == "throughput"
        self._config = {
            "INFERENCE_PRECISION_HINT": {"fp16": "f16"}.get(options.arithmetic, options.arithmetic),
            "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
            "INFERENCE_NUM_THREADS": str(options.workers),
            "NUM_STREAMS": str(options.workers if throughput else 1),
        }
        if options.cache is not None:
            self._config["CACHE_DIR"] = str(options.cache)
        self._core, self._data, self._stage = core, data, stage
        self._local, self._lock = threading.local(), threading.Lock()
        self._batched: Any = None
        self.alone = self._compiled(fixed=True)

    def _compiled(self, *, fixed: bool) -> Any:
        try:
            model = self._core.read_model(self._data, b"")
            shapes = {name: list(spec.shape(1)) for name, spec in self._stage.signature.inputs.items()}
            if fixed and self._stage.batch and shapes.keys() <= _names(model.inputs):
                model.reshape(shapes)
            return self._core.compile_model(model, "CPU", self._config)
        except RuntimeError as error:
            raise PackageError(
                f"OpenVINO cannot load it: {_last_line(error)}", where=self._stage.file
            ) from error

    def infer(self, inputs: dict[str, Array]) -> Mapping[str, Array]:
        """Outputs by name; one inference request a thread, since a request's tensors are its own."""
        request = self._request(batched=self._stage.batch and len(next(iter(inputs.values()))) > 1)
        held = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        request.infer(held)
        return {name: np.array(request.get_tensor(name).data) for name in self._stage.outputs}

    def _request(self, *, batched: bool) -> Any:
        kept, key = self._local.__dict__, "batched" if batched else "alone"
        if key not in kept:
            kept[key] = (self._for_batches() if batched else self.alone).create_infer_request()
        return kept[key]

    def _for_batches(self) -> Any:
        with self._lock:
            if self._batched is None:
                self._batched = self._compiled(fixed=False)
            return self._batched


def _names(ports: Any) -> set[str]:
    return {name for port in ports for name in port.get_names()}


def _check(compiled: Any, stage: Stage) -> None:
    inputs, outputs = _names(compiled.inputs), _names(compiled.outputs)
    missing = (set(stage.signature.inputs) - inputs) | (set(stage.outputs) - outputs)
    missing |= set(stage.signature.outputs) - set(stage.outputs)
    if missing:
        raise PackageError(f"does not name {', '.join(sorted(missing))}", where=stage.file)


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
