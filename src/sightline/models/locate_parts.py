"""Parts of point locators: where a heatmap's mean is, what the past says, and whether a thing is in sight."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from sightline.models.blocks import conv_norm

Prior = Literal["none", "last", "quadratic"]
Visibility = Literal["conv", "linear", "none"]

FILM_ROWS = 6
PRIOR_ROWS: dict[Prior, int] = {"none": 0, "last": 1, "quadratic": 3}
FILM_WIDTH = 64
PEAK_CELLS = 1.5
ALWAYS = 8.0  # the logit of a visibility that is not judged


def cell_centres(heat: Tensor, stride: int) -> Tensor:
    """Centres (h w, 2) xy, in placed pixels, of the cells of maps (..., h, w)."""
    return (_cells(heat) + _middle(heat)) * stride


def _cells(heat: Tensor) -> Tensor:
    """Centres (h w, 2) xy of cells, in cells from the middle of maps (..., h, w)."""
    height, width = heat.shape[-2], heat.shape[-1]
    ys = torch.arange(height, device=heat.device, dtype=torch.float32) - (height - 1) / 2
    xs = torch.arange(width, device=heat.device, dtype=torch.float32) - (width - 1) / 2
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([grid_x.flatten(), grid_y.flatten()], 1)


def _middle(heat: Tensor) -> Tensor:
    return torch.tensor([heat.shape[-1] / 2, heat.shape[-2] / 2], device=heat.device)


def soft_argmax(heat: Tensor, stride: int) -> Tensor:
    """Mean places (B, K, 2) in placed pixels under heatmap logits (B, K, h, w).

    One matrix product of the flat map: other ways to write it give wrong answers in OpenVINO for
    batches above one. Cells are counted from the middle, so that bf16 holds their places exactly, and the
    shares are summed in the same product, so that their rounding does not pull the mean.
    """
    cells = _cells(heat)
    sums = heat.flatten(2).softmax(-1) @ torch.cat([cells, torch.ones_like(cells[:, :1])], 1)
    return (sums[..., :2] / sums[..., 2:] + _middle(heat)) * stride


def mean_place(heat: Tensor, stride: int) -> Tensor:
    """As `soft_argmax`, by sums that autocast leaves in f32: for losses, never for an exported graph."""
    shares = heat.float().flatten(2).softmax(-1)
    mean = (shares.unsqueeze(-1) * _cells(heat)).sum(2)
    return (mean + _middle(heat)) * stride


def foreseen(track: Tensor, prior: Prior) -> tuple[Tensor, Tensor]:
    """Where the past says that a thing is now: xy (B, 2) in the track's pixels, and 1 where it says so (B,).

    `last` is the newest row, where it was seen. `quadratic` is the parabola through the last three rows,
    p(t) = 3 p(t-1) - 3 p(t-2) + p(t-3); through two, the line; after one, the row itself.
    """
    seen, places = track[:, :, 2], track[:, :, :2]
    one, known = places[:, -1], seen[:, -1]
    if prior == "last":
        return one, known
    two, three = places[:, -2], places[:, -3]
    both = (seen[:, -2] * known).unsqueeze(1)
    all_three = (seen[:, -3] * seen[:, -2] * known).unsqueeze(1)
    line = one + both * (one - two)
    return line + all_three * (one - 2 * two + three), known


def peak_map(place: Tensor, known: Tensor, like: Tensor, stride: int) -> Tensor:
    """A Gaussian of height 1 about places (B, 2) in placed pixels, (B, 1, h, w) as `like`; 0 if unknown."""
    height, width = like.shape[-2], like.shape[-1]
    ys = torch.arange(height, device=like.device, dtype=torch.float32) + 0.5
    xs = torch.arange(width, device=like.device, dtype=torch.float32) + 0.5
    at = place.float() / stride
    rows = torch.exp(-0.5 * ((ys - at[:, 1:]) / PEAK_CELLS).square()) * known.float().unsqueeze(1)
    columns = torch.exp(-0.5 * ((xs - at[:, :1]) / PEAK_CELLS).square())
    return (rows.unsqueeze(2) * columns.unsqueeze(1)).unsqueeze(1)


def track_features(track: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """Rows (B, T, 3) of a track as numbers of order one, and the T - 1 steps between: (B, 5 T - 2).

    Places are in shares of the input from its middle; hidden rows, and steps from or to them, are zero.
    """
    size = torch.tensor(size_wh, device=track.device, dtype=torch.float32)
    seen = track[:, :, 2:]
    places = (track[:, :, :2] / size - 0.5) * seen
    steps = (places[:, 1:] - places[:, :-1]) * seen[:, 1:] * seen[:, :-1]
    return torch.cat([places.flatten(1), seen.flatten(1), steps.flatten(1)], 1)


class Film(nn.Module):
    """Feature-wise linear modulation (Perez et al. 2018) of maps by a track: x (1 + a) + b, one a and b a
    channel. It starts as no change.
    """

    def __init__(self, width: int, size_wh: tuple[int, int]) -> None:
        super().__init__()
        self.size_wh = size_wh
        self.first = nn.Linear(5 * FILM_ROWS - 2, FILM_WIDTH)
        self.last = nn.Linear(FILM_WIDTH, 2 * width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, maps: Tensor, track: Tensor) -> Tensor:
        """Maps (B, C, h, w) changed by the last rows of a track (B, T, 3)."""
        code = self.last(self.first(track_features(track[:, -FILM_ROWS:], self.size_wh)).relu())
        gain, shift = code[:, :, None, None].chunk(2, 1)
        out: Tensor = maps * (1 + gain) + shift
        return out


class ConvSight(nn.Module):
    """Logits (B, K) that points are in sight, by two convolutions over features and heatmap."""

    def __init__(self, width: int, points: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_norm(width + points, width, 3, 2), conv_norm(width, width, 3, 2))
        self.out = nn.Linear(2 * width, points)

    def forward(self, fine: Tensor, heat: Tensor) -> Tensor:
        """From features (B, C, h, w) and heatmap logits (B, K, h, w)."""
        body = self.body(torch.cat([fine, heat], 1))
        out: Tensor = self.out(torch.cat([body.amax((2, 3)), body.mean((2, 3))], 1))
        return out


class LinearSight(nn.Module):
    """Logits (B, K) from the mean and the maximum of each heatmap's logits.

    A baseline: logits have no fixed level, so this generalises worse than `ConvSight`.
    """

    def __init__(self, width: int, points: int) -> None:
        super().__init__()
        self.out = nn.Linear(2 * points, points)

    def forward(self, fine: Tensor, heat: Tensor) -> Tensor:
        """From heatmap logits (B, K, h, w); features are not looked at."""
        out: Tensor = self.out(torch.cat([heat.amax((2, 3)), heat.mean((2, 3))], 1))
        return out


class AlwaysInSight(nn.Module):
    """A visibility that is not judged: everything is in sight."""

    def __init__(self, width: int, points: int) -> None:
        super().__init__()

    def forward(self, fine: Tensor, heat: Tensor) -> Tensor:
        """A constant (B, K)."""
        return heat[:, :, 0, 0] * 0 + ALWAYS


SIGHTS: dict[Visibility, type[ConvSight] | type[LinearSight] | type[AlwaysInSight]] = {
    "conv": ConvSight,
    "linear": LinearSight,
    "none": AlwaysInSight,
}
