"""Packages of small graphs written by hand: no torch, made in milliseconds, another model for every seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.core.manifest import Manifest
from sightline.core.specs import InputSpec, Signature, Task
from sightline.export.writing import STAGE, stage_of, write_package

CLASSES = ("apple", "pear", "plum")
CELL, ROWS = 16, 10


class Graph:
    """Nodes and weights, named as they are added."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def add(self, kind: str, *inputs: str, out: str = "", outs: int = 1, **attributes: object) -> str:
        names = [out or f"{kind}{len(self.nodes)}"] + [f"{kind}{len(self.nodes)}_{i}" for i in range(1, outs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0]

    def constant(self, value: object, dtype: str = "float32") -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant(self.random.normal(0, 3, shape))


def _classify(graph: Graph, planes: str, mean: str, spec: InputSpec) -> None:
    graph.add("Softmax", graph.add("MatMul", mean, graph.weight(3, 3)), out="classify.scores", axis=1)


def _locate(graph: Graph, planes: str, mean: str, spec: InputSpec) -> None:
    flat = graph.add("Sigmoid", graph.add("MatMul", mean, graph.weight(3, 6)))
    pairs = graph.add("Reshape", flat, graph.constant([-1, 3, 2], "int64"))
    graph.add("Mul", pairs, graph.constant(spec.size_wh), out="locate.points")
    graph.add("Sigmoid", graph.add("MatMul", mean, graph.weight(3, 3)), out="locate.visible")


def _segment(graph: Graph, planes: str, mean: str, spec: InputSpec) -> None:
    maps = graph.add("Conv", planes, graph.weight(3, 3, 1, 1))
    best = graph.add("ArgMax", maps, axis=1, keepdims=0)
    graph.add("Cast", best, out="segment.classes", to=TensorProto.UINT8)


def _detect(graph: Graph, planes: str, mean: str, spec: InputSpec) -> None:
    """A box around the centre of each cell, best first."""
    width, height = spec.size_wh
    pooled = graph.add("AveragePool", planes, kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    cells = graph.add("Reshape", pooled, graph.constant([0, 3, -1], "int64"))
    rows = graph.add("MatMul", graph.add("Transpose", cells, perm=[0, 2, 1]), graph.weight(3, 8))
    ys, xs = np.mgrid[0 : height // CELL, 0 : width // CELL] * CELL + CELL / 2
    centres = np.stack([xs, ys], -1).reshape(-1, 2)

    def part(start: int, end: int) -> str:
        limits = [graph.constant([value], "int64") for value in (start, end, 2)]
        return graph.add("Slice", rows, *limits)

    sides = graph.add("Mul", graph.add("Sigmoid", part(0, 2)), graph.constant(20.0))
    low = graph.add("Sub", graph.constant(centres), sides)
    high = graph.add("Add", graph.constant(centres), sides)
    boxes = graph.add("Concat", low, high, axis=2)
    scores = graph.add(
        "Sigmoid", graph.add("ReduceMax", part(2, 5), graph.constant([2], "int64"), keepdims=0)
    )
    best = graph.add("ArgMax", part(5, 8), axis=2, keepdims=0)
    graph.add("TopK", scores, graph.constant([ROWS], "int64"), out="detect.scores", outs=2, axis=1)
    chosen = graph.nodes[-1].output[1]
    graph.add("GatherElements", best, chosen, out="detect.classes", axis=1)
    index = graph.add("Unsqueeze", chosen, graph.constant([2], "int64"))
    graph.add("GatherND", boxes, index, out="detect.boxes", batch_dims=1)


_HEADS: dict[str, Callable[[Graph, str, str, InputSpec], None]] = {
    "classify": _classify,
    "detect": _detect,
    "locate": _locate,
    "segment": _segment,
}
_TYPES = {"detect.classes": TensorProto.INT64, "segment.classes": TensorProto.UINT8}
_RANKS = {"detect.boxes": 3, "locate.points": 3, "segment.classes": 3}


def make_package(
    out: Path, task: Task, *, seed: int = 0, version: str = "1", name: str = "", spec: InputSpec | None = None
) -> Path:
    """A package of one task whose answers depend on the picture and the seed."""
    spec = spec or InputSpec((64, 48))
    graph = Graph(seed)
    scaled = graph.add("Div", graph.add("Cast", "image", to=TensorProto.FLOAT), graph.constant(255.0))
    planes = graph.add("Transpose", scaled, perm=[0, 3, 1, 2])
    axes = graph.constant([2, 3], "int64")
    mean = graph.add("ReduceMean", planes, axes, out="embedding", keepdims=0)
    _HEADS[task](graph, planes, mean, spec)
    signature = Signature((task,), CLASSES, {"image": spec}, {"detect": 0.05})
    outputs = [*signature.outputs, "embedding"]
    made = helper.make_graph(
        graph.nodes,
        task,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *spec.shape(1)[1:]])],
        [
            helper.make_tensor_value_info(
                name, _TYPES.get(name, TensorProto.FLOAT), ["batch", *[None] * (_RANKS.get(name, 2) - 1)]
            )
            for name in outputs
        ],
        graph.weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    body = model.SerializeToString()
    stage = stage_of(signature, tuple(outputs), body)
    return write_package(out, body, Manifest(name or task, version, {STAGE: stage}))
