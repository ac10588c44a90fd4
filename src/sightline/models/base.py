"""What every architecture is: a network, its losses and its decoding, in one file beside the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sightline.core.specs import Signature

Tensors = dict[str, Tensor]


@dataclass(slots=True)
class Batch:
    """Placed pictures and their labels, all in placed pixels.

    Attributes:
        inputs: by name, as the signature's specs say: uint8 (B, H, W, 3), clips (B, T, H, W, 3),
            uint16 depth (B, H, W).
        targets: one mapping an element. Keys present depend on the labels: `label` () i64 for a whole
            picture; `boxes` (N, 4) f32 xyxy, `labels` (N,) i64 and `crowd` (N,) bool; `masks` (N, H, W)
            bool beside the boxes; `points` (K, 2) f32, `visible` (K,) f32 and `known` (K,) f32, 0 where
            nobody looked for the point; `segment` (H, W) i64 with
            255 void; `panoptic` (H, W) i64, the row in `labels`, -1 void; `depth` (H, W) f32 metres, 0
            unknown.
        weights: (B,) f32, how much each element counts.
        indices: (B,) i64, position in the dataset part, for mining.
    """

    inputs: Tensors
    targets: list[Tensors]
    weights: Tensor
    indices: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        inputs = {k: v.to(device, non_blocking=True) for k, v in self.inputs.items()}
        targets = [{k: v.to(device, non_blocking=True) for k, v in t.items()} for t in self.targets]
        return Batch(inputs, targets, self.weights.to(device), self.indices)

    def __len__(self) -> int:
        return len(self.targets)


class Model(nn.Module, ABC):
    """Base of all architectures.

    The network reads raw pixels (normalisation is its first layer); `raw` gives whatever tensors its
    losses and its decoding share; `decode` gives the fixed-shape tensors of `specs.TASK_OUTPUTS`,
    named `task.field`, and `embedding` (B, D) where the model has one. `forward` is `decode(raw(x))`:
    that is what is exported.

    Attributes:
        signature: tasks, classes, inputs and thresholds.
        class_weights: (C,) f32 weights of the losses, ones unless set (`train` sets them before the
            first step where the problem asks).
    """

    signature: Signature
    class_weights: Tensor

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.signature = signature
        self.register_buffer("class_weights", torch.ones(max(1, len(signature.classes))), persistent=False)

    @abstractmethod
    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """Tensors before decoding, from placed inputs by name."""

    @abstractmethod
    def decode(self, raw: Tensors) -> Tensors:
        """Fixed-shape answers by `task.field`, in the order of `signature.outputs`."""

    @abstractmethod
    def losses(self, batch: Batch) -> Tensors:
        """Named terms that training sums, each a scalar mean over the batch (weighted by
        `batch.weights`). A term `per_example` (B,) f32, if given, is not summed: mining and
        loss-weighted sampling read it.
        """

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """Decoded answers for placed inputs."""
        return self.decode(self.raw(inputs))

    def backbone(self) -> nn.Module | None:
        """The part that pretrained weights fill; its learning rate may differ. None: there is none."""
        return None


class Normalise(nn.Module):
    """First layer: uint8 (..., H, W, 3) to f32 (..., 3, H, W), centred by ImageNet's mean and deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Channels first before the arithmetic: runtimes are several times slower where the innermost axis is
        # three long. The move is a view, so memory stays channels last.
        mean = torch.tensor([0.485, 0.456, 0.406]) * 255
        std = torch.tensor([0.229, 0.224, 0.225]) * 255
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("std", std[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Raw pixels to centred floats, channels first."""
        if pictures.ndim == 5:
            # Runtimes take moving the axes of four dimensions as a change of layout; of five they copy.
            apart: Tensor = self(pictures.flatten(0, 1))
            return apart.reshape(-1, *pictures.shape[1:2], *apart.shape[1:])
        return (pictures.movedim(-1, -3).float() - self.mean) / self.std
