"""A class for every pixel: what all segmenters share, whatever their network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.base import Batch, Model, Tensors
from sightline.models.blocks import resize
from sightline.models.inputs import Specs, first_layer, need_classes, only_input, only_task
from sightline.models.losses import VOID, batch_mean, cross_entropy, dice, hard_cross_entropy

SegmentLoss = Literal["ce", "ohem", "dice", "ce+dice", "ohem+dice"]
MOST_CLASSES = 255

# loss -> the terms it sums, each (logits, labels, class weights) -> one value an element.
TERMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ce": lambda logits, labels, weights: cross_entropy(logits, labels, weights, ignore=VOID),
    "ohem": hard_cross_entropy,
    "dice": dice,
}


class SegmentNetwork(nn.Module):
    """Base of networks from centred pixels to maps: `logits` (B, C, h, w), `deep` (B, D, h', w'), and
    `aux` (B, C, h'', w'') in training where there is an auxiliary head.
    """

    def forward(self, *pixels: Tensor) -> Tensors:
        """Maps by name from (B, C, H, W), one argument an input of the model."""
        raise NotImplementedError

    def pretrained_part(self) -> nn.Module | None:
        """The part that pretrained weights fill."""
        return None


class Segmenter(Model):
    """Pixels to classes through any `SegmentNetwork`.

    Decoded: `segment.classes` (B, H, W) u8 at input size, the best class after bilinear enlargement;
    `embedding` (B, D), the mean of the deepest maps.

    Args:
        signature: task `segment`; answers are at the size of the first input.
        network: gives the maps.
        loss: terms to sum: cross-entropy (`ce`), over hard pixels only (`ohem`), soft `dice`.
        aux_weight: what the auxiliary head's loss counts.
    """

    def __init__(
        self, signature: Signature, network: SegmentNetwork, *, loss: SegmentLoss, aux_weight: float
    ) -> None:
        super().__init__(signature)
        self.first = nn.ModuleList(first_layer(spec) for spec in signature.inputs.values())
        self.net = network
        self.terms = loss.split("+")
        self.aux_weight = aux_weight

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """`logits` (and `aux` in training) at input size (B, C, H, W), `deep` (B, D)."""
        pixels = [layer(inputs[name]) for layer, name in zip(self.first, self.signature.inputs, strict=True)]
        maps = self.net(*pixels)
        out = {name: resize(maps[name], pixels[0]) for name in ("logits", "aux") if name in maps}
        return {**out, "deep": maps["deep"].mean((2, 3))}

    def decode(self, raw: Tensors) -> Tensors:
        """The best class of each pixel."""
        return {
            "segment.classes": raw["logits"].argmax(1).to(torch.uint8),
            "embedding": raw["deep"].float(),
        }

    def losses(self, batch: Batch) -> Tensors:
        """The chosen terms by name, and `aux`; void pixels do not count."""
        raw = self.raw(batch.inputs)
        labels = torch.stack([target["segment"] for target in batch.targets])
        per_term = segment_terms(self.terms, raw["logits"], labels, self.class_weights)
        per_example = torch.stack(list(per_term.values())).sum(0)
        out = {name: batch_mean(value, batch.weights) for name, value in per_term.items()}
        if "aux" in raw and self.aux_weight:
            aux = segment_terms(self.terms, raw["aux"], labels, self.class_weights)
            out["aux"] = self.aux_weight * batch_mean(torch.stack(list(aux.values())).sum(0), batch.weights)
        return {**out, "per_example": per_example.detach()}

    def backbone(self) -> nn.Module | None:
        """The encoder, where it is a timm network."""
        return self.net.pretrained_part()


def segment_terms(names: list[str], logits: Tensor, labels: Tensor, weights: Tensor) -> Tensors:
    """Terms (B,) by name for logits (B, C, H, W) and labels (B, H, W) with 255 void."""
    return {name: TERMS[name](logits, labels, weights) for name in names}


def segment_signature(
    name: str, tasks: tuple[Task, ...] | None, classes: tuple[str, ...], inputs: Specs | None
) -> Signature:
    """The signature of a segmenter, 512x512 unless told.

    Raises:
        ModelError: another task, other inputs, or more classes than an 8-bit map can name.
    """
    only_task(name, tasks, "segment")
    need_classes(name, classes, 2)
    if len(classes) > MOST_CLASSES:
        raise ModelError(f"{len(classes)} classes, a segment map names at most {MOST_CLASSES}", where=name)
    key, spec = only_input(name, inputs, InputSpec((512, 512)))
    return Signature(("segment",), classes, {key: spec})
