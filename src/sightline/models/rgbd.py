"""Classes of pixels from a colour picture and a depth picture of the same view."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.backbones import Maps
from sightline.models.base import Model, Tensors
from sightline.models.blocks import conv_norm, resize
from sightline.models.inputs import Specs, need_classes, only_task
from sightline.models.segment import Segmenter, SegmentLoss, SegmentNetwork
from sightline.models.unet import UnetDecoder


class RgbdUnet(SegmentNetwork):
    """Two timm encoders, joined by a 1x1 convolution at each stride, and one U-Net decoder.

    Args:
        classes: number of classes.
        encoder: of the colour picture.
        depth_encoder: of the depth picture, which is read as two channels (`inputs.Depth`).
    """

    def __init__(self, classes: int, encoder: str, depth_encoder: str) -> None:
        super().__init__()
        self.colour = Maps(encoder, least=2)
        self.depth = Maps(depth_encoder, least=2, channels_in=2)
        if self.colour.strides != self.depth.strides:
            raise ModelError(
                f"encoders {encoder!r} and {depth_encoder!r} give maps of different strides: "
                f"{self.colour.strides} and {self.depth.strides}"
            )
        pairs = zip(self.colour.widths, self.depth.widths, strict=True)
        self.join = nn.ModuleList(conv_norm(a + b, a, 1) for a, b in pairs)
        self.decoder = UnetDecoder(self.colour.widths)
        self.head = nn.Conv2d(self.decoder.width, classes, 1)

    def forward(self, *pixels: Tensor) -> Tensors:
        """`logits` at the finest stride, `deep` at the coarsest."""
        colour, depth = pixels
        maps = [
            join(torch.cat([a, resize(b, a)], 1))
            for join, a, b in zip(self.join, self.colour(colour), self.depth(depth), strict=True)
        ]
        return {"logits": self.head(self.decoder(maps)), "deep": maps[-1]}

    def pretrained_part(self) -> nn.Module:
        """The encoder of the colour picture."""
        return self.colour


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    encoder: str = "resnet18",
    depth_encoder: str = "resnet18",
    sensors: tuple[str, str] = ("rgb", "depth"),
    loss: SegmentLoss = "ce",
) -> Model:
    """A segmenter of colour and depth, 320x240 unless told.

    `sensors` names the records that feed each input. One colour input given alone gets a depth input
    of the same size and fit beside it. Both pictures must show the same view: they are placed alike.
    """
    only_task(name, tasks, "segment")
    need_classes(name, classes, 2)
    specs = _specs(name, inputs, sensors)
    network = RgbdUnet(len(classes), encoder, depth_encoder)
    return Segmenter(Signature(("segment",), classes, specs), network, loss=loss, aux_weight=0.0)


def _specs(name: str, inputs: Specs | None, sensors: tuple[str, str]) -> Specs:
    """`image` and `depth`, in this order."""
    given = dict(inputs or {"image": InputSpec((320, 240))})
    colour = given.get("image")
    if colour is None or set(given) - {"image", "depth"} or colour.pixels == "depth16" or colour.frames > 1:
        raise ModelError(
            f"reads a picture 'image' and 'depth', not {', '.join(given)}", where=f"model {name!r}"
        )
    colour = replace(colour, sensor=colour.sensor or sensors[0])
    beside = replace(colour, pixels="depth16", pad=0, sensor=sensors[1])
    depth = given.get("depth", beside)
    if depth.pixels != "depth16":
        raise ModelError(f"reads depth16, not {depth.pixels}", where=f"model {name!r}, input 'depth'")
    return {"image": colour, "depth": depth}
