"""Points of tiny objects, with visibility: a heatmap for each, its mean, and whether it is in sight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.backbones import Maps
from sightline.models.base import Batch, Model, Tensors
from sightline.models.blocks import conv_norm
from sightline.models.inputs import Specs, first_layer, need_classes, only_input, only_task
from sightline.models.losses import batch_mean
from sightline.models.necks import NECKS, NeckName

LocateLoss = Literal["heatmap", "distance", "heatmap+distance"]
Fusion = Literal["stack", "features"]
Stride = Literal[4, 8, 16]
Positive = Annotated[float, Field(gt=0)]


class Locator(Model):
    """A timm backbone, a neck, one heatmap a class at one stride, and a visibility head.

    A point is the mean place under its heatmap (soft-argmax, Sun et al. 2018). The heatmap is raised to
    the power `sharpen` first: the square of a Gaussian has the same mean, and the thin mass that is
    spread over the rest of the picture then no longer pulls the point to the middle.

    Clips are fused by `stack` (frames are channels of the first convolution) or `features` (frames go
    through the backbone alone and their maps are joined by a 1x1 convolution); the answer is for the
    newest frame.

    Decoded: `locate.points` (B, K, 2) in placed pixels, `locate.visible` (B, K), K the number of
    classes; `embedding` (B, D).

    Args:
        signature: task `locate`, one colour or grey input, a picture or a clip.
        backbone: a preset or any timm name that offers maps.
        neck: `fpn` or `bifpn`.
        width: channels of the neck.
        stride: of the heatmap, in placed pixels.
        fusion: how frames of a clip meet.
        sigma: deviation of the Gaussian that a heatmap is taught, in cells.
        sharpen: power of the heatmap in the mean.
        loss: `heatmap` (cross-entropy to the Gaussian), `distance` (of the mean), or both.
    """

    def __init__(
        self,
        signature: Signature,
        backbone: str,
        *,
        neck: NeckName,
        width: int,
        stride: int,
        fusion: Fusion,
        sigma: float,
        sharpen: float,
        loss: LocateLoss,
    ) -> None:
        super().__init__(signature)
        self.input, spec = next(iter(signature.inputs.items()))
        self.frames, self.fusion = spec.frames, fusion if spec.frames > 1 else "single"
        self.stride, self.sigma, self.sharpen, self.terms = stride, sigma, sharpen, loss.split("+")
        self.first = first_layer(spec)
        self.net = Maps(backbone, least=stride, channels_in=3 * spec.frames if fusion == "stack" else 3)
        if self.net.strides[0] != stride:
            raise ModelError(f"backbone {backbone!r} has no maps of stride {stride}")
        widths = self.net.widths
        self.join = nn.ModuleList(
            conv_norm(spec.frames * w, w, 1) if self.fusion == "features" else nn.Identity() for w in widths
        )
        self.neck = NECKS[neck](widths, width, keep=1)
        points = len(signature.classes)
        self.heat = nn.Sequential(conv_norm(width, width), nn.Conv2d(width, points, 1))
        self.sight = nn.Sequential(conv_norm(width + points, width, 3, 2), conv_norm(width, width, 3, 2))
        self.seen = nn.Linear(2 * width, points)

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """`heat` logits (B, K, h, w), `seen` logits (B, K) and `deep` (B, D)."""
        maps = self._maps(self.first(inputs[self.input]))
        fine = self.neck(maps)[0]
        heat = self.heat(fine)
        sight = self.sight(torch.cat([fine, heat], 1))
        seen = self.seen(torch.cat([sight.amax((2, 3)), sight.mean((2, 3))], 1))
        return {"heat": heat.float(), "seen": seen.float(), "deep": maps[-1].mean((2, 3))}

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        """Backbone maps of a picture (B, 3, H, W) or a clip (B, T, 3, H, W), finest first."""
        if self.fusion == "features":
            apart = self.net(pixels.flatten(0, 1))
            together = [m.unflatten(0, (-1, self.frames)).flatten(1, 2) for m in apart]
            return [join(m) for join, m in zip(self.join, together, strict=True)]
        found: list[Tensor] = self.net(pixels.flatten(1, 2) if self.frames > 1 else pixels)
        return found

    def decode(self, raw: Tensors) -> Tensors:
        """Points and the probability that each is in sight."""
        return {
            "locate.points": soft_argmax(raw["heat"] * self.sharpen, self.stride),
            "locate.visible": raw["seen"].sigmoid(),
            "embedding": raw["deep"].float(),
        }

    def losses(self, batch: Batch) -> Tensors:
        """`heatmap`: divergence of the heatmap from a Gaussian about the point; `distance`: of the
        decoded point, over the cell size, smooth at one cell; both for visible points only. `visible`:
        binary cross-entropy. A point's terms count by its class weight.
        """
        raw = self.raw(batch.inputs)
        points = torch.stack([target["points"] for target in batch.targets])
        visible = torch.stack([target["visible"] for target in batch.targets])
        terms = {"visible": F.binary_cross_entropy_with_logits(raw["seen"], visible, reduction="none")}
        if "heatmap" in self.terms:
            terms["heatmap"] = self._divergence(raw, points) * visible
        if "distance" in self.terms:
            terms["distance"] = self._distance(raw, points) * visible
        weights = self.class_weights / len(self.class_weights)
        per_term = {name: (value * weights).sum(1) for name, value in terms.items()}
        out = {name: batch_mean(value, batch.weights) for name, value in per_term.items()}
        return {**out, "per_example": torch.stack(list(per_term.values())).sum(0).detach()}

    def _divergence(self, raw: Tensors, points: Tensor) -> Tensor:
        """Kullback-Leibler divergence (B, K) of the heatmap from the Gaussian it is taught."""
        grid = cell_centres(raw["heat"], self.stride)
        away = (grid - points.unsqueeze(2)) / (self.stride * self.sigma)
        truth = (-0.5 * away.square().sum(-1)).log_softmax(-1)
        guess = raw["heat"].flatten(2).log_softmax(-1)
        return (truth.exp() * (truth - guess)).sum(-1)

    def _distance(self, raw: Tensors, points: Tensor) -> Tensor:
        """Smooth L1 distance (B, K) in cells, the mean of x and y."""
        found = soft_argmax(raw["heat"] * self.sharpen, self.stride)
        away = (found - points) / self.stride
        return F.smooth_l1_loss(away, torch.zeros_like(away), reduction="none").mean(-1)

    def backbone(self) -> nn.Module:
        """The timm network."""
        return self.net


def cell_centres(heat: Tensor, stride: int) -> Tensor:
    """Centres (h w, 2) xy, in placed pixels, of the cells of maps (..., h, w)."""
    ys = (torch.arange(heat.shape[-2], device=heat.device, dtype=torch.float32) + 0.5) * stride
    xs = (torch.arange(heat.shape[-1], device=heat.device, dtype=torch.float32) + 0.5) * stride
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([grid_x.flatten(), grid_y.flatten()], 1)


def soft_argmax(heat: Tensor, stride: int) -> Tensor:
    """Mean places (B, K, 2) in placed pixels under heatmap logits (B, K, h, w).

    One matrix product of the flat map: other ways to write it give wrong answers in OpenVINO for
    batches above one.
    """
    return heat.flatten(2).softmax(-1) @ cell_centres(heat, stride)


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    backbone: str = "efficientnetv2_b0",
    neck: NeckName = "fpn",
    width: Annotated[int, Field(ge=8)] = 64,
    stride: Stride = 4,
    fusion: Fusion = "stack",
    sigma: Positive = 1.0,
    sharpen: Positive = 2.0,
    loss: LocateLoss = "heatmap+distance",
) -> Model:
    """A locator; pictures of 512x288 unless told."""
    only_task(name, tasks, "locate")
    need_classes(name, classes)
    key, spec = only_input(name, inputs, InputSpec((512, 288)), clips=True)
    return Locator(
        Signature(("locate",), classes, {key: spec}),
        backbone,
        neck=neck,
        width=width,
        stride=stride,
        fusion=fusion,
        sigma=sigma,
        sharpen=sharpen,
        loss=loss,
    )
