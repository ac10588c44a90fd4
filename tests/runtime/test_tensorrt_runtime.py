"""The flow of TensorRT engines, against a stand-in for its bindings: no GPU is needed."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sightline.core.errors import MissingExtra, UsageError
from sightline.core.manifest import Stage
from sightline.runtime import onnx_runtime, tensorrt_engine, tensorrt_runtime
from sightline.runtime.loading import read_package, resolve
from sightline.runtime.options import RuntimeOptions


class FakeEngine:
    """An engine that answers by ONNX Runtime, through addresses as TensorRT's does."""

    def __init__(self, data: bytes, stage: Stage) -> None:
        self._infer = onnx_runtime.open_stage(data, stage, RuntimeOptions(threads=1))
        self._stage, self._shapes, self._at = stage, dict[str, Any](), dict[str, int]()
        self._names = [*stage.signature.inputs, *stage.outputs]
        self.num_io_tensors = len(self._names)

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_dtype(self, name: str) -> str:
        return "float32"

    def create_execution_context(self) -> Any:
        return self

    def set_input_shape(self, name: str, shape: Any) -> None:
        self._shapes[name] = tuple(shape)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        (rows,) = {shape[0] for shape in self._shapes.values()}
        one = self._infer({k: np.zeros((1, *s[1:]), np.uint8) for k, s in self._shapes.items()})
        return (rows, *one[name].shape[1:])

    def set_tensor_address(self, name: str, address: int) -> None:
        self._at[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        inputs = {}
        for name, shape in self._shapes.items():
            raw = (ctypes.c_uint8 * int(np.prod(shape))).from_address(self._at[name])
            inputs[name] = np.frombuffer(raw, np.uint8).reshape(shape)
        for name, value in self._infer(inputs).items():
            held = np.ascontiguousarray(value, np.float32)
            ctypes.memmove(self._at[name], held.ctypes.data, held.nbytes)
        return True


class HostMemory:
    """What stands in for CUDA: the same calls on the host's memory."""

    def __init__(self) -> None:
        self._held: dict[int, Any] = {}

    def allocate(self, size: int) -> int:
        block = ctypes.create_string_buffer(size)
        self._held[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def free(self, address: int) -> None:
        self._held.pop(address, None)

    def copy(self, to: int, origin: int, size: int, way: int) -> None:
        ctypes.memmove(to, origin, size)

    def stream(self) -> int:
        return 1

    def wait(self, stream: int) -> None:
        return


class FakeTensorRt:
    """The names of the bindings that are used, and what was asked of them."""

    def __init__(self, stage: Stage, version: str = "10.9.0") -> None:
        self.__version__, self._stage = version, stage
        self.builds, self.flags, self.shapes = 0, list[str](), dict[str, Any]()
        self.refuses = False
        self.BuilderFlag = SimpleNamespace(FP16="FP16", BF16="BF16")
        self.IProgressMonitor = object

    class Logger:
        WARNING = 1

        def __init__(self, level: int) -> None:
            self.level = level

    def Builder(self, logger: Any) -> Any:
        return SimpleNamespace(
            create_network=lambda flags: {},
            create_builder_config=lambda: SimpleNamespace(
                set_flag=self.flags.append, add_optimization_profile=lambda profile: 0, progress_monitor=None
            ),
            create_optimization_profile=lambda: SimpleNamespace(
                set_shape=lambda name, *shapes: self.shapes.update({name: shapes})
            ),
            build_serialized_network=self._build,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:
        return SimpleNamespace(parse=lambda data: network.update(data=data) or True, num_errors=0)

    def Runtime(self, logger: Any) -> Any:
        def open_plan(plan: bytes) -> FakeEngine | None:
            return FakeEngine(plan[4:], self._stage) if plan.startswith(b"PLAN") else None

        return SimpleNamespace(deserialize_cuda_engine=open_plan)

    def _build(self, network: Any, config: Any) -> bytes | None:
        self.builds += 1
        monitor = config.progress_monitor
        monitor.phase_start("tactics", None, 4)
        assert all(monitor.step_complete("tactics", step) for step in range(4))
        monitor.phase_finish("tactics")
        return None if self.refuses else b"PLAN" + network["data"]

    @staticmethod
    def nptype(kind: str) -> Any:
        return np.dtype(kind)


@pytest.fixture
def made(packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[FakeTensorRt, bytes, Stage]:
    found = read_package(packages["classify"])
    data, stage = found.data[0], found.stages[0]
    fake = FakeTensorRt(stage)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setattr(tensorrt_runtime, "Cuda", HostMemory)
    return fake, data, stage


def pixels(rows: int) -> dict[str, Any]:
    return {"image": np.random.default_rng(rows).integers(0, 256, (rows, 48, 64, 3), np.uint8)}


def test_onnx_runtime_answers_until_the_engine_does_and_both_answer_alike(
    made: tuple[FakeTensorRt, bytes, Stage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, data, stage = made
    options = RuntimeOptions(threads=1, arithmetic="fp16", cache=tmp_path)
    infer: Any = resolve("tensorrt")(data, stage, options)
    before = infer(pixels(3))
    infer.__self__.building.join()
    assert isinstance(infer.__self__._now.__self__, tensorrt_runtime.Engine)
    for rows in (1, 3, 19):
        want = onnx_runtime.open_stage(data, stage, RuntimeOptions(threads=1))(pixels(rows))
        for name, value in infer(pixels(rows)).items():
            np.testing.assert_allclose(value, want[name], atol=1e-5)
    np.testing.assert_allclose(infer(pixels(3))["classify.scores"], before["classify.scores"], atol=1e-5)
    assert fake.flags == ["FP16"]
    assert fake.shapes["image"] == ([1, 48, 64, 3], [1, 48, 64, 3], [8, 48, 64, 3])
    assert "tactics: 2 of 4" in capsys.readouterr().err


def test_a_kept_engine_is_taken_and_one_of_another_kind_is_built_again(
    made: tuple[FakeTensorRt, bytes, Stage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, data, stage = made
    options = RuntimeOptions(threads=1, cache=tmp_path)
    first: Any = tensorrt_runtime.open_stage(data, stage, options)
    first.__self__.building.join()
    again: Any = tensorrt_runtime.open_stage(data, stage, options)
    assert isinstance(again.__self__, tensorrt_runtime.Engine)
    assert fake.builds == 1
    (file,) = (tmp_path / "engines").iterdir()
    file.write_bytes(b"made by another version")
    assert isinstance(tensorrt_runtime.open_stage(data, stage, options).__self__, tensorrt_runtime.Engine)  # type: ignore[attr-defined]
    assert fake.builds == 2
    assert "another TensorRT" in capsys.readouterr().err


def test_the_key_changes_with_all_that_an_engine_hangs_on(made: tuple[FakeTensorRt, bytes, Stage]) -> None:
    _, data, stage = made
    plain = tensorrt_engine.engine_key(data, stage, RuntimeOptions(), "10.9.0")
    others = [
        tensorrt_engine.engine_key(data + b"x", stage, RuntimeOptions(), "10.9.0"),
        tensorrt_engine.engine_key(data, stage, RuntimeOptions(arithmetic="fp16"), "10.9.0"),
        tensorrt_engine.engine_key(data, stage, RuntimeOptions(), "10.9.1"),
        plain | {"gpu": "another"},
        plain | {"driver": "another"},
    ]
    files = {tensorrt_engine.engine_file(key, RuntimeOptions()) for key in [plain, *others]}
    assert len(files) == 6


def test_where_building_fails_onnx_runtime_goes_on(
    made: tuple[FakeTensorRt, bytes, Stage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, data, stage = made
    fake.refuses = True
    infer: Any = tensorrt_runtime.open_stage(data, stage, RuntimeOptions(threads=1, cache=tmp_path))
    infer.__self__.building.join()
    assert infer(pixels(2))["classify.scores"].shape == (2, 3)
    assert "goes on answering" in capsys.readouterr().err
    assert not (tmp_path / "engines").exists()


def test_an_engine_is_never_built_in_f32_where_another_precision_was_asked_for(
    made: tuple[FakeTensorRt, bytes, Stage], tmp_path: Path
) -> None:
    fake, data, stage = made
    fake.BuilderFlag = SimpleNamespace()
    key = tensorrt_engine.engine_key(data, stage, RuntimeOptions(arithmetic="fp16"), "11.4")
    with pytest.raises(UsageError, match="fp16"):
        tensorrt_engine.build(fake, fake.Logger(1), data, key, print)


def test_without_tensorrt_the_extra_is_named(
    packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_package(packages["classify"])
    data, stage = found.data[0], found.stages[0]
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtra, match="TensorRT"):
        tensorrt_runtime.open_stage(data, stage, RuntimeOptions())
