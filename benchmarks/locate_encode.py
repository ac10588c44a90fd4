"""Should the coarse stage stack its frames at the stem, or encode each new frame once and keep the features?

One network both ways, `locate-coarse` with its defaults:

* stacked: three frames are channels of the first convolution, one graph (`fusion: stack`);
* cached: one graph encodes the newest frame, another joins its maps with those kept of the two frames before
  (`fusion: features`); the maps travel between the graphs as arrays;
* encoded anew: `fusion: features` in one graph, which encodes all three frames each time.

Core-milliseconds a frame from placed pixels to point (one thread), random weights, OpenVINO (bf16) and ONNX
Runtime (f32), turn by turn. The bar: stacking, which is the default, costs no more than caching in either.

    python benchmarks/locate_encode.py [--out FOLDER]

The graphs are kept in the folder, so that a second call only measures.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sightline.core.specs import InputSpec
from sightline.export.onnx import example
from sightline.models.catalogue import build
from sightline.models.locate import DESIGNS, Locator

REPO = Path(__file__).resolve().parent.parent
THREADS = 1
ROUNDS = 12
EACH = 8
BAR = 1.0

Arrays = dict[str, Any]
Run = Callable[[Mapping[str, Any]], Arrays]


class Whole(nn.Module):
    """A clip to point and visibility."""

    def __init__(self, model: Locator) -> None:
        super().__init__()
        self.model = model

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        found = self.model({"clip": clip})
        return found["locate.points"], found["locate.visible"]


class Encoder(nn.Module):
    """One frame (1, H, W, 3) to its maps."""

    def __init__(self, model: Locator) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.net(self.model.first(frame)))


class Joiner(nn.Module):
    """Maps of all frames, oldest first, to point and visibility."""

    def __init__(self, model: Locator, levels: int) -> None:
        super().__init__()
        self.model, self.levels = model, levels

    def forward(self, *maps: Tensor) -> tuple[Tensor, Tensor]:
        by_level = [torch.cat(maps[level :: self.levels], 1) for level in range(self.levels)]
        joined = [join(m) for join, m in zip(self.model.join, by_level, strict=True)]
        fine = self.model.neck(joined)[0]
        heat = self.model.heat(fine)
        raw = {"heat": heat, "seen": self.model.sight(fine, heat), "deep": joined[-1].mean((2, 3))}
        found = self.model.decode(raw)
        return found["locate.points"], found["locate.visible"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPO / "work" / "locate_encode", help="graphs")
    spec = DESIGNS["locate-coarse"][1]
    clip = example(spec, 1)
    graphs = kept(parser.parse_args().out, clip)
    figures: dict[str, dict[str, float]] = {}
    for name, opened in (("OpenVINO bf16", openvino), ("ONNX Runtime f32", onnxruntime)):
        runs = {key: opened(data) for key, data in graphs.items()}
        figures[name] = timed(
            {
                "stacked": lambda runs=runs: runs["stacked"]({"clip": clip}),
                "cached": cached(runs, clip, spec),
                "encoded anew": lambda runs=runs: runs["encoded anew"]({"clip": clip}),
            }
        )
    print(f"{'core-ms a frame':24s}" + "".join(f"{key:>14s}" for key in next(iter(figures.values()))))
    for name, row in figures.items():
        print(f"{name:24s}" + "".join(f"{ms:14.2f}" for ms in row.values()))
    ratio = max(row["stacked"] / row["cached"] for row in figures.values())
    print(f"stacking costs {ratio:.2f} times what caching does at most; bar: <= {BAR:g}")
    return 0 if ratio <= BAR else 1


def kept(folder: Path, clip: Any) -> dict[str, bytes]:
    """The graphs by name, from the folder where they are there."""
    names = ("stacked", "encoded anew", "encoder", "joiner")
    paths = {name: folder / f"{name.replace(' ', '-')}.onnx" for name in names}
    if not all(path.exists() for path in paths.values()):
        stacked, apart = coarse("stack"), coarse("features")
        made = {"stacked": whole(stacked, clip), "encoded anew": whole(apart, clip), **parts(apart, clip)}
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in made.items():
            paths[name].write_bytes(data)
    return {name: path.read_bytes() for name, path in paths.items()}


def coarse(fusion: str) -> Locator:
    """The default coarse stage with another way of fusing its frames."""
    torch.manual_seed(0)
    model = build("locate-coarse", classes=("shuttle",), fusion=fusion).eval()
    assert isinstance(model, Locator)
    return model


def whole(model: Locator, clip: Any) -> bytes:
    """One graph for everything."""
    return graph(Whole(model), {"clip": clip}, ("points", "visible"))


def parts(model: Locator, clip: Any) -> dict[str, bytes]:
    """The graph of one frame, and that of what is kept."""
    with torch.inference_mode():
        maps = Encoder(model)(torch.from_numpy(clip[:, 0]))
    count, frames = len(maps), clip.shape[1]
    names = [f"map{age}_{level}" for age in range(frames) for level in range(count)]
    values = {name: maps[i % count].numpy() for i, name in enumerate(names)}
    return {
        "encoder": graph(Encoder(model), {"frame": clip[:, 0]}, tuple(f"map{i}" for i in range(count))),
        "joiner": graph(Joiner(model, count), values, ("points", "visible")),
    }


def graph(module: nn.Module, inputs: Mapping[str, Any], outputs: tuple[str, ...]) -> bytes:
    """ONNX of fixed shapes."""
    held = io.BytesIO()
    program: Any = torch.onnx.export(
        module.eval(),
        tuple(torch.from_numpy(np.asarray(value)) for value in inputs.values()),
        dynamo=True,
        external_data=False,
        input_names=list(inputs),
        output_names=list(outputs),
        verbose=False,
    )
    held.write(program.model_proto.SerializeToString())
    return held.getvalue()


def cached(runs: Mapping[str, Run], clip: Any, spec: InputSpec) -> Callable[[], Any]:
    """A stream's work for one frame: encode it, join its maps with the ones kept."""
    frame = {"frame": np.ascontiguousarray(clip[:, -1])}
    past = [list(runs["encoder"]({"frame": np.ascontiguousarray(clip[:, 0])}).values())] * (spec.frames - 1)

    def step() -> Any:
        newest = list(runs["encoder"](frame).values())
        maps = [m for held in (*past, newest) for m in held]
        count = len(newest)
        inputs = {f"map{i // count}_{i % count}": value for i, value in enumerate(maps)}
        past[:] = [*past[1:], newest]
        return runs["joiner"](inputs)

    return step


def openvino(data: bytes) -> Run:
    """A graph in OpenVINO, as `runtime.openvino_runtime` opens it for the least latency."""
    import openvino as ov

    config = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(THREADS),
        "NUM_STREAMS": "1",
    }
    core = ov.Core()
    request = core.compile_model(core.read_model(data, b""), "CPU", config).create_infer_request()
    names = [port.get_any_name() for port in request.model_outputs]

    def run(inputs: Mapping[str, Any]) -> Arrays:
        request.infer(dict(inputs))
        return {name: np.array(request.get_tensor(name).data) for name in names}

    return run


def onnxruntime(data: bytes) -> Run:
    """A graph in ONNX Runtime, as `runtime.onnx_runtime` opens it."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = THREADS, 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def timed(steps: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds of each, turn by turn; the first round warms up.

    The tenth percentile: other work on the machine disturbs it least.
    """
    spans: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(ROUNDS + 1):
        for name, step in steps.items():
            for _ in range(EACH):
                start = time.perf_counter()
                step()
                if turn:
                    spans[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.percentile(values, 10)) for name, values in spans.items()}


if __name__ == "__main__":
    sys.exit(main())
