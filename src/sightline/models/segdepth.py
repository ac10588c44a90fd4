"""One network, two dense answers: the class and the distance of every pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.backbones import Maps
from sightline.models.base import Batch, Model, Tensors
from sightline.models.blocks import resize
from sightline.models.inputs import Specs, first_layer, need_classes, only_input
from sightline.models.losses import batch_mean, log_depth
from sightline.models.segment import SegmentLoss, segment_terms
from sightline.models.unet import UnetDecoder

LOG_RANGE = (-4.6, 6.9)  # a centimetre to a kilometre


class SegDepth(Model):
    """A U-Net trunk with one 1x1 head for classes and one for the logarithm of the distance.

    Decoded: `segment.classes` (B, H, W) u8, `depth.metres` (B, H, W) f32, `embedding` (B, D).

    Args:
        signature: tasks `segment` and `depth`, one colour or grey input.
        encoder: a preset or any timm name that offers maps.
        loss: terms of the classes.
        depth_weight: what the distance's term counts beside them.
    """

    def __init__(self, signature: Signature, encoder: str, *, loss: SegmentLoss, depth_weight: float) -> None:
        super().__init__(signature)
        self.input, spec = next(iter(signature.inputs.items()))
        self.first = first_layer(spec)
        self.encoder = Maps(encoder, least=2)
        self.decoder = UnetDecoder(self.encoder.widths)
        self.classes = nn.Conv2d(self.decoder.width, len(signature.classes), 1)
        self.distance = nn.Conv2d(self.decoder.width, 1, 1)
        self.terms, self.depth_weight = loss.split("+"), depth_weight

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """At input size: `logits` (B, C, H, W) and `log_metres` (B, H, W); and `deep` (B, D)."""
        pixels = self.first(inputs[self.input])
        maps = self.encoder(pixels)
        trunk = self.decoder(maps)
        log_metres = resize(self.distance(trunk), pixels)[:, 0]
        return {
            "logits": resize(self.classes(trunk), pixels),
            "log_metres": log_metres.float().clamp(*LOG_RANGE),
            "deep": maps[-1].mean((2, 3)),
        }

    def decode(self, raw: Tensors) -> Tensors:
        """The best class and the distance of each pixel."""
        answers = {
            "segment.classes": raw["logits"].argmax(1).to(torch.uint8),
            "depth.metres": raw["log_metres"].exp(),
        }
        return {**{n: answers[n] for n in self.signature.outputs}, "embedding": raw["deep"].float()}

    def losses(self, batch: Batch) -> Tensors:
        """Terms of the classes by name, and `depth`, the difference of logarithms where it is known.

        A picture without a distance map teaches classes only.
        """
        raw = self.raw(batch.inputs)
        labels = torch.stack([target["segment"] for target in batch.targets])
        unknown = torch.zeros(labels.shape[1:], device=labels.device)
        metres = torch.stack([target.get("depth", unknown) for target in batch.targets])
        per_term = segment_terms(self.terms, raw["logits"], labels, self.class_weights)
        per_term["depth"] = self.depth_weight * log_depth(raw["log_metres"], metres)
        out = {name: batch_mean(value, batch.weights) for name, value in per_term.items()}
        return {**out, "per_example": torch.stack(list(per_term.values())).sum(0).detach()}

    def backbone(self) -> nn.Module:
        """The timm encoder."""
        return self.encoder


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    encoder: str = "resnet18",
    loss: SegmentLoss = "ce",
    depth_weight: Annotated[float, Field(gt=0)] = 1.0,
) -> Model:
    """Classes and distances of pixels; 320x240 unless told."""
    order: tuple[Task, ...] = tasks or ("segment", "depth")
    if sorted(order) != ["depth", "segment"]:
        raise ModelError(f"answers segment and depth, not {', '.join(order)}", where=f"model {name!r}")
    need_classes(name, classes, 2)
    key, spec = only_input(name, inputs, InputSpec((320, 240)))
    return SegDepth(Signature(order, classes, {key: spec}), encoder, loss=loss, depth_weight=depth_weight)
