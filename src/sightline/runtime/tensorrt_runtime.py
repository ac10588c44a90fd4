"""TensorRT: engines on an NVIDIA GPU. While one is built, ONNX Runtime answers.

See `tensorrt_engine` for what of this was run, and what was not.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MissingExtra, PackageError
from sightline.core.manifest import Stage
from sightline.core.predictor import Infer
from sightline.runtime import onnx_runtime
from sightline.runtime.options import RuntimeOptions
from sightline.runtime.tensorrt_engine import MOST_ROWS, bindings, engine_file, engine_key, open_engine, told

Array = NDArray[Any]

_TO_DEVICE, _TO_HOST = 1, 2


def open_stage(data: bytes, stage: Stage, options: RuntimeOptions) -> Infer:
    """A stage as a function; see `options.Runtime`.

    An engine that is kept answers from the first call on. One that must be built is built in a thread,
    minutes long; ONNX Runtime answers meanwhile, and goes on where building fails, which is said.

    Raises:
        MissingExtra: TensorRT or CUDA is not installed.
    """
    trt, cuda = bindings(), Cuda()
    logger = trt.Logger(trt.Logger.WARNING)
    key = engine_key(data, stage, options, str(trt.__version__))
    file = engine_file(key, options)
    if file.exists():
        return Engine(trt, cuda, open_engine(trt, logger, data, key, file, told), stage).infer
    return _Meanwhile(trt, cuda, logger, data, stage, options).infer


class _Meanwhile:
    """ONNX Runtime until the engine is there."""

    def __init__(
        self, trt: Any, cuda: Cuda, logger: Any, data: bytes, stage: Stage, options: RuntimeOptions
    ) -> None:
        self._now: Infer = onnx_runtime.open_stage(data, stage, options)
        key = engine_key(data, stage, options, str(trt.__version__))

        def build() -> None:
            try:
                engine = open_engine(trt, logger, data, key, engine_file(key, options), told)
                self._now = Engine(trt, cuda, engine, stage).infer
                told(f"{stage.file}: the engine answers from now on")
            except Exception as error:  # whatever it is, answers go on
                told(f"{stage.file}: {error}; ONNX Runtime goes on answering")

        self.building = threading.Thread(target=build, name="tensorrt", daemon=True)
        self.building.start()

    def infer(self, inputs: dict[str, Array]) -> Mapping[str, Array]:
        """Outputs by name."""
        return self._now(inputs)


class Engine:
    """An engine as a function; one context, one call at a time.

    Raises:
        PackageError: its inputs and outputs are not the stage's.
    """

    def __init__(self, trt: Any, cuda: Cuda, engine: Any, stage: Stage) -> None:
        self._trt, self._cuda, self._engine, self._stage = trt, cuda, engine, stage
        self._context, self._stream = engine.create_execution_context(), cuda.stream()
        self._lock, self._memory = threading.Lock(), dict[str, tuple[int, int]]()
        self._names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        missing = ({*stage.signature.inputs, *stage.outputs}) - {*self._names}
        if missing:
            raise PackageError(f"the engine does not name {', '.join(sorted(missing))}", where=stage.file)

    def infer(self, inputs: dict[str, Array]) -> Mapping[str, Array]:
        """Outputs by name, for any number of rows."""
        rows = len(next(iter(inputs.values())))
        most = MOST_ROWS if self._stage.batch else 1
        with self._lock:
            parts = [
                self._run({name: value[start : start + most] for name, value in inputs.items()})
                for start in range(0, rows, most)
            ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._stage.outputs}

    def _run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        for name, value in inputs.items():
            held = np.ascontiguousarray(value)
            self._context.set_input_shape(name, held.shape)
            self._cuda.copy(self._device(name, held.nbytes), held.ctypes.data, held.nbytes, _TO_DEVICE)
        found: dict[str, Array] = {}
        for name in self._names:
            if name not in inputs:
                kind = self._trt.nptype(self._engine.get_tensor_dtype(name))
                found[name] = np.empty(tuple(self._context.get_tensor_shape(name)), kind)
                self._device(name, found[name].nbytes)
            self._context.set_tensor_address(name, self._memory[name][0])
        if not self._context.execute_async_v3(self._stream):
            raise PackageError("TensorRT could not run the engine; its log says why", where=self._stage.file)
        self._cuda.wait(self._stream)
        for name, value in found.items():
            self._cuda.copy(value.ctypes.data, self._memory[name][0], value.nbytes, _TO_HOST)
        return found

    def _device(self, name: str, size: int) -> int:
        """Device memory for a tensor, as large as it ever was."""
        address, held = self._memory.get(name, (0, 0))
        if held < size:
            self._cuda.free(address)
            address = self._cuda.allocate(size)
            self._memory[name] = (address, size)
        return address


class Cuda:
    """The few calls of CUDA's runtime library that are needed.

    Raises:
        MissingExtra: the library is not installed.
    """

    def __init__(self) -> None:
        name = ctypes.util.find_library("cudart")
        try:
            self._library = ctypes.CDLL(name or "libcudart.so")
        except OSError as error:
            raise MissingExtra("CUDA's runtime library", "tensorrt") from error

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the device."""
        address = ctypes.c_void_p()
        self._check(self._library.cudaMalloc(ctypes.byref(address), ctypes.c_size_t(max(1, size))))
        return int(address.value or 0)

    def free(self, address: int) -> None:
        """Give memory back."""
        if address:
            self._check(self._library.cudaFree(ctypes.c_void_p(address)))

    def copy(self, to: int, origin: int, size: int, way: int) -> None:
        """Copy bytes between host and device, and wait."""
        copied = self._library.cudaMemcpy(
            ctypes.c_void_p(to), ctypes.c_void_p(origin), ctypes.c_size_t(size), ctypes.c_int(way)
        )
        self._check(copied)

    def stream(self) -> int:
        """A new stream's handle."""
        handle = ctypes.c_void_p()
        self._check(self._library.cudaStreamCreate(ctypes.byref(handle)))
        return int(handle.value or 0)

    def wait(self, stream: int) -> None:
        """Until all work of a stream is done."""
        self._check(self._library.cudaStreamSynchronize(ctypes.c_void_p(stream)))

    def _check(self, code: int) -> None:
        if code:
            raise PackageError(f"CUDA answers with error {code}")
