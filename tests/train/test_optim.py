from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from sightline.core.problem import TrainSection
from sightline.train.optim import Ema, backbone_layers, optimizer, parameter_groups, rate_factor, set_rates
from train.toys import TinyClassifier


def factors(steps: int, per_epoch: int, **section: object) -> list[float]:
    asked = TrainSection.model_validate(section)
    return [rate_factor(step, steps, per_epoch, asked) for step in range(steps)]


def test_warm_up_rises_evenly_and_the_cosine_ends_near_its_last_rate() -> None:
    found = factors(100, 10, schedule="cosine", warmup_epochs=1, final_lr=0.01)
    assert found[:10] == pytest.approx([(n + 1) / 11 for n in range(10)])
    assert found[10] == 1 and found[55] == pytest.approx(0.505)
    assert found[-1] == pytest.approx(0.01, abs=1e-3)
    assert all(a > b for a, b in pairwise(found[10:]))


def test_steps_fall_tenfold_at_their_epochs() -> None:
    found = factors(40, 10, schedule="step", step_epochs=(2, 3), warmup_epochs=0)
    assert found[19] == 1 and found[20] == pytest.approx(0.1) and found[30] == pytest.approx(0.01)


def test_one_cycle_peaks_once_at_its_share_and_constant_stays() -> None:
    found = factors(100, 10, schedule="one-cycle")
    assert max(found) == pytest.approx(1) and found.index(max(found)) == 30
    assert found[0] == pytest.approx(0.04)
    assert set(factors(20, 10, schedule="constant", warmup_epochs=0)) == {1.0}


def test_a_warm_up_longer_than_the_run_is_cut_to_half_of_it() -> None:
    found = factors(10, 10, schedule="cosine", warmup_epochs=5)
    assert max(found) == 1 and found.index(1) == 5


def test_biases_and_norms_do_not_decay_and_everything_else_does() -> None:
    model = TinyClassifier()
    groups = parameter_groups(model, TrainSection(weight_decay=0.1))
    decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        expected = 0.0 if name.endswith("bias") or name.split(".")[2:3] == ["1"] else 0.1
        assert decays[id(parameter)] == expected, name
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))


def test_the_backbone_learns_at_its_own_rate_and_deeper_layers_slower() -> None:
    model = TinyClassifier()
    section = TrainSection(lr=1.0, backbone_lr=0.1, layer_decay=0.5)
    rates = {id(p): g["base_lr"] for g in parameter_groups(model, section) for p in g["params"]}
    assert len(backbone_layers(model.body)) == 2
    assert rates[id(model.head.weight)] == 1.0
    assert rates[id(model.body[1][0].weight)] == pytest.approx(0.05)
    assert rates[id(model.body[0][0].weight)] == pytest.approx(0.025)


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_each_optimiser_is_the_one_named_and_follows_the_schedule(name: str, kind: str) -> None:
    chosen = optimizer(TinyClassifier(), TrainSection.model_validate({"optimizer": name, "lr": 0.5}))
    assert type(chosen).__name__ == kind
    assert set_rates(chosen, 0.1) == pytest.approx(0.05)
    assert [g["lr"] for g in chosen.param_groups] == pytest.approx([0.05, 0.05])


def test_the_average_follows_the_weights_and_forgets_the_first_ones() -> None:
    model = TinyClassifier()
    ema = Ema(model, 0.999)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(2.0)
    ema.update(model, 0)
    start = torch.full_like(ema.tensors["head.bias"], 2.0)
    assert ((ema.tensors["head.bias"] - start).abs() <= 0.1 * 2.4).all()
    for step in range(200):
        ema.update(model, step)
    assert torch.allclose(ema.tensors["head.weight"], model.head.weight, atol=1e-3)
    assert ema.tensors["body.0.1.num_batches_tracked"].dtype == torch.int64
