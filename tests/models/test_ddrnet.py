from __future__ import annotations

import pytest
import torch

from contracts.made import made_batch
from contracts.model_contract import ModelContract, total
from sightline.models.base import Model
from sightline.models.catalogue import build

CITYSCAPES = [f"class {i}" for i in range(19)]


def deployed(name: str) -> Model:
    """The network as its paper counts it: without the head that only training has."""
    return build(name, classes=CITYSCAPES, aux_weight=0)


class TestDdrnetSlim(ModelContract):
    name = "ddrnet_23_slim"
    steps = 40
    published = (5.7, 1)

    @classmethod
    def published_model(cls) -> Model:
        return deployed("ddrnet_23_slim")


def test_ddrnet_23_has_as_many_parameters_as_published() -> None:
    assert round(sum(p.numel() for p in deployed("ddrnet_23").parameters()) / 1e6, 1) == 20.1


def test_the_auxiliary_head_teaches_and_is_not_exported() -> None:
    model = build("ddrnet_23_slim", classes=CITYSCAPES[:3])
    batch = made_batch(model.signature, 1)
    assert "aux" in model.losses(batch)
    assert "aux" not in model.eval().raw(batch.inputs)


@pytest.mark.parametrize("loss", ["ce", "dice", "ohem+dice"])
def test_each_loss_is_its_terms(loss: str) -> None:
    model = build("ddrnet_23_slim", classes=CITYSCAPES[:3], loss=loss, aux_weight=0)
    terms = model.losses(made_batch(model.signature, 1))
    assert {*terms} - {"per_example"} == set(loss.split("+"))
    assert torch.isclose(total(terms), terms["per_example"].mean())


def test_a_batch_of_one_small_picture_trains() -> None:
    model = TestDdrnetSlim.build((48, 32)).train()
    assert torch.isfinite(total(model.losses(made_batch(model.signature, 1))))
