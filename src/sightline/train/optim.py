"""Optimisers, which parameters decay and how fast each learns, and the schedule over steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sightline.core.problem import TrainSection
from sightline.models.base import Model

Group = dict[str, Any]

ONE_CYCLE_RISE = 0.3  # share of the steps that the rate rises
ONE_CYCLE_START = 0.04
STEP_FACTOR = 0.1


def optimizer(model: Model, section: TrainSection) -> torch.optim.Optimizer:
    """The problem's optimiser over the model's parameter groups.

    SGD has Nesterov momentum; Adam decays through the gradient, AdamW apart from it (Loshchilov and
    Hutter 2019).
    """
    groups = parameter_groups(model, section)
    if section.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=section.lr, momentum=section.momentum, nesterov=section.momentum > 0
        )
    kind = torch.optim.AdamW if section.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=section.lr, betas=(section.momentum, 0.999))


def parameter_groups(model: Model, section: TrainSection) -> list[Group]:
    """Parameters by learning rate and decay, each group with `lr`, `base_lr` and `weight_decay`.

    Biases, norms and other vectors do not decay. The backbone learns at `backbone_lr` where it is set, and
    with `layer_decay` below 1 each of its layers at that share of the layer above it.
    """
    rates = backbone_rates(model, section)
    found: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter, decays in _trainable(model):
        del name
        rate = rates.get(id(parameter), section.lr)
        found.setdefault((rate, decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rate,
            "base_lr": rate,
            "weight_decay": section.weight_decay if decays else 0.0,
        }
        for (rate, decays), parameters in found.items()
    ]


def _trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """Name, parameter and whether it decays, of everything that learns."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter, parameter.ndim > 1 and not name.endswith("bias")


def backbone_rates(model: Model, section: TrainSection) -> dict[int, float]:
    """Learning rate by parameter id for the backbone's parameters; empty where there is no backbone."""
    backbone = model.backbone()
    if backbone is None:
        return {}
    base = section.backbone_lr or section.lr
    layers = backbone_layers(backbone)
    rates: dict[int, float] = {}
    for depth, layer in enumerate(layers):
        rate = base * section.layer_decay ** (len(layers) - depth)
        rates |= {id(parameter): rate for parameter in layer}
    return rates


def backbone_layers(backbone: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters of each layer from input to output: children in order, each block of a sequence apart."""
    layers: list[list[nn.Parameter]] = [list(backbone.parameters(recurse=False))]
    sequences = nn.Sequential | nn.ModuleList
    for child in backbone.children():
        whole = isinstance(backbone, sequences) or not isinstance(child, sequences)
        layers += [list(block.parameters()) for block in ([child] if whole else child.children())]
    return [layer for layer in layers if layer]


def rate_factor(step: int, steps: int, per_epoch: int, section: TrainSection) -> float:
    """What multiplies every base rate at optimiser step `step` of `steps`, 0-based.

    After a linear warm-up: `cosine` falls to `final_lr`, `step` falls tenfold at each of `step_epochs`,
    `constant` stays. `one-cycle` (Smith and Topin 2018) rises over its first part and has no other
    warm-up.
    """
    if section.schedule == "one-cycle":
        rise = max(1.0, steps * ONE_CYCLE_RISE)
        if step < rise:
            return _cosine(ONE_CYCLE_START, 1.0, step / rise)
        return _cosine(1.0, section.final_lr, (step - rise) / max(1.0, steps - rise))
    warm = min(section.warmup_epochs * per_epoch, steps / 2)
    if step < warm:
        return (step + 1) / (warm + 1)
    if section.schedule == "cosine":
        return _cosine(1.0, section.final_lr, (step - warm) / max(1.0, steps - warm))
    if section.schedule == "step":
        passed = sum(step >= epoch * per_epoch for epoch in section.step_epochs)
        return float(STEP_FACTOR**passed)
    return 1.0


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def set_rates(chosen: Any, factor: float) -> float:
    """Scale every group's rate from its base; returns the largest."""
    for group in chosen.param_groups:
        group["lr"] = group["base_lr"] * factor
    return float(max(group["lr"] for group in chosen.param_groups))


class Ema:
    """Moving average of a model's weights and buffers (Polyak), younger at the start.

    The decay at step n is min(decay, (1 + n) / (10 + n)), so that the first weights are forgotten.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: Model, step: int) -> None:
        """Move towards the model's weights; whole numbers are taken as they are."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine: list[torch.Tensor] = []
        theirs: list[torch.Tensor] = []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                mine.append(self.tensors[name])
                theirs.append(value.detach())
            else:
                self.tensors[name].copy_(value)
        torch._foreach_lerp_(mine, theirs, 1 - decay)
