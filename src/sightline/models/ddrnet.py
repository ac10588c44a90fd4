"""DDRNet: two branches, one fine and one coarse, that exchange what they see (Hong et al. 2021,
"Deep Dual-resolution Networks for Real-time and Accurate Semantic Segmentation of Road Scenes").
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from sightline.core.specs import Task
from sightline.models.base import Model, Tensors
from sightline.models.blocks import conv_norm, norm_conv, resize, start_like_he
from sightline.models.inputs import Specs
from sightline.models.segment import Segmenter, SegmentLoss, SegmentNetwork, segment_signature

POOLS = ((5, 2), (9, 4), (17, 8))
# Name -> (width of the first stage, width of the head).
SIZES = {"ddrnet_23_slim": (32, 64), "ddrnet_23": (64, 128)}


class Basic(nn.Module):
    """Residual block of two 3x3 convolutions; the last ReLU may be left to what follows."""

    def __init__(self, width_in: int, width: int, stride: int = 1, *, act: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_norm(width_in, width, 3, stride), conv_norm(width, width, act=False))
        same = stride == 1 and width_in == width
        self.skip = nn.Identity() if same else conv_norm(width_in, width, 1, stride, act=False)
        self.act = nn.ReLU() if act else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, width, H / stride, W / stride)."""
        out: Tensor = self.act(self.body(maps) + self.skip(maps))
        return out


class Bottleneck(nn.Module):
    """Residual block 1x1, 3x3, 1x1 that doubles the width; without a last ReLU."""

    def __init__(self, width_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm(width_in, width, 1),
            conv_norm(width, width, 3, stride),
            conv_norm(width, 2 * width, 1, act=False),
        )
        self.skip = conv_norm(width_in, 2 * width, 1, stride, act=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, 2 width, H / stride, W / stride)."""
        out: Tensor = self.body(maps) + self.skip(maps)
        return out


def stage(width_in: int, width: int, stride: int = 1) -> nn.Sequential:
    """Two basic blocks, the last without its ReLU: fusion comes first."""
    return nn.Sequential(Basic(width_in, width, stride), Basic(width, width, act=False))


class Fusion(nn.Module):
    """Bilateral fusion: each branch gets the other's maps, brought to its width and resolution.

    Args:
        fine: width of the fine branch.
        coarse: width of the coarse branch.
        steps: widths of the strided convolutions from fine to coarse, the last is `coarse`.
    """

    def __init__(self, fine: int, coarse: int, steps: tuple[int, ...]) -> None:
        super().__init__()
        widths = (fine, *steps)
        self.down = nn.Sequential(
            *(
                conv_norm(a, b, 3, 2, act=i < len(steps) - 1)
                for i, (a, b) in enumerate(zip(widths, steps, strict=False))
            )
        )
        self.up = conv_norm(coarse, fine, 1, act=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Both branches with the other's part added."""
        # Odd sizes: a strided convolution and a strided stage round alike, so the sums fit.
        return fine + resize(self.up(coarse.relu()), fine), coarse + self.down(fine.relu())


class Dappm(nn.Module):
    """Deep aggregation pyramid pooling: context at five scales, each refined with the one below it."""

    def __init__(self, width_in: int, inner: int, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList([norm_conv(width_in, inner)])
        self.scales += [
            nn.Sequential(nn.AvgPool2d(kernel, stride, kernel // 2), norm_conv(width_in, inner))
            for kernel, stride in POOLS
        ]
        self.scales.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), norm_conv(width_in, inner)))
        self.refine = nn.ModuleList([norm_conv(inner, inner, 3) for _ in range(len(POOLS) + 1)])
        self.squeeze = norm_conv(inner * len(self.scales), width)
        self.skip = norm_conv(width_in, width)

    def forward(self, maps: Tensor) -> Tensor:
        """Context maps (B, width, H, W)."""
        found = [self.scales[0](maps)]
        for scale, refine in zip(list(self.scales)[1:], self.refine, strict=True):
            found.append(refine(resize(scale(maps), maps) + found[-1]))
        out: Tensor = self.squeeze(torch.cat(found, 1)) + self.skip(maps)
        return out


class DualResolution(SegmentNetwork):
    """The 23-layer network.

    Args:
        classes: number of classes.
        width: channels of the first stage (32 slim, 64 full).
        head: channels of the head (64 slim, 128 full).
        aux: whether there is an auxiliary head on the fine branch after the first fusion.
    """

    def __init__(self, classes: int, width: int, head: int, *, aux: bool) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(conv_norm(3, w, 3, 2), conv_norm(w, w, 3, 2), stage(w, w), nn.ReLU())
        self.shared = nn.Sequential(stage(w, 2 * w, 2), nn.ReLU())
        self.fine = nn.ModuleList([stage(2 * w, 2 * w), stage(2 * w, 2 * w), Bottleneck(2 * w, 2 * w)])
        self.coarse = nn.ModuleList(
            [stage(2 * w, 4 * w, 2), stage(4 * w, 8 * w, 2), Bottleneck(8 * w, 8 * w, 2)]
        )
        self.fusions = nn.ModuleList([Fusion(2 * w, 4 * w, (4 * w,)), Fusion(2 * w, 8 * w, (4 * w, 8 * w))])
        self.context = Dappm(16 * w, 128, 4 * w)
        self.head = segment_head(4 * w, head, classes)
        self.aux_head = segment_head(2 * w, head, classes) if aux else None
        start_like_he(self)

    def forward(self, *pixels: Tensor) -> Tensors:
        """`logits` at an eighth of the input, `deep`, and `aux` in training."""
        shared = self.shared(self.stem(*pixels))
        fine, coarse = self.fusions[0](self.fine[0](shared), self.coarse[0](shared))
        middle = fine
        fine, coarse = self.fusions[1](self.fine[1](fine.relu()), self.coarse[1](coarse.relu()))
        deep = self.context(self.coarse[2](coarse.relu()))
        fine = self.fine[2](fine.relu()) + resize(deep, fine)
        out = {"logits": self.head(fine), "deep": deep}
        if self.training and self.aux_head is not None:
            out["aux"] = self.aux_head(middle)
        return out


def segment_head(width_in: int, inner: int, classes: int) -> nn.Sequential:
    """From maps to logits: normalise, 3x3, normalise, 1x1."""
    last = norm_conv(inner, classes)
    last[-1] = nn.Conv2d(inner, classes, 1)
    return nn.Sequential(norm_conv(width_in, inner, 3), last)


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    loss: SegmentLoss = "ohem",
    aux_weight: Annotated[float, Field(ge=0)] = 0.4,
) -> Model:
    """DDRNet-23-slim or DDRNet-23, by name. The auxiliary head is absent where `aux_weight` is 0."""
    signature = segment_signature(name, tasks, classes, inputs)
    width, head = SIZES[name]
    network = DualResolution(len(classes), width, head, aux=aux_weight > 0)
    return Segmenter(signature, network, loss=loss, aux_weight=aux_weight)
