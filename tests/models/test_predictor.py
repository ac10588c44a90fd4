from __future__ import annotations

import numpy as np
import torch

from sightline.core.results import ClassScores, same
from sightline.models.catalogue import build
from sightline.models.predictor import torch_predictor


def test_a_predictor_leaves_no_gradients_and_forgets_training_mode() -> None:
    model = build("test_resnet", classes=("a", "b"))
    predictor = torch_predictor(model)
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    first = predictor.predict([{"image": picture}])[0]["classify"]
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    second = predictor.predict([{"image": picture}])[0]["classify"]
    assert isinstance(first, ClassScores) and same(first, second)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_read_only_inputs_are_taken() -> None:
    predictor = torch_predictor(build("test_resnet", classes=("a", "b")))
    placed = np.zeros((1, 224, 224, 3), np.uint8)
    placed.setflags(write=False)
    assert predictor.infer({"image": placed})["classify.scores"].shape == (1, 2)
