from __future__ import annotations

import pytest
import torch

from contracts.made import made_batch
from contracts.model_contract import ModelContract
from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec
from sightline.models.catalogue import build
from sightline.models.inputs import Depth

SMALL = {"encoder": "test_resnet", "depth_encoder": "test_resnet"}


class TestRgbd(ModelContract):
    name = "rgbd"
    options = SMALL
    rate = 5e-3


def test_both_sensors_are_read() -> None:
    model = TestRgbd.build((64, 48)).eval()
    inputs = made_batch(model.signature, 1).inputs
    with torch.inference_mode():
        both = model.raw(inputs)["logits"]
        dark = model.raw({**inputs, "image": torch.zeros_like(inputs["image"])})["logits"]
        near = model.raw({**inputs, "depth": (inputs["depth"].int() // 2).to(torch.uint16)})["logits"]
    assert not torch.allclose(both, dark)
    assert not torch.allclose(both, near)


def test_a_colour_input_alone_gets_a_depth_input_like_it() -> None:
    model = build("rgbd", classes=["a", "b"], inputs={"image": InputSpec((64, 48), fit="crop")}, **SMALL)
    image, depth = model.signature.inputs.values()
    assert (depth.size_wh, depth.fit, depth.pad, depth.dtype) == ((64, 48), "crop", 0, "uint16")
    assert (image.sensor, depth.sensor) == ("rgb", "depth")


def test_other_inputs_are_refused() -> None:
    with pytest.raises(ModelError, match="not clip"):
        build("rgbd", classes=["a", "b"], inputs={"clip": InputSpec((64, 48), frames=3)})
    with pytest.raises(ModelError, match="reads depth16, not rgb8"):
        specs = {"image": InputSpec((64, 48)), "depth": InputSpec((64, 48))}
        build("rgbd", classes=["a", "b"], inputs=specs)


def test_unknown_depth_is_told_apart_from_one_metre() -> None:
    layer = Depth()
    millimetres = torch.tensor([[[0, 1000, 10000]]], dtype=torch.uint16)
    assert layer(millimetres).squeeze().tolist() == [[0, 0, 1], [0, 1, 1]]
