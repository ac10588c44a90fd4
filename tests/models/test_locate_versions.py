from __future__ import annotations

import pytest
import torch

from contracts.made import made_batch
from contracts.model_contract import total
from sightline.core.problem import ModelSection, TrainSection
from sightline.core.specs import InputSpec
from sightline.models.base import Model
from sightline.models.catalogue import build
from sightline.models.locate_versions import TRAINING, VERSIONS
from sightline.train.optim import parameter_groups


def small(version: str) -> Model:
    """A version at 64x64 with a backbone for tests."""
    section = ModelSection.model_validate(VERSIONS[version])
    assert section.input is not None
    clip = InputSpec((64, 64), section.input.fit, frames=section.input.frames)
    options = section.options | {"backbone": "test_efficientnet"}
    return build(section.name, classes=["shuttle"], inputs={"clip": clip}, **options)


def test_there_are_four_coarse_and_seven_fine_versions_with_their_training() -> None:
    names = [f"coarse-v{n}" for n in range(1, 5)] + [f"fine-v{n}" for n in range(1, 8)]
    assert list(VERSIONS) == names and set(TRAINING) == set(names)
    for training in TRAINING.values():
        TrainSection.model_validate(training)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_learns_and_answers(version: str) -> None:
    model = small(version)
    batch = made_batch(model.signature, 2)
    total(model.train().losses(batch)).backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == []
    answers = model.eval()(batch.inputs)
    assert answers["locate.points"].shape == (2, 1, 2) and torch.isfinite(answers["locate.points"]).all()


def test_backbone_and_head_learn_at_their_own_rates_and_biases_and_norms_do_not_decay() -> None:
    model = small("fine-v4")
    groups = parameter_groups(model, TrainSection(lr=1e-3, backbone_lr=1e-4, weight_decay=0.05))
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        rate = 1e-4 if name.startswith("net.") else 1e-3
        assert rates[id(parameter)] == (rate, 0.0 if parameter.ndim <= 1 else 0.05), name
