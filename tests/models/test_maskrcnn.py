from __future__ import annotations

import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from contracts.model_contract import ModelContract
from sightline.models.base import Model
from sightline.models.catalogue import build
from sightline.models.regions import ElementSampler, crop_masks, pool_regions


class TestMaskRcnn(ModelContract):
    name = "maskrcnn"
    options = {"backbone": "resnet18", "width": 16, "anchor": 4, "regions": 16, "proposals": 24, "rows": 8}
    steps = 45
    published = (44.4, 1)

    @classmethod
    def published_model(cls) -> Model:
        return build("maskrcnn", classes=[str(i) for i in range(90)], frozen_norms=True)


def test_a_checkpoint_of_torchvision_fits_name_by_name() -> None:
    with torch.device("meta"):
        theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91).state_dict()
    ours = build("maskrcnn", classes=[str(i) for i in range(90)]).state_dict()
    shapes = {
        name.removeprefix("net."): value.shape for name, value in ours.items() if name.startswith("net.")
    }
    assert shapes == {name: value.shape for name, value in theirs.items()}


def test_labels_of_one_picture_do_not_change_what_is_drawn_for_another() -> None:
    labels = [torch.randint(-1, 3, (200,)) for _ in range(3)]
    sampler = ElementSampler(32, 0.5)
    torch.manual_seed(0)
    positive, negative = sampler(labels)
    torch.manual_seed(0)
    other_positive, other_negative = sampler([labels[0], torch.zeros(50), labels[2]])
    for i in (0, 2):
        assert torch.equal(positive[i], other_positive[i]) and torch.equal(negative[i], other_negative[i])
        assert int(positive[i].sum()) == 16 and int(negative[i].sum()) == 16
        assert (labels[i][positive[i] > 0] > 0).all() and (labels[i][negative[i] > 0] == 0).all()


def test_both_ways_to_pool_regions_agree() -> None:
    torch.manual_seed(0)
    maps = [torch.randn(2, 3, 64 >> i, 80 >> i) for i in range(4)]
    corner = torch.rand(20, 2) * 100
    boxes = torch.cat([corner, corner + torch.rand(20, 2) * 220], 1)
    owners = torch.randint(0, 2, (20,))
    pooled = [pool_regions(maps, (4, 8, 16, 32), boxes, owners, 7, fixed=f) for f in (True, False)]
    assert torch.allclose(*pooled, atol=1e-6)


def test_a_mask_is_cut_by_its_box() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 2:6, 2:4] = True
    part = crop_masks(mask, torch.tensor([0]), torch.tensor([[2.0, 2.0, 6.0, 6.0]]), 4)
    assert part[0, :, 0].tolist() == pytest.approx([1.0] * 4)
    assert part[0, :, 3].tolist() == pytest.approx([0.0] * 4)
