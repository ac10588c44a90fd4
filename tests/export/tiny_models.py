"""The smallest models that meet the protocol, one a task, for the tests of export and runtime."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.base import Batch, Model, Normalise, Tensors

SPEC = InputSpec((64, 48))
CLASSES = ("apple", "pear", "plum")


class TinyModel(Model):
    """Normalise, two strided convolutions, and a head for one task."""

    def __init__(
        self,
        task: Task = "classify",
        spec: InputSpec = SPEC,
        seed: int = 0,
        classes: tuple[str, ...] = CLASSES,
    ) -> None:
        super().__init__(Signature((task,), classes, {"image": spec}, {"detect": 0.05}))
        torch.manual_seed(seed)
        self.task = task
        self.stem = nn.Sequential(
            Normalise(),
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 4, 1),
            nn.ReLU(),
        )
        self.head = nn.Conv2d(16, 8, 1)

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        features = self.stem(inputs["image"])
        return {"map": self.head(features), "features": features.mean((2, 3))}

    def decode(self, raw: Tensors) -> Tensors:
        grid = raw["map"]
        answer: Tensors = getattr(self, f"_{self.task}")(grid)
        return {**answer, "embedding": raw["features"]}

    def _classify(self, grid: Tensor) -> Tensors:
        return {"classify.scores": grid[:, :3].mean((2, 3)).softmax(1)}

    def _detect(self, grid: Tensor) -> Tensors:
        height, width = grid.shape[-2:]
        ys = (torch.arange(height) + 0.5) * 8
        xs = (torch.arange(width) + 0.5) * 8
        centre = torch.stack(
            [xs[None].expand(height, width), ys[:, None].expand(height, width)], dim=-1
        ).reshape(1, -1, 2)
        cells = grid.flatten(2).transpose(1, 2)
        sides = cells[..., 3:7].exp() * 8
        boxes = torch.cat([centre - sides[..., :2], centre + sides[..., 2:]], -1)
        scores, classes = cells[..., :3].sigmoid().max(-1)
        top, rows = scores.topk(10, dim=1)
        return {
            "detect.boxes": boxes.gather(1, rows[..., None].expand(-1, -1, 4)),
            "detect.scores": top,
            "detect.classes": classes.gather(1, rows),
        }

    def _segment(self, grid: Tensor) -> Tensors:
        spec = self.signature.inputs["image"]
        size = (spec.size_wh[1], spec.size_wh[0])
        big = nn.functional.interpolate(grid[:, :3], size, mode="bilinear", align_corners=False)
        return {"segment.classes": big.argmax(1).to(torch.uint8)}

    def _locate(self, grid: Tensor) -> Tensors:
        height, width = grid.shape[-2:]
        p = grid[:, : len(self.signature.classes)].flatten(2).softmax(-1)
        ys = ((torch.arange(height) + 0.5) * 8)[:, None].expand(height, width).reshape(-1)
        xs = ((torch.arange(width) + 0.5) * 8)[None].expand(height, width).reshape(-1)
        points = p @ torch.stack([xs, ys], -1)
        return {
            "locate.points": points,
            "locate.visible": grid[:, 3 : 3 + len(self.signature.classes)].mean((2, 3)).sigmoid(),
        }

    def losses(self, batch: Batch) -> Tensors:
        raw = self.raw(batch.inputs)
        return {"zero": raw["map"].mean() * 0}
