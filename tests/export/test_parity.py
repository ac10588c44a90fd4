"""Parity: a faithful graph passes at every boundary, a wrong one is named by the first that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from export.tiny_models import TinyModel
from sightline.core.errors import ModelError, ParityFailed
from sightline.core.specs import InputSpec, Task
from sightline.export.onnx import decoded_outputs, to_onnx, without_raw
from sightline.export.parity import BOUNDARIES, check_parity, frames, installed_runtimes
from sightline.export.writing import stage_of
from sightline.models.base import Tensors
from sightline.models.catalogue import build

RANDOM = np.random.default_rng(0)
SQUARE = [{"image": RANDOM.integers(0, 256, (120, 120, 3)).astype(np.uint8)} for _ in range(4)]
TASKS: tuple[Task, ...] = ("classify", "detect", "segment", "locate")


def traced(model: TinyModel) -> tuple[bytes, Any]:
    proto = to_onnx(model)
    data = proto.SerializeToString()
    return data, stage_of(model.signature, tuple(v.name for v in proto.graph.output), data)


@pytest.mark.parametrize("task", TASKS)
def test_a_faithful_graph_passes_at_every_boundary_batch_and_runtime(task: Task) -> None:
    model = TinyModel(task).eval()
    data, stage = traced(model)
    checks = check_parity(model, data, stage, frames(SQUARE, model.signature), point_px=0.01)
    assert {c.boundary for c in checks} == set(BOUNDARIES)
    assert {c.batch for c in checks} == {1, 4}
    assert {c.runtime for c in checks} == set(installed_runtimes())
    assert all(c.to_json()["passes"] for c in checks)


def test_a_window_about_a_centre_and_a_track_pass_at_every_boundary() -> None:
    options = {"backbone": "test_efficientnet", "prior": "quadratic", "film": True, "stride": 8}
    clip = {"clip": InputSpec((64, 48), fit="native", frames=2)}
    torch.manual_seed(0)
    model = build("locate-fine", classes=["ball"], inputs=clip, **options).eval()
    proto = to_onnx(model)
    data = proto.SerializeToString()
    stage = stage_of(model.signature, tuple(v.name for v in proto.graph.output), data)
    elements = [
        {
            "clip": RANDOM.integers(0, 256, (2, 90, 120, 3)).astype(np.uint8),
            "track": np.array([[60.0 + i, 40.0, float(i != 4)] for i in range(6)], np.float32),
            "centre": np.array([50.0 + 7 * n, 110.0]),
        }
        for n in range(3)
    ]
    checks = check_parity(model, data, stage, frames(elements, model.signature), point_px=0.01)
    assert {c.batch for c in checks} == {1, 3} and {c.runtime for c in checks} == set(installed_runtimes())


class OtherDecoding(TinyModel):
    """Its decoding is not what the traced one was."""

    def decode(self, raw: Tensors) -> Tensors:
        answer = super().decode(raw)
        return {**answer, "classify.scores": answer["classify.scores"].flip(1)}


def test_another_decoding_is_found_at_the_decoded_boundary() -> None:
    data, stage = traced(TinyModel().eval())
    with pytest.raises(ParityFailed, match="decoded: classify"):
        check_parity(OtherDecoding().eval(), data, stage, SQUARE, point_px=0.01, runtimes=["onnx"])


def test_other_weights_are_found_at_the_raw_boundary() -> None:
    data, stage = traced(TinyModel().eval())
    with pytest.raises(ParityFailed, match="raw: map"):
        check_parity(TinyModel(seed=1).eval(), data, stage, SQUARE, point_px=0.01, runtimes=["onnx"])


def test_another_fit_is_found_at_the_placed_pixels() -> None:
    model = TinyModel().eval()
    data, stage = traced(model)
    stretched = {"image": InputSpec((64, 48), "stretch")}
    wrong = replace(stage, signature=replace(stage.signature, inputs=stretched))
    with pytest.raises(ParityFailed, match="placed pixels: image"):
        check_parity(model, data, wrong, SQUARE, point_px=0.01, runtimes=["onnx"])


def test_some_frames_are_never_square() -> None:
    shapes = [e["image"].shape[:2] for e in frames(SQUARE, TinyModel().signature)]
    assert all(h != w for h, w in shapes)


def test_the_final_graph_gives_decoded_tensors_only() -> None:
    proto = without_raw(to_onnx(TinyModel("detect").eval()))
    names = tuple(v.name for v in proto.graph.output)
    assert names == ("detect.boxes", "detect.scores", "detect.classes", "embedding")
    assert decoded_outputs(proto) == names


class Forgetful(TinyModel):
    def decode(self, raw: Tensors) -> Tensors:
        return {}


class Untraceable(TinyModel):
    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        raw = super().raw(inputs)
        if float(raw["map"].sum()) > 0:
            raw["map"] = raw["map"] + torch.ones(1)
        return raw


def test_a_model_that_owes_an_output_is_refused() -> None:
    with pytest.raises(ModelError, match=r"leaves out classify\.scores"):
        to_onnx(Forgetful().eval())


def test_a_model_whose_path_depends_on_its_values_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match="cannot be traced") as caught:
        to_onnx(Untraceable().eval())
    assert "\n" not in str(caught.value)
