"""Necks: maps at several strides made equally wide and told about each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from sightline.models.blocks import Norm, conv_norm, resize

NeckName = Literal["fpn", "bifpn"]


class Fpn(nn.Module):
    """Feature pyramid: from coarse to fine, each map adds the one above it (Lin et al. 2017).

    Args:
        widths: channels of the maps, finest first.
        width: channels of what it gives.
        keep: how many maps it gives, from the finest on.
    """

    def __init__(self, widths: Sequence[int], width: int, keep: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(conv_norm(w, width, 1) for w in widths)
        self.smooth = nn.ModuleList(conv_norm(width, width) for _ in range(keep))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, width, H_i, W_i), finest first."""
        sides = [layer(m) for layer, m in zip(self.lateral, maps, strict=True)]
        for i in range(len(sides) - 2, -1, -1):
            sides[i] = sides[i] + resize(sides[i + 1], sides[i])
        return [layer(m) for layer, m in zip(self.smooth, sides, strict=False)]


class Fuse(nn.Module):
    """Fast normalised fusion (Tan et al. 2020): sum of w_i x_i over sum of w_i, w_i = relu(v_i), then a
    depthwise-separable convolution.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(count))
        self.mix = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            Norm(width),
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One map from several of one shape."""
        weights = self.weights.relu()
        shares = weights / (weights.sum() + 1e-4)
        out: Tensor = self.mix(sum(m * shares[i] for i, m in enumerate(maps)))
        return out


class BifpnLayer(nn.Module):
    """One pass down (coarse to fine) and one up, each node a fast normalised fusion.

    Args:
        levels: number of maps, at least 2.
        width: channels of all maps.
        keep: how many maps it gives, from the finest on; the way up ends there.
    """

    def __init__(self, levels: int, width: int, keep: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(Fuse(2, width) for _ in range(levels - 1))
        # Nodes between the ends also see the layer's own input; the coarsest has no node of its own below.
        self.up = nn.ModuleList(Fuse(3 if i < levels - 2 else 2, width) for i in range(keep - 1))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of the same shapes, finest first."""
        last = len(maps) - 1
        mid = list(maps)
        for i in range(last - 1, -1, -1):
            mid[i] = self.down[i]([maps[i], resize(mid[i + 1], maps[i])])
        out = [mid[0]]
        for i in range(1, len(self.up) + 1):
            below = resize(out[-1], maps[i])
            own = [maps[i]] if i == last else [maps[i], mid[i]]
            out.append(self.up[i - 1]([*own, below]))
        return out


class Bifpn(nn.Module):
    """Weighted bidirectional feature pyramid (Tan et al. 2020).

    Args:
        widths: channels of the maps, finest first.
        width: channels of what it gives.
        keep: how many maps it gives, from the finest on.
        layers: how often it goes down and up.
    """

    def __init__(self, widths: Sequence[int], width: int, keep: int, layers: int = 2) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, width, 1, bias=False), Norm(width)) for w in widths
        )
        kept = [len(widths)] * (layers - 1) + [keep]
        self.layers = nn.ModuleList(BifpnLayer(len(widths), width, k) for k in kept)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, width, H_i, W_i), finest first."""
        out = [layer(m) for layer, m in zip(self.lateral, maps, strict=True)]
        for layer in self.layers:
            out = layer(out)
        return out


NECKS: dict[NeckName, type[Fpn] | type[Bifpn]] = {"fpn": Fpn, "bifpn": Bifpn}


def neck_of(name: NeckName, widths: Sequence[int], width: int, *, keep: int, rounds: int = 2) -> Fpn | Bifpn:
    """A neck by name; `rounds` is how often a `bifpn` goes down and up."""
    return Bifpn(widths, width, keep, rounds) if name == "bifpn" else Fpn(widths, width, keep)
