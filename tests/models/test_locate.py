from __future__ import annotations

import pytest
import torch

from contracts.made import made_batch
from contracts.model_contract import ModelContract, total
from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec
from sightline.models.catalogue import build
from sightline.models.locate_parts import (
    cell_centres,
    foreseen,
    mean_place,
    peak_map,
    soft_argmax,
    track_features,
)

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


class TestLocateCoarseWithThePastAsAPeak(ModelContract):
    name = "locate-coarse"
    classes = ("ball",)
    options = {**SMALL, "neck": "bifpn", "stride": 4, "prior": "last"}
    rate = 4e-3


class TestLocateFineWithPriorAndFilm(ModelContract):
    name = "locate-fine"
    classes = ("ball",)
    options = {
        **SMALL,
        "deepest": 32,
        "stride": 16,
        "prior": "quadratic",
        "film": True,
        "visibility": "linear",
    }
    rate = 4e-3
    steps = 90


class TestLocateFineOfFourStages(ModelContract):
    name = "locate-fine"
    classes = ("ball",)
    options = {**SMALL, "deepest": 32, "stride": 4, "neck": "bifpn", "rounds": 4, "prior": "quadratic"}
    rate = 4e-3


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


def test_losses_and_decoding_mean_the_same_place() -> None:
    heat = torch.randn(3, 2, 9, 14, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(mean_place(heat, 8), soft_argmax(heat, 8), atol=1e-3)


def test_the_past_foretells_by_as_much_as_was_seen_of_it() -> None:
    track = torch.tensor(
        [
            [[1.0, 0.0, 1.0], [4.0, 1.0, 1.0], [9.0, 4.0, 1.0]],  # squares: 16 and 9 are next
            [[0.0, 0.0, 0.0], [4.0, 1.0, 1.0], [9.0, 4.0, 1.0]],
            [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [9.0, 4.0, 1.0]],
            [[1.0, 0.0, 1.0], [4.0, 1.0, 1.0], [0.0, 0.0, 0.0]],
        ]
    )
    place, known = foreseen(track, "quadratic")
    assert place[:3].tolist() == [[16, 9], [14, 7], [9, 4]] and known.tolist() == [1, 1, 1, 0]
    assert foreseen(track, "last")[0][:3].tolist() == [[9, 4]] * 3


def test_a_peak_lies_where_it_is_foreseen_and_nowhere_when_unknown() -> None:
    place, known = torch.tensor([[20.0, 44.0], [20.0, 44.0]]), torch.tensor([1.0, 0.0])
    first, second = peak_map(place, known, torch.zeros(2, 5, 6, 8), 8)
    assert first[0].flatten().argmax() == 5 * 8 + 2 and first.max() == 1
    assert second.abs().max() == 0


def test_hidden_rows_of_the_track_say_nothing() -> None:
    track = torch.tensor([[[10.0, 10.0, 1.0], [0.0, 0.0, 0.0], [20.0, 12.0, 1.0]]])
    wrong = track.clone()
    wrong[0, 1, :2] = 500.0
    assert torch.equal(track_features(track, (64, 48)), track_features(wrong, (64, 48)))


def test_a_track_that_is_not_read_or_of_another_length_is_refused() -> None:
    clip = {"clip": InputSpec((64, 48), frames=3)}
    two = {**clip, "track": InputSpec((1, 1), pixels="track", frames=2)}
    with pytest.raises(ModelError, match="reads no track 'track'"):
        build("locate-coarse", classes=["ball"], inputs=two, backbone="test_resnet")
    with pytest.raises(ModelError, match="'track' of 3 frames"):
        build("locate-coarse", classes=["ball"], inputs=two, backbone="test_resnet", prior="quadratic")
    with pytest.raises(ModelError, match="stride 16 is above the deepest map's, 8"):
        build("locate-fine", classes=["ball"], backbone="test_resnet", stride=16, deepest=8)


def test_motion_shows_what_changed_and_nothing_of_a_still_clip() -> None:
    spec = InputSpec((64, 32), frames=3)
    model = build("locator", classes=("ball",), inputs={"clip": spec}, backbone="lcnet_035", motion=True)
    first = next(p for p in model.backbone().parameters() if p.ndim == 4)  # type: ignore[union-attr]
    assert first.shape[1] == 3 * 3 + 2
    shown: list[torch.Tensor] = []
    model.net.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))  # type: ignore[operator]
    still = torch.randint(0, 255, (1, 1, 32, 64, 3), dtype=torch.uint8).expand(1, 3, 32, 64, 3).clone()
    moved = still.clone()
    moved[:, -1, 8:12, 20:24] = 255 - moved[:, -1, 8:12, 20:24]
    for clip in (still, moved):
        model.raw({"clip": clip})
    assert not shown[0][:, -2:].any()
    changed = shown[1][:, -2:].abs().amax(1)[0] > 0
    assert changed[8:12, 20:24].float().mean() > 0.9 and int(changed.sum()) <= 16


def test_a_point_that_nobody_looked_for_teaches_nothing() -> None:
    model = build("locator", classes=("ball",), inputs={"image": InputSpec((64, 32))}, **SMALL)
    batch = made_batch(model.signature, 2)
    for target in batch.targets:
        target["visible"], target["known"] = torch.zeros(1), torch.zeros(1)
    assert total(model.losses(batch)).item() == 0
