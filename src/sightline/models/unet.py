"""U-Net (Ronneberger et al. 2015) on a timm encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sightline.core.specs import Task
from sightline.models.backbones import Maps
from sightline.models.base import Model, Tensors
from sightline.models.blocks import conv_norm, resize, start_like_he
from sightline.models.inputs import Specs
from sightline.models.segment import Segmenter, SegmentLoss, SegmentNetwork, segment_signature

DECODER = (256, 128, 64, 32)


class UnetDecoder(nn.Module):
    """From maps at several strides, finest first, to one at the finest stride.

    Args:
        widths: channels of the maps, finest first.
        inner: channels of the steps up, coarsest first; the last repeats where there are more steps.

    Attributes:
        width: channels of what it gives.
    """

    def __init__(self, widths: Sequence[int], inner: Sequence[int] = DECODER) -> None:
        super().__init__()
        self.steps = nn.ModuleList()
        width = widths[-1]
        for place, skip in enumerate(reversed(widths[:-1])):
            wide = inner[min(place, len(inner) - 1)]
            self.steps.append(nn.Sequential(conv_norm(width + skip, wide), conv_norm(wide, wide)))
            width = wide
        self.width = width
        start_like_he(self)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps (B, width, h, w) at the finest stride."""
        out = maps[-1]
        for step, skip in zip(self.steps, reversed(maps[:-1]), strict=True):
            out = step(torch.cat([resize(out, skip), skip], 1))
        return out


class Unet(SegmentNetwork):
    """A timm encoder, steps up with skips, and a 1x1 head at the encoder's finest stride (mostly 2)."""

    def __init__(self, classes: int, encoder: str) -> None:
        super().__init__()
        self.encoder = Maps(encoder, least=2)
        self.decoder = UnetDecoder(self.encoder.widths)
        self.head = nn.Conv2d(self.decoder.width, classes, 1)

    def forward(self, *pixels: Tensor) -> Tensors:
        """`logits` at the finest stride, `deep` at the coarsest."""
        maps = self.encoder(*pixels)
        return {"logits": self.head(self.decoder(maps)), "deep": maps[-1]}

    def pretrained_part(self) -> nn.Module:
        """The timm encoder."""
        return self.encoder


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    encoder: str = "resnet34",
    loss: SegmentLoss = "ce+dice",
) -> Model:
    """A U-Net on the timm network `encoder`."""
    signature = segment_signature(name, tasks, classes, inputs)
    return Segmenter(signature, Unet(len(classes), encoder), loss=loss, aux_weight=0.0)
