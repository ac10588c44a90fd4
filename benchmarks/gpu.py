"""A two-stage package on an NVIDIA GPU: TensorRT and ONNX Runtime's CUDA provider against the CPU.

    python benchmarks/gpu.py [--package work/locate/package]

For each stage and each runtime at hand: milliseconds of one element, elements a second in batches of eight,
and how far the points lie from ONNX Runtime's in f32. Where there is no GPU it says so and exits with 3,
without a figure. The bar: the best GPU runtime answers one element at least twice as fast as the best on the
CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.errors import MissingExtra
from sightline.core.predictor import Infer, Predictor
from sightline.runtime.choosing import NVIDIA, installed
from sightline.runtime.loading import load_stage

REPO = Path(__file__).resolve().parent.parent
ROUNDS, BATCH, BAR, PATIENCE_S = 100, 8, 2.0, 1800.0
NO_GPU = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, default=REPO / "work" / "locate" / "package")
    args = parser.parse_args()
    if not NVIDIA.exists():
        print(f"gpu: no NVIDIA GPU is at hand ({NVIDIA} is absent): nothing was measured")
        return NO_GPU
    ratios = [compare(args.package, stage) for stage in ("coarse", "fine")]
    print(f"gpu: one element {min(ratios):.2f}x as fast as on the CPU, of the slower stage (bar {BAR:g}x)")
    return 0 if min(ratios) >= BAR else 1


def compare(package: Path, stage: str) -> float:
    """One stage in every runtime; how many times faster the GPU is than the CPU for one element."""
    reference = load_stage(package, runtime="onnx", stage=stage)
    ways: dict[str, Callable[[], Predictor]] = {
        "onnx (CUDA where it has it)": lambda: reference,
        "tensorrt f32": lambda: load_stage(package, runtime="tensorrt", stage=stage),
        "tensorrt fp16": lambda: load_stage(package, runtime="tensorrt", arithmetic="fp16", stage=stage),
    }
    if installed("openvino"):
        ways["openvino bf16, CPU"] = lambda: load_stage(
            package, runtime="openvino", arithmetic="bf16", stage=stage
        )
    took: dict[str, float] = {}
    for name, opened in ways.items():
        try:
            infer = ready(opened().infer)
        except MissingExtra as error:
            print(f"{stage}, {name}: left out: {error}")
            continue
        one, many = placed(reference, 1), placed(reference, BATCH)
        took[name], batched = median_ms(infer, one), median_ms(infer, many)
        apart = np.abs(infer(many)["locate.points"] - reference.infer(many)["locate.points"]).max()
        print(
            f"{stage}, {name}: {took[name]:.2f} ms, {BATCH / batched * 1e3:.0f} a second in batches, "
            f"points up to {apart:.3f} px from ONNX Runtime's",
            flush=True,
        )
    cpu = [ms for name, ms in took.items() if "CPU" in name]
    gpu = [ms for name, ms in took.items() if "CPU" not in name]
    return min(cpu) / min(gpu) if cpu and gpu else float("nan")


def ready(infer: Infer) -> Infer:
    """The same, once its engine is built."""
    building = getattr(getattr(infer, "__self__", None), "building", None)
    if building is not None:
        building.join(PATIENCE_S)
    return infer


def placed(predictor: Predictor, rows: int) -> dict[str, Any]:
    chance = np.random.default_rng(0)
    inputs = predictor.signature.inputs.items()
    return {name: chance.integers(0, 256, spec.shape(rows)).astype(spec.dtype) for name, spec in inputs}


def median_ms(infer: Infer, inputs: dict[str, Any]) -> float:
    times = []
    for index in range(ROUNDS + 10):
        begin = time.perf_counter()
        infer(inputs)
        if index >= 10:
            times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1e3


if __name__ == "__main__":
    sys.exit(main())
