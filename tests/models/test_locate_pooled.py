from __future__ import annotations

import pytest
import torch

from contracts.made import made_batch
from contracts.model_contract import ModelContract, total
from sightline.core.specs import InputSpec
from sightline.models.catalogue import build
from sightline.models.locate_pooled import _nearness

SMALL = {"backbone": "test_resnet", "hidden": [64]}


class TestPooledLocatorOfClips(ModelContract):
    name = "locate-pooled"
    classes = ("ball", "post")
    options = SMALL
    steps = 120
    bar = 0.6

    @classmethod
    def specs(cls, size_wh: tuple[int, int]) -> dict[str, InputSpec]:
        own = super().specs(size_wh)
        return {**own, "clip": InputSpec(size_wh, fit="stretch", frames=2)}


class TestPooledLocatorOfThreeGuesses(ModelContract):
    name = "locate-pooled"
    classes = ("ball",)
    options = {**SMALL, "past": "raw", "heads": "two", "guesses": 3, "margin": 0.0}
    steps = 120
    bar = 0.6

    @classmethod
    def specs(cls, size_wh: tuple[int, int]) -> dict[str, InputSpec]:
        return {"image": InputSpec(size_wh, fit="stretch")}


def test_an_error_within_the_margin_costs_nothing_and_beyond_it_only_the_rest() -> None:
    free, strict = (
        build(
            "locate-pooled",
            classes=["ball"],
            inputs={"image": InputSpec((64, 48))},
            past="none",
            margin=margin,
            **SMALL,
        )
        for margin in (0.9, 0.1)
    )
    strict.load_state_dict(free.state_dict())
    batch = made_batch(free.signature, 3)
    for target in batch.targets:
        target["visible"][:] = 1
        target["points"][:] = torch.tensor([0.0, 0.0])
    terms, tight = free.losses(batch), strict.losses(batch)
    assert terms["distance"].item() == 0
    places = strict.raw(batch.inputs)["places"].detach().flatten(1)
    assert tight["distance"].item() == pytest.approx(
        float((places.norm(dim=1) - 0.1).relu().mean()), abs=1e-4
    )
    assert torch.isfinite(total(tight))


def test_guesses_that_fall_together_cost_one_and_far_apart_nothing() -> None:
    together = torch.full((1, 1, 3, 2), 0.4)
    apart = torch.tensor([[[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]])
    assert _nearness(together).item() == pytest.approx(1)
    assert _nearness(apart).item() < 1e-6


def test_the_answer_is_the_guess_of_the_highest_score_in_placed_pixels() -> None:
    options = {**SMALL, "guesses": 3, "past": "none"}
    model = build("locate-pooled", classes=["a", "b"], inputs={"image": InputSpec((100, 50))}, **options)
    places = torch.tensor([[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], [[0.7, 0.8], [0.9, 1.0], [0.0, 0.0]]])
    scores = torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    raw = {
        "places": places[None],
        "scores": scores[None],
        "seen": torch.zeros(1, 2),
        "deep": torch.zeros(1, 4),
    }
    assert torch.allclose(model.decode(raw)["locate.points"][0], torch.tensor([[30.0, 20.0], [70.0, 40.0]]))
