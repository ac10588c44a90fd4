"""Points of tiny objects, with visibility: a heatmap for each, its mean, and whether it is in sight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.backbones import Maps
from sightline.models.base import Batch, Model, Tensors
from sightline.models.blocks import conv_norm
from sightline.models.inputs import Specs, first_layer, need_classes, only_input, only_task, with_track
from sightline.models.locate_parts import (
    FILM_ROWS,
    PRIOR_ROWS,
    SIGHTS,
    Film,
    Prior,
    Visibility,
    cell_centres,
    foreseen,
    mean_place,
    peak_map,
    soft_argmax,
)
from sightline.models.losses import batch_mean
from sightline.models.necks import NeckName, neck_of

LocateLoss = Literal["heatmap", "distance", "heatmap+distance"]
Fusion = Literal["stack", "features"]
Stride = Literal[4, 8, 16]
Deepest = Literal[4, 8, 16, 32]
Positive = Annotated[float, Field(gt=0)]
Width = Annotated[int, Field(ge=8)]
MOTION_GAIN = 3.0  # a shuttle a few pixels wide differs little once it is averaged over four by four
Rounds = Annotated[int, Field(ge=1, le=16)]


@dataclass(frozen=True, slots=True)
class Design:
    """How a locator is made.

    Attributes:
        backbone: a preset or any timm name that offers maps.
        deepest: stride of the coarsest map read; what lies deeper in the backbone is left out.
        neck: `fpn` or `bifpn`.
        rounds: how often a `bifpn` goes down and up.
        width: channels of the neck.
        stride: of the heatmap, in placed pixels.
        fusion: how frames of a clip meet: `stack` (channels of the first convolution) or `features` (each
            goes through the backbone alone, and their maps are joined by a 1x1 convolution).
        prior: a map beside the neck's with a peak where the track says the object is: at its `last` place,
            or `quadratic`ally extrapolated.
        film: whether the track's last six rows modulate the neck's map.
        visibility: by a small `conv`olutional head, `linear` in mean and maximum of the heatmap's logits,
            or `none` (everything is in sight).
        sigma: deviation of the Gaussian that a heatmap is taught, in cells.
        sharpen: power of the heatmap in the mean.
        loss: `heatmap` (divergence from the Gaussian), `distance` (of the mean), or both.
        motion: whether the newest frame's difference in brightness from each older one is shown beside the
            frames (`stack` alone): what moves before a still background is then told of any hall.
    """

    backbone: str = "efficientnetv2_b0"
    deepest: int = 32
    neck: NeckName = "fpn"
    rounds: int = 2
    width: int = 64
    stride: int = 4
    fusion: Fusion = "stack"
    prior: Prior = "none"
    film: bool = False
    visibility: Visibility = "conv"
    sigma: float = 1.0
    sharpen: float = 2.0
    loss: LocateLoss = "heatmap+distance"
    motion: bool = False

    @property
    def rows(self) -> int:
        """Rows of the track that are read; 0 where there is no track."""
        return max(PRIOR_ROWS[self.prior], FILM_ROWS if self.film else 0)


# A general locator; the first look at a whole frame; the closer look at a window of it. The last two are
# chosen by measurement (docs/models.md, "Locating in two stages").
DESIGNS: dict[str, tuple[Design, InputSpec]] = {
    "locator": (Design(), InputSpec((512, 288))),
    "locate-coarse": (
        Design("regnetx_002", width=32, loss="heatmap", sharpen=6.0),
        InputSpec((480, 288), frames=3),
    ),
    "locate-fine": (
        Design("regnetx_002", deepest=16, width=32, sharpen=4.0),
        InputSpec((192, 192), fit="native", frames=3),
    ),
}


class Locator(Model):
    """A timm backbone, a neck, one heatmap a class at one stride, and a visibility head.

    A point is the mean place under its heatmap (soft-argmax, Sun et al. 2018). The heatmap is raised to
    the power `sharpen` first: the square of a Gaussian has the same mean, and the thin mass that is
    spread over the rest of the picture then no longer pulls the point to the middle.

    The answer is for the newest frame of a clip. Where the design reads a track, its input is named
    `track` and is of class 0.

    Decoded: `locate.points` (B, K, 2) in placed pixels, `locate.visible` (B, K), K the number of
    classes; `embedding` (B, D).

    Args:
        signature: task `locate`, one colour or grey input, a picture or a clip; and `track` where the
            design reads one.
        design: how it is made.

    Raises:
        ModelError: the backbone has no map of the heatmap's stride.
    """

    def __init__(self, signature: Signature, design: Design) -> None:
        super().__init__(signature)
        self.input, spec = next(iter(signature.inputs.items()))
        self.design, self.frames = design, spec.frames
        self.fusion = design.fusion if spec.frames > 1 else "single"
        self.terms = design.loss.split("+")
        self.first = first_layer(spec)
        self.motion = design.motion and self.fusion == "stack"
        channels = 3 * spec.frames if self.fusion == "stack" else 3
        channels += spec.frames - 1 if self.motion else 0
        self.net = Maps(design.backbone, least=design.stride, most=design.deepest, channels_in=channels)
        if self.net.strides[0] != design.stride:
            raise ModelError(f"backbone {design.backbone!r} has no maps of stride {design.stride}")
        widths, width, points = self.net.widths, design.width, len(signature.classes)
        self.join = nn.ModuleList(
            conv_norm(spec.frames * w, w, 1) if self.fusion == "features" else nn.Identity() for w in widths
        )
        self.neck = neck_of(design.neck, widths, width, keep=1, rounds=design.rounds)
        self.film = Film(width, spec.size_wh) if design.film else None
        extra = 0 if design.prior == "none" else 1
        self.heat = nn.Sequential(conv_norm(width + extra, width), nn.Conv2d(width, points, 1))
        self.sight = SIGHTS[design.visibility](width, points)

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """`heat` logits (B, K, h, w), `seen` logits (B, K) and `deep` (B, D)."""
        maps = self._maps(self.first(inputs[self.input]))
        fine = self.neck(maps)[0]
        if self.film is not None:
            fine = self.film(fine, inputs["track"])
        told = [fine]
        if self.design.prior != "none":
            place, known = foreseen(inputs["track"], self.design.prior)
            told.append(peak_map(place, known, fine, self.design.stride).to(fine))
        heat = self.heat(torch.cat(told, 1) if len(told) > 1 else fine)
        seen = self.sight(fine, heat)
        return {"heat": heat.float(), "seen": seen.float(), "deep": maps[-1].mean((2, 3))}

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        """Backbone maps of a picture (B, 3, H, W) or a clip (B, T, 3, H, W), finest first."""
        if self.fusion == "features":
            apart = self.net(pixels.flatten(0, 1))
            together = [m.unflatten(0, (-1, self.frames)).flatten(1, 2) for m in apart]
            return [join(m) for join, m in zip(self.join, together, strict=True)]
        stacked = pixels.flatten(1, 2) if self.frames > 1 else pixels
        if self.motion:
            light = pixels.mean(2)
            stacked = torch.cat([stacked, MOTION_GAIN * (light[:, -1:] - light[:, :-1])], 1)
        found: list[Tensor] = self.net(stacked)
        return found

    def decode(self, raw: Tensors) -> Tensors:
        """Points and the probability that each is in sight."""
        return {
            "locate.points": soft_argmax(raw["heat"] * self.design.sharpen, self.design.stride),
            "locate.visible": raw["seen"].sigmoid(),
            "embedding": raw["deep"].float(),
        }

    def losses(self, batch: Batch) -> Tensors:
        """`heatmap`: divergence of the heatmap from a Gaussian about the point; `distance`: of the
        decoded point, over the cell size, smooth at one cell; both for visible points only. `visible`:
        binary cross-entropy, where visibility is judged and the point was looked for. A point's terms
        count by its class weight.
        """
        raw = self.raw(batch.inputs)
        points = torch.stack([target["points"] for target in batch.targets])
        visible = torch.stack([target["visible"] for target in batch.targets])
        terms: Tensors = {}
        if self.design.visibility != "none":
            known = torch.stack(
                [target.get("known", torch.ones_like(target["visible"])) for target in batch.targets]
            )
            wrong = F.binary_cross_entropy_with_logits(raw["seen"], visible, reduction="none")
            terms["visible"] = wrong * known
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
        grid = cell_centres(raw["heat"], self.design.stride)
        away = (grid - points.unsqueeze(2)) / (self.design.stride * self.design.sigma)
        truth = (-0.5 * away.square().sum(-1)).log_softmax(-1)
        guess = raw["heat"].flatten(2).log_softmax(-1)
        return (truth.exp() * (truth - guess)).sum(-1)

    def _distance(self, raw: Tensors, points: Tensor) -> Tensor:
        """Smooth L1 distance (B, K) in cells, the mean of x and y."""
        found = mean_place(raw["heat"] * self.design.sharpen, self.design.stride)
        away = (found - points) / self.design.stride
        return F.smooth_l1_loss(away, torch.zeros_like(away), reduction="none").mean(-1)

    def backbone(self) -> nn.Module:
        """The timm network."""
        return self.net


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    backbone: str | None = None,
    deepest: Deepest | None = None,
    neck: NeckName | None = None,
    rounds: Rounds | None = None,
    width: Width | None = None,
    stride: Stride | None = None,
    fusion: Fusion | None = None,
    prior: Prior | None = None,
    film: bool | None = None,
    visibility: Visibility | None = None,
    sigma: Positive | None = None,
    sharpen: Positive | None = None,
    loss: LocateLoss | None = None,
    motion: bool | None = None,
) -> Model:
    """A locator by name; an option that is None is as in `DESIGNS`."""
    given: dict[str, Any] = {
        "backbone": backbone,
        "deepest": deepest,
        "neck": neck,
        "rounds": rounds,
        "width": width,
        "stride": stride,
        "fusion": fusion,
        "prior": prior,
        "film": film,
        "visibility": visibility,
        "sigma": sigma,
        "sharpen": sharpen,
        "loss": loss,
        "motion": motion,
    }
    only_task(name, tasks, "locate")
    need_classes(name, classes)
    own, spec = DESIGNS[name]
    design = replace(own, **{key: value for key, value in given.items() if value is not None})
    if design.deepest < design.stride:
        raise ModelError(
            f"the heatmap's stride {design.stride} is above the deepest map's, {design.deepest}",
            where=f"options of model {name!r}",
        )
    pictures, track = with_track(name, inputs, design.rows)
    key, spec = only_input(name, pictures, spec, clips=True)
    return Locator(Signature(("locate",), classes, {key: spec, **track}), design)
