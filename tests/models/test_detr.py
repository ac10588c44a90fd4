from __future__ import annotations

import pytest
import torch

from contracts.made import made_batch
from contracts.model_contract import ModelContract
from sightline.core.errors import ModelError
from sightline.models.catalogue import build
from sightline.models.matching import generalised_iou, match, to_centres, to_corners


class TestDetr(ModelContract):
    name = "detr"
    classes = ("ground", "ball", "post")
    options = {
        "backbone": "test_resnet",
        "stride": 8,
        "width": 64,
        "queries": 8,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "heads": 4,
        "stuff": ("ground",),
    }
    steps = 150
    rate = 1.5e-3


def test_rows_of_one_stuff_class_are_one_segment() -> None:
    model = TestDetr.build((64, 48))
    logits = torch.tensor([[[8.0, 0, 0, 0], [0, 8.0, 0, 0], [7.0, 0, 0, 0], [0, 7.0, 0, 0], [0, 0, 0, 9.0]]])
    raw = {
        "logits": logits[:, None],
        "boxes": torch.full((1, 1, 5, 4), 0.5),
        "mask": torch.eye(5)[None],
        "pixels": torch.full((1, 5, 48, 64), -9.0),
        "deep": torch.zeros(1, 64),
    }
    for query in range(5):
        raw["pixels"][0, query, :, 12 * query : 12 * (query + 1)] = 9.0
    answers = model.decode(raw)
    columns = answers["panoptic.segments"][0, 24, 5::12].tolist()
    classes = answers["panoptic.classes"][0]
    assert columns[0] == columns[2] and classes[columns[0]] == 0
    assert columns[1] != columns[3] and classes[columns[1]] == classes[columns[3]] == 1


def test_least_cost_pairs_each_object_with_its_query() -> None:
    boxes = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.2, 0.2], [0.5, 0.5, 0.5, 0.5]])
    rows, columns = match(torch.zeros(3, 3), boxes, torch.tensor([0, 1]), boxes[[1, 0]])
    assert dict(zip(columns.tolist(), rows.tolist(), strict=True)) == {0: 1, 1: 0}


def test_values_that_are_not_finite_do_not_stop_the_assignment() -> None:
    rows, _ = match(torch.full((3, 3), torch.nan), torch.rand(3, 4), torch.tensor([0]), torch.rand(1, 4))
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("b", "expected"), [([0, 0, 2, 2], 1.0), ([2, 0, 4, 2], 0.0), ([6, 0, 8, 2], -0.5), ([0, 0, 2, 1], 0.5)]
)
def test_generalised_overlap_of_known_boxes(b: list[float], expected: float) -> None:
    a = torch.tensor([0.0, 0, 2, 2])
    assert generalised_iou(a, torch.tensor(b, dtype=torch.float32)).item() == pytest.approx(expected)


def test_centres_and_corners_undo_each_other() -> None:
    boxes = torch.rand(20, 4)
    assert torch.allclose(to_centres(to_corners(boxes)), boxes, atol=1e-6)


def test_detections_alone_need_no_mask_head() -> None:
    model = build("detr", ["detect"], ["a"], backbone="test_resnet", stride=8, width=32, heads=4)
    assert not any(name.startswith("mask") for name, _ in model.named_parameters())
    assert torch.isfinite(model.losses(made_batch(model.signature, 1))["class"])


def test_stuff_that_is_no_class_is_refused() -> None:
    with pytest.raises(ModelError, match="stuff sky must be classes"):
        build("detr", None, ["a"], stuff=["sky"])
