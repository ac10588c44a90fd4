"""Parts of one-stage detectors: a cross-stage-partial backbone and a path aggregation neck.

Wang et al. 2020 (CSPNet), He et al. 2015 (SPP), Liu et al. 2018 (PANet).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Size:
    """Channels at strides 2, 4, 8, 16 and 32, residual blocks of each stage, channels of the head."""

    widths: tuple[int, int, int, int, int]
    depths: tuple[int, int, int, int]
    head: int


class Conv(nn.Sequential):
    """Convolution without bias, batch norm, SiLU; (B, I, H, W) to (B, O, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3),
            nn.SiLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip."""

    def __init__(self, channels: int, skip: bool) -> None:
        super().__init__()
        self.first, self.second, self.skip = Conv(channels, channels, 3), Conv(channels, channels, 3), skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        out: Tensor = self.second(self.first(x))
        return x + out if self.skip else out


class Partial(nn.Module):
    """Cross-stage partial block: half the channels go through the residuals, half pass beside them."""

    def __init__(self, inputs: int, outputs: int, depth: int, skip: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.beside, self.into = Conv(inputs, half), Conv(inputs, half)
        self.blocks = nn.ModuleList(Residual(half, skip) for _ in range(depth))
        self.join = Conv(half * (2 + depth), outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, H, W)."""
        parts = [self.beside(x), self.into(x)]
        for block in self.blocks:
            parts.append(block(parts[-1]))
        out: Tensor = self.join(torch.cat(parts, 1))
        return out


class Context(nn.Module):
    """Poolings over growing windows, side by side: what is around, at no loss of place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.into, self.join = Conv(channels, half), Conv(half * 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        parts = [self.into(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        out: Tensor = self.join(torch.cat(parts, 1))
        return out


class Backbone(nn.Module):
    """(B, 3, H, W) to features at strides 8, 16 and 32."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        stem, *widths = size.widths
        self.stem = Conv(3, stem, 3, 2)
        before = [stem, *widths]
        self.stages = nn.ModuleList(
            nn.Sequential(Conv(before[i], width, 3, 2), Partial(width, width, depth))
            for i, (width, depth) in enumerate(zip(widths, size.depths, strict=True))
        )
        self.context = Context(widths[-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Three feature maps, fine to coarse."""
        features = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return [features[1], features[2], self.context(features[3])]


class Neck(nn.Module):
    """Path aggregation: coarse to fine, then fine to coarse."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        fine, middle, coarse = size.widths[2:]
        depth = size.depths[-1]
        self.down_middle = Partial(coarse + middle, middle, depth, skip=False)
        self.down_fine = Partial(middle + fine, fine, depth, skip=False)
        self.stride_fine = Conv(fine, fine, 3, 2)
        self.up_middle = Partial(fine + middle, middle, depth, skip=False)
        self.stride_middle = Conv(middle, middle, 3, 2)
        self.up_coarse = Partial(middle + coarse, coarse, depth, skip=False)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Three maps, fine to coarse, of the shapes given."""
        fine, middle, coarse = features
        middle_down = self.down_middle(torch.cat([_double(coarse), middle], 1))
        fine_out = self.down_fine(torch.cat([_double(middle_down), fine], 1))
        middle_out = self.up_middle(torch.cat([self.stride_fine(fine_out), middle_down], 1))
        coarse_out = self.up_coarse(torch.cat([self.stride_middle(middle_out), coarse], 1))
        return [fine_out, middle_out, coarse_out]


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
