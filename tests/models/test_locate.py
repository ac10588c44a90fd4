from __future__ import annotations

import pytest
import torch

from contracts.made import made_batch
from contracts.model_contract import ModelContract, total
from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec
from sightline.models.catalogue import build
from sightline.models.locate import cell_centres, soft_argmax

SMALL = {"backbone": "test_resnet", "width": 32}


class TestLocatorOfPictures(ModelContract):
    name = "locator"
    classes = ("ball",)
    options = SMALL
    rate = 4e-3


class TestLocatorOfStackedClips(ModelContract):
    name = "locator"
    classes = ("ball", "post")
    options = {**SMALL, "neck": "bifpn", "stride": 8}
    rate = 4e-3
    steps = 90

    @classmethod
    def specs(cls, size_wh: tuple[int, int]) -> dict[str, InputSpec]:
        return {"clip": InputSpec(size_wh, frames=3)}


class TestLocatorOfFeaturesPerFrame(TestLocatorOfStackedClips):
    options = {**SMALL, "fusion": "features", "loss": "heatmap"}


def test_a_sharp_heatmap_gives_its_cell_in_placed_pixels() -> None:
    heat = torch.full((2, 1, 6, 8), -50.0)
    heat[0, 0, 1, 2] = heat[1, 0, 5, 7] = 50.0
    assert soft_argmax(heat, 8).tolist() == [[[20.0, 12.0]], [[60.0, 44.0]]]


def test_sharpening_removes_the_pull_of_spread_mass_to_the_middle() -> None:
    grid = cell_centres(torch.zeros(50, 80), 4)
    away = (grid - torch.tensor([40.0, 30.0])) / 4
    peak = (-0.5 * away.square().sum(1)).softmax(0)
    heat = (0.97 * peak + 0.03 / len(grid)).log().view(1, 1, 50, 80)
    plain = soft_argmax(heat, 4)[0, 0] - torch.tensor([40.0, 30.0])
    sharp = soft_argmax(2 * heat, 4)[0, 0] - torch.tensor([40.0, 30.0])
    assert plain.norm() > 3
    assert sharp.norm() < 0.1


def test_hidden_points_teach_visibility_only() -> None:
    model = TestLocatorOfPictures.build((64, 48))
    batch = made_batch(model.signature, 2)
    for target in batch.targets:
        target["visible"][:] = 0
    terms = model.losses(batch)
    assert terms["heatmap"].item() == terms["distance"].item() == 0
    for target in batch.targets:
        target["points"] += 9
    assert total(model.losses(batch)).item() == pytest.approx(total(terms).item())


def test_a_backbone_that_cannot_give_the_maps_is_refused() -> None:
    with pytest.raises(ModelError, match="works at one size only; choose a convolutional one"):
        build("locator", classes=["ball"], backbone="test_vit", stride=4)
    with pytest.raises(ModelError, match="no timm backbone; did you mean 'resnet50'"):
        build("locator", classes=["ball"], backbone="resnet5o")
