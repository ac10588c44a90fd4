"""What a runtime is told, and what it is: the seam a new one implements."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sightline.core.manifest import Stage
from sightline.core.predictor import Infer

Mode = Literal["latency", "throughput"]
Arithmetic = Literal["f32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How a package is run.

    Attributes:
        threads: CPU threads; None is every core this process may use.
        mode: `latency` gives all threads to one call; `throughput` gives each of `threads` callers one
            thread, which is faster in sum and slower for each.
        arithmetic: `bf16` (or `fp16`, on GPUs) lets the runtime round inside the network where the machine
            has it and the runtime offers it; `f32` never does.
        cache: folder for what a runtime compiles: OpenVINO's compiled models where it is given; TensorRT's
            engines, which take minutes to build, there or else under the user's cache folder.
    """

    threads: int | None = None
    mode: Mode = "latency"
    arithmetic: Arithmetic = "f32"
    cache: Path | None = None

    @property
    def workers(self) -> int:
        """Threads asked for, or the cores this process may use."""
        return self.threads or cores()


class Runtime(Protocol):
    """A runtime is one function from a stage's bytes to `Infer`; it is listed in `loading.RUNTIMES`."""

    def __call__(self, data: bytes, stage: Stage, options: RuntimeOptions) -> Infer:
        """Open a stage.

        The function returned is called from several threads at once, takes inputs by the names and
        dtypes of the signature at any batch size, and gives every output the stage names.

        Raises:
            PackageError: the bytes are no model, or its names, types or shapes are not the stage's.
            MissingExtra: the runtime's library is not installed.
        """


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
