"""Which runtime suits a stage and this machine, where nobody says."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from pathlib import Path

from sightline.core.manifest import Stage

NVIDIA = Path("/proc/driver/nvidia/version")


def fastest(stage: Stage) -> str:
    """The runtime that measured fastest for stages like this one on machines like this one.

    On an NVIDIA GPU TensorRT where its library is there, else ONNX Runtime with its CUDA provider; on x86
    processors OpenVINO where it is installed (`docs/benchmarks.md` has the figures); else ONNX Runtime. A
    stage that was written for one runtime keeps it.
    """
    if stage.runtime != "onnx":
        return stage.runtime
    if NVIDIA.exists():
        return "tensorrt" if installed("tensorrt") else "onnx"
    if platform.machine().lower() in ("x86_64", "amd64") and installed("openvino"):
        return "openvino"
    return "onnx"


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
