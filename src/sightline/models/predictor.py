"""A PyTorch model as the project's one predictor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.core.predictor import Predictor
from sightline.models.base import Model

Array = NDArray[Any]


def torch_predictor(model: Model, device: str | torch.device = "cpu", *, batch: int = 8) -> Predictor:
    """A predictor over `model` itself, which is moved to `device` and put into evaluation mode.

    Safe for several threads. The model is not copied: training it further changes what the predictor
    answers, and each call puts it back into evaluation mode.

    Args:
        model: any architecture.
        device: where it runs.
        batch: the largest batch handed to the network at once.
    """
    where = torch.device(device)
    model.to(where).eval()

    def infer(placed: dict[str, Array]) -> dict[str, Array]:
        if model.training:
            model.eval()
        with torch.inference_mode():
            inputs = {name: _tensor(value).to(where) for name, value in placed.items()}
            outputs = model(inputs)
            return {name: _array(value) for name, value in outputs.items()}

    return Predictor(model.signature, infer, batch=batch)


def _tensor(value: Array) -> torch.Tensor:
    """A tensor that shares memory where it may: torch cannot share a read-only array."""
    return torch.from_numpy(value if value.flags.writeable else value.copy())


def _array(value: torch.Tensor) -> Array:
    """Answers as NumPy has them: half precision becomes f32."""
    out: Array = np.asarray((value.float() if value.is_floating_point() else value).cpu().numpy())
    return out
