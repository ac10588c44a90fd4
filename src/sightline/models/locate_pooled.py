"""Points by regression from pooled features: the baseline that heatmaps are measured against."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.backbones import Pooled
from sightline.models.base import Batch, Model, Tensors
from sightline.models.inputs import Specs, first_layer, need_classes, only_input, only_task, with_track
from sightline.models.locate_parts import FILM_ROWS, track_features
from sightline.models.losses import batch_mean

Past = Literal["conv", "raw", "none"]
Heads = Literal["one", "two"]
Positive = Annotated[float, Field(gt=0)]

TRACK_ROWS: dict[Past, int] = {"conv": 30, "raw": FILM_ROWS, "none": 0}
TRACK_WIDTH = 64
ATTENTION_WIDTH = 128
APART = 0.1  # shares of the picture; guesses nearer than this repel each other
DIVERSITY = 0.1


class PooledLocator(Model):
    """Pooled features of each frame, attention of the newest over the past ones, the track, and an MLP.

    With several `guesses` the network answers as many points and a score for each; the nearest is taught
    (as in multiple choice learning, Guzman-Rivera et al. 2012), the scores learn which that is, and a
    diversity term keeps them apart. The answer is the guess of the highest score.

    Decoded: `locate.points` (B, K, 2) in placed pixels, inside the picture; `locate.visible` (B, K);
    `embedding` (B, D).

    Args:
        signature: task `locate`, one colour or grey input, a picture or a clip; and `track` where the
            past is read.
        backbone: a preset or any timm name.
        past: 1-D convolutions over 30 rows of the track (`conv`), its last 6 rows and 5 steps as they are
            (`raw`), or `none`.
        hidden: widths of the MLP's layers.
        heads: `one` MLP for place and visibility, or `two`.
        guesses: points answered inside for each object.
        margin: error, in shares of the picture, that costs nothing.
    """

    def __init__(
        self,
        signature: Signature,
        backbone: str,
        *,
        past: Past,
        hidden: tuple[int, ...],
        heads: Heads,
        guesses: int,
        margin: float,
    ) -> None:
        super().__init__(signature)
        self.input, spec = next(iter(signature.inputs.items()))
        self.frames, self.size_wh, self.past = spec.frames, spec.size_wh, past
        self.guesses, self.margin, self.points = guesses, margin, len(signature.classes)
        self.first = first_layer(spec)
        self.net = Pooled(backbone, (spec.size_wh[1], spec.size_wh[0]))
        deep = self.net.width
        self.attention = Attention(deep) if spec.frames > 1 else None
        self.track = TrackConv() if past == "conv" else None
        told = {"conv": 2 * TRACK_WIDTH, "raw": 5 * FILM_ROWS - 2, "none": 0}[past]
        widths = (deep * (2 if spec.frames > 1 else 1) + told, *hidden)
        places = self.points * guesses * 3
        self.split = (places, self.points)
        if heads == "one":
            self.place, self.sight = _mlp(widths, places + self.points), None
        else:
            self.place, self.sight = _mlp(widths, places), _mlp(widths, self.points)

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """`places` (B, K, M, 2) in shares of the picture, `scores` and `seen` logits (B, K, M) and (B, K),
        and `deep` (B, D).
        """
        pixels = self.first(inputs[self.input])
        deep = self.net(pixels.flatten(0, 1) if self.frames > 1 else pixels)
        features = [deep]
        if self.attention is not None:
            apart = deep.unflatten(0, (-1, self.frames))
            deep = apart[:, -1]
            features = [deep, self.attention(deep, apart[:, :-1])]
        if self.track is not None:
            features.append(self.track(inputs["track"], self.size_wh))
        elif self.past == "raw":
            features.append(track_features(inputs["track"], self.size_wh))
        joined = torch.cat([f.float() for f in features], 1)
        answers = self.place(joined).float()
        seen = self.sight(joined).float() if self.sight is not None else answers[:, self.split[0] :]
        rows = answers[:, : self.split[0]].unflatten(1, (self.points, self.guesses, 3))
        return {"places": rows[..., :2].sigmoid(), "scores": rows[..., 2], "seen": seen, "deep": deep}

    def decode(self, raw: Tensors) -> Tensors:
        """The guess of the highest score, and the probability that each point is in sight."""
        best = raw["scores"].argmax(2, keepdim=True).unsqueeze(3).expand(-1, -1, -1, 2)
        place = raw["places"].gather(2, best).squeeze(2)
        size = torch.tensor(self.size_wh, device=place.device, dtype=torch.float32)
        return {
            "locate.points": place * size,
            "locate.visible": raw["seen"].sigmoid(),
            "embedding": raw["deep"].float(),
        }

    def losses(self, batch: Batch) -> Tensors:
        """`distance`: of the nearest guess, in shares of the picture, past the margin; `choice`:
        cross-entropy of the scores to the nearest guess; `diversity`: how near guesses are to each other;
        these for visible points only. `visible`: binary cross-entropy. Terms count by class weight.
        """
        raw = self.raw(batch.inputs)
        size = torch.tensor(self.size_wh, device=raw["places"].device, dtype=torch.float32)
        points = torch.stack([target["points"] for target in batch.targets]) / size
        visible = torch.stack([target["visible"] for target in batch.targets])
        away = ((raw["places"] - points.unsqueeze(2)).square().sum(-1) + 1e-8).sqrt()
        nearest = away.argmin(2)
        terms = {
            "visible": F.binary_cross_entropy_with_logits(raw["seen"], visible, reduction="none"),
            "distance": (away.amin(2) - self.margin).relu() * visible,
        }
        if self.guesses > 1:
            terms["choice"] = (
                F.cross_entropy(raw["scores"].movedim(2, 1), nearest, reduction="none") * visible
            )
            terms["diversity"] = DIVERSITY * _nearness(raw["places"]) * visible
        weights = self.class_weights / len(self.class_weights)
        per_term = {name: (value * weights).sum(1) for name, value in terms.items()}
        out = {name: batch_mean(value, batch.weights) for name, value in per_term.items()}
        return {**out, "per_example": torch.stack(list(per_term.values())).sum(0).detach()}

    def backbone(self) -> nn.Module:
        """The timm network."""
        return self.net


class Attention(nn.Module):
    """What the newest frame's features (B, D) find in past frames' (B, T, D): (B, D), scaled dot products."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ask, self.offer = nn.Linear(width, ATTENTION_WIDTH), nn.Linear(width, ATTENTION_WIDTH)

    def forward(self, newest: Tensor, past: Tensor) -> Tensor:
        """The past's features, weighted by how well each fits the newest."""
        fit = (self.offer(past) * self.ask(newest).unsqueeze(1)).sum(2) / ATTENTION_WIDTH**0.5
        out: Tensor = (fit.softmax(1).unsqueeze(2) * past).sum(1)
        return out


class TrackConv(nn.Module):
    """1-D convolutions over the rows of a track (B, T, 3): its newest column and its mean (B, 2 C)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv1d(3, TRACK_WIDTH // 2, 3, padding=1), nn.ReLU()),
            *(nn.Conv1d(TRACK_WIDTH // 2, TRACK_WIDTH, 3, padding=1), nn.ReLU()),
            *(nn.Conv1d(TRACK_WIDTH, TRACK_WIDTH, 3, padding=1), nn.ReLU()),
        )

    def forward(self, track: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """From rows in placed pixels."""
        size = torch.tensor(size_wh, device=track.device, dtype=torch.float32)
        seen = track[:, :, 2:]
        rows = torch.cat([(track[:, :, :2] / size - 0.5) * seen, seen], 2)
        body = self.body(rows.movedim(2, 1))
        return torch.cat([body[:, :, -1], body.mean(2)], 1)


def _nearness(places: Tensor) -> Tensor:
    """How near the guesses (B, K, M, 2) are to each other: 1 where all are one, 0 far apart; (B, K)."""
    count = places.shape[2]
    away = (places.unsqueeze(3) - places.unsqueeze(2)).square().sum(-1)
    near = torch.exp(-away / (2 * APART**2)).sum((2, 3)) - count
    return near / (count * (count - 1))


def _mlp(widths: tuple[int, ...], out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width_in, width in pairwise(widths):
        layers += [nn.Linear(width_in, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], out))


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    backbone: str = "efficientnet_b0",
    past: Past = "conv",
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (256,),
    heads: Heads = "one",
    guesses: Annotated[int, Field(ge=1, le=16)] = 1,
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.01,
) -> Model:
    """A regression from pooled features; clips of four frames of 300x300 unless told."""
    only_task(name, tasks, "locate")
    need_classes(name, classes)
    pictures, track = with_track(name, inputs, TRACK_ROWS[past])
    key, spec = only_input(name, pictures, InputSpec((300, 300), fit="stretch", frames=4), clips=True)
    return PooledLocator(
        Signature(("locate",), classes, {key: spec, **track}),
        backbone,
        past=past,
        hidden=hidden,
        heads=heads,
        guesses=guesses,
        margin=margin,
    )
