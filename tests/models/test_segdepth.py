from __future__ import annotations

import pytest
import torch

from contracts.made import made_batch
from contracts.model_contract import ModelContract
from sightline.core.errors import ModelError
from sightline.models.catalogue import build


class TestSegDepth(ModelContract):
    name = "segdepth"
    options = {"encoder": "test_resnet"}
    rate = 5e-3
    fall = 0.4


def test_a_picture_without_a_distance_map_teaches_classes_only() -> None:
    model = TestSegDepth.build((64, 48))
    batch = made_batch(model.signature, 2)
    for target in batch.targets:
        del target["depth"]
    terms = model.losses(batch)
    assert terms["depth"].item() == 0
    assert terms["ce"].item() > 0


def test_tasks_keep_the_order_asked_for() -> None:
    model = build("segdepth", ["depth", "segment"], ["a", "b"], encoder="test_resnet").eval()
    with torch.inference_mode():
        outputs = model(made_batch(model.signature, 1).inputs)
    assert list(outputs) == ["depth.metres", "segment.classes", "embedding"]


def test_one_task_alone_is_refused() -> None:
    with pytest.raises(ModelError, match="answers segment and depth, not depth"):
        build("segdepth", ["depth"], ["a", "b"])
