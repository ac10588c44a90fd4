"""A package of two stages that finds the brightest spot: graphs written by hand, without torch."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.core.manifest import Manifest, Stage
from sightline.core.specs import InputSpec, Signature
from sightline.export.writing import stage_of

COARSE, FINE = InputSpec((160, 90), frames=3), InputSpec((96, 96), fit="native", frames=3)
OUTPUTS = ("locate.points", "locate.visible")


def bright_package(out: Path, mode: str = "track", **settings: float) -> Path:
    """The package folder `out`, in a mode."""
    out.mkdir(parents=True)
    stages = {}
    for name, spec in (("coarse", COARSE), ("fine", FINE)):
        stage, body = brightest(spec)
        stages[name] = replace(stage, file=f"{name}.onnx")
        (out / f"{name}.onnx").write_bytes(body)
    pipeline: dict[str, Any] = {"kind": "coarse-to-fine", "coarse": "coarse", "fine": "fine"}
    Manifest("bright", "1", stages, pipeline=pipeline | {"mode": mode, "settings": settings}).write(out)
    return out


def brightest(spec: InputSpec) -> tuple[Stage, bytes]:
    """The middle of what is brighter than half in the newest frame; in sight where there is any."""
    width, height = spec.size_wh
    ys, xs = np.mgrid[0:height, 0:width] + 0.5
    held = {
        "last": np.array(spec.frames - 1),
        "half": np.array(128, np.float32),
        "colour": np.array([-1]),
        "rows": np.array([0, -1]),
        # x, y and the mass, of every pixel
        "grid": np.stack([xs.ravel(), ys.ravel(), np.ones(xs.size)], 1).astype(np.float32),
        "axis": np.array([1]),
        "little": np.array(1e-3, np.float32),
        "shape": np.array([0, 1, 2]),
    }
    for name, at in (("start", 0), ("middle", 2), ("end", 3)):
        held[name] = np.array([at])
    nodes = [
        helper.make_node("Gather", ["clip", "last"], ["newest"], axis=1),
        helper.make_node("Cast", ["newest"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "colour"], ["grey"], keepdims=0),
        helper.make_node("Sub", ["grey", "half"], ["above"]),
        helper.make_node("Relu", ["above"], ["weight"]),
        helper.make_node("Reshape", ["weight", "rows"], ["flat"]),
        helper.make_node("MatMul", ["flat", "grid"], ["sums"]),
        helper.make_node("Slice", ["sums", "start", "middle", "axis"], ["moments"]),
        helper.make_node("Slice", ["sums", "middle", "end", "axis"], ["mass"]),
        helper.make_node("Max", ["mass", "little"], ["safe"]),
        helper.make_node("Div", ["moments", "safe"], ["point"]),
        helper.make_node("Reshape", ["point", "shape"], ["locate.points"]),
        helper.make_node("Tanh", ["mass"], ["locate.visible"]),
    ]
    shown = helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *spec.shape(1)[1:]])
    told = [
        helper.make_tensor_value_info("locate.points", TensorProto.FLOAT, ["batch", 1, 2]),
        helper.make_tensor_value_info("locate.visible", TensorProto.FLOAT, ["batch", 1]),
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in held.items()]
    graph = helper.make_graph(nodes, "brightest", [shown], told, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    body = model.SerializeToString()
    signature = Signature(("locate",), ("head",), {"clip": spec})
    stage = stage_of(signature, OUTPUTS, body)
    return replace(stage, sha256=hashlib.sha256(body).hexdigest()), body


def spot_frame(n: int, size_wh: tuple[int, int] = (640, 360)) -> Any:
    """RGB frame `n` of a film: a bright square of eight pixels on grey, at `spot(n)`, or nothing."""
    frame = np.full((*size_wh[::-1], 3), 60, np.uint8)
    at = spot(n)
    if at is not None:
        x, y = int(at[0]), int(at[1])
        frame[y - 4 : y + 4, x - 4 : x + 4] = 235
    return frame


def spot(n: int) -> tuple[float, float] | None:
    """Where the square's middle is in frame `n`; out of sight in frames 14 to 19."""
    return None if 14 <= n % 40 < 20 else (60.0 + 9 * (n % 40), float(round(180 - 40 * np.sin(n / 5))))


def write_spot_film(path: Path, frames: int = 40, rate: int = 30) -> Path:
    """An H.264 film of `spot_frame`, near lossless."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.options = {"crf": "8", "preset": "ultrafast"}
        for n in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(spot_frame(n), format="rgb24")))
        container.mux(stream.encode(None))
    return path
