"""Small parts that several networks are made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Norm(nn.BatchNorm2d):
    """Batch normalisation that also trains where a channel has one value only.

    A single picture pooled to one place has no variance; the running statistics stand in for it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalised maps (B, C, H, W)."""
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)


def conv_norm(
    width_in: int, width: int, kernel: int = 3, stride: int = 1, *, act: bool = True
) -> nn.Sequential:
    """Convolution without bias, normalisation, and ReLU unless told not to."""
    layers: list[nn.Module] = [
        nn.Conv2d(width_in, width, kernel, stride, kernel // 2, bias=False),
        Norm(width),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


def norm_conv(width_in: int, width: int, kernel: int = 1) -> nn.Sequential:
    """Normalisation, ReLU and convolution without bias, in that order."""
    return nn.Sequential(
        Norm(width_in), nn.ReLU(), nn.Conv2d(width_in, width, kernel, 1, kernel // 2, bias=False)
    )


def resize(maps: Tensor, like: Tensor | tuple[int, int]) -> Tensor:
    """Maps (B, C, h, w) bilinearly at the height and width of `like`."""
    size_hw = like if isinstance(like, tuple) else (like.shape[-2], like.shape[-1])
    return F.interpolate(maps, size=size_hw, mode="bilinear", align_corners=False)


def start_like_he(module: nn.Module) -> None:
    """Random start of every convolution by fan-out (He et al. 2015); norms at one, biases at zero."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
