"""TensorRT engines: built from a stage's ONNX with progress shown, kept under a key of all they hang on.

Never yet run on a GPU: where sightline is developed there is none, and of TensorRT only the bindings can be
installed. The names used here stand in the bindings 11.4 (`BuilderFlag.FP16` in 10 only);
`tests/runtime/test_tensorrt_runtime.py` plays the whole flow against a stand-in for them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sightline.core.errors import MissingExtra, PackageError, UsageError
from sightline.core.files import written_whole
from sightline.core.manifest import Stage
from sightline.runtime.options import RuntimeOptions

DRIVER = Path("/proc/driver/nvidia/version")
GPUS = Path("/proc/driver/nvidia/gpus")
MOST_ROWS = 8

Tell = Callable[[str], None]


def bindings() -> Any:
    """TensorRT's Python module.

    Raises:
        MissingExtra: it, or a library it loads, is not installed.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise MissingExtra("TensorRT", "tensorrt") from error
    return tensorrt


def engine_key(data: bytes, stage: Stage, options: RuntimeOptions, version: str) -> dict[str, Any]:
    """All that an engine hangs on: another value of any means another engine."""
    return {
        "model": hashlib.sha256(data).hexdigest(),
        "tensorrt": version,
        "driver": _first_line(DRIVER),
        "gpu": _gpu_model(),
        "shapes": {name: profile(spec.shape(1), stage) for name, spec in stage.signature.inputs.items()},
        "precision": options.arithmetic,
    }


def profile(shape: tuple[int, ...], stage: Stage) -> list[list[int]]:
    """Smallest, usual and largest shape of an input; the batch is free where the stage says so."""
    most = MOST_ROWS if stage.batch else 1
    return [[rows, *shape[1:]] for rows in (1, 1, most)]


def engine_file(key: dict[str, Any], options: RuntimeOptions) -> Path:
    """Where the engine of a key is kept."""
    root = options.cache or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sightline"
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    return Path(root) / "engines" / f"{name}.engine"


def open_engine(trt: Any, logger: Any, data: bytes, key: dict[str, Any], file: Path, tell: Tell) -> Any:
    """The engine of a key: the kept one where TensorRT takes it, else one built now and kept.

    Raises:
        PackageError: the graph cannot be built.
        UsageError: this TensorRT has no such precision.
    """
    runtime = trt.Runtime(logger)
    if file.exists():
        engine = runtime.deserialize_cuda_engine(file.read_bytes())
        if engine is not None:
            return engine
        tell(f"{file}: was made by another TensorRT or for another GPU; it is built again")
    plan = build(trt, logger, data, key, tell)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise PackageError("TensorRT does not take the engine it has built itself")
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as part:
        part.write_bytes(plan)
    return engine


def build(trt: Any, logger: Any, data: bytes, key: dict[str, Any], tell: Tell) -> bytes:
    """A serialised engine of an ONNX graph, layers fused for this GPU; minutes."""
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data):
        faults = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise PackageError(f"TensorRT cannot read the graph: {faults}")
    config = builder.create_builder_config()
    _allow(trt, config, key["precision"])
    shapes = builder.create_optimization_profile()
    for name, (least, usual, most) in key["shapes"].items():
        shapes.set_shape(name, least, usual, most)
    config.add_optimization_profile(shapes)
    config.progress_monitor = _monitor(trt, tell)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise PackageError("TensorRT cannot build an engine of the graph; its log says why")
    return bytes(plan)


def _allow(trt: Any, config: Any, precision: str) -> None:
    """Let layers run in a lower precision; never build in f32 what was asked for in another."""
    if precision == "f32":
        return
    flag = getattr(trt.BuilderFlag, precision.upper(), None)
    if flag is None:
        raise UsageError(
            f"TensorRT {trt.__version__} takes precisions from the graph and cannot make it {precision}",
            remedy="use arithmetic f32, a graph exported in that precision, or TensorRT 10",
        )
    config.set_flag(flag)


def _monitor(trt: Any, tell: Tell) -> Any:
    """TensorRT's own progress, told phase by phase."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            tell(f"{phase_name}: 0 of {num_steps}")

        def step_complete(self, phase_name: str, step: int) -> bool:
            steps = self._steps.get(phase_name, 0)
            if steps and (10 * (step + 1)) // steps > (10 * step) // steps:
                tell(f"{phase_name}: {step + 1} of {steps}")
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()


def told(line: str) -> None:
    """Progress on standard error."""
    print(f"tensorrt: {line}", file=sys.stderr, flush=True)


def _first_line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()[0]
    except (OSError, IndexError):
        return ""


def _gpu_model() -> str:
    """The models of the GPUs, as the driver names them."""
    found = []
    for folder in sorted(GPUS.glob("*")) if GPUS.exists() else ():
        text = (folder / "information").read_text(encoding="utf-8", errors="replace")
        found += [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("Model:")]
    return ", ".join(found)
