"""Attention over picture tokens and queries (Vaswani et al. 2017, Carion et al. 2020)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sine_places(xy: Tensor, width: int) -> Tensor:
    """Sine and cosine features (..., width) of places (..., 2) in [0, 1]; width is a multiple of 4."""
    quarter = width // 4
    powers = torch.arange(quarter, device=xy.device, dtype=torch.float32) / quarter
    angles = xy.float().unsqueeze(-1) * (2 * math.pi) * 20**powers
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


def token_places(maps: Tensor) -> Tensor:
    """Centres (H W, 2) xy in [0, 1] of the places of maps (B, C, H, W), row by row."""
    height, width = maps.shape[-2:]
    ys = (torch.arange(height, device=maps.device, dtype=torch.float32) + 0.5) / height
    xs = (torch.arange(width, device=maps.device, dtype=torch.float32) + 0.5) / width
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([grid_x.flatten(), grid_y.flatten()], 1)


class Attention(nn.Module):
    """Scaled dot-product attention with several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What each query (B, N, D) gathers from values (B, M, D) by keys (B, M, D): (B, N, D)."""
        q, k, v = self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        gathered = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(gathered.transpose(1, 2).flatten(2))
        return out

    def _split(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        return tokens.view(batch, count, self.heads, width // self.heads).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two linear layers, ReLU between."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))


class EncoderLayer(nn.Module):
    """Tokens attend to tokens; normalised after each step."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attend, self.forward_part = Attention(width, heads), FeedForward(width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Tokens (B, N, D) with place features (N, D)."""
        placed = tokens + places
        tokens = self.norms[0](tokens + self.attend(placed, placed, tokens))
        out: Tensor = self.norms[1](tokens + self.forward_part(tokens))
        return out


class DecoderLayer(nn.Module):
    """Queries attend to each other, then to the tokens; normalised after each step."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.talk, self.look = Attention(width, heads), Attention(width, heads)
        self.forward_part = FeedForward(width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(self, queries: Tensor, where: Tensor, tokens: Tensor, places: Tensor) -> Tensor:
        """Queries (B, Q, D) at places `where` (B, Q, D), looking at tokens (B, N, D) at `places` (N, D)."""
        placed = queries + where
        queries = self.norms[0](queries + self.talk(placed, placed, queries))
        queries = self.norms[1](queries + self.look(queries + where, tokens + places, tokens))
        out: Tensor = self.norms[2](queries + self.forward_part(queries))
        return out


def mlp(width: int, out: int, *, still: bool = False) -> nn.Sequential:
    """Three linear layers, ReLU between; `still` starts the last at zero."""
    last = nn.Linear(width, out)
    if still:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)
