"""A model that reads clips."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from export.tiny_models import TinyModel
from sightline.core.specs import InputSpec
from sightline.models.base import Tensors


class ClipModel(TinyModel):
    """Points from a weighted sum of the frames of a clip, so that their order matters."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__("locate", spec)

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        maps = [self.head(self.stem(inputs["image"][:, t])) for t in range(3)]
        grid = maps[0] + 2 * maps[1] - 4 * maps[2]
        return {"map": 5 * grid, "features": grid.mean((2, 3))}
