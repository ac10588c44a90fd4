"""One label a picture: any timm backbone, pooled, with a linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.backbones import Pooled
from sightline.models.base import Batch, Model, Tensors
from sightline.models.inputs import Specs, first_layer, need_classes, only_input, only_task
from sightline.models.losses import batch_mean, cross_entropy

Share = Annotated[float, Field(ge=0, lt=1)]


class Classifier(Model):
    """Pooled features of a timm network and one linear layer.

    Decoded: `classify.scores` (B, C), softmax; `embedding` (B, D), the pooled features.

    Args:
        signature: task `classify`, one colour or grey input.
        backbone: a preset or any timm name.
        label_smoothing: mass taken from the true class and spread over all (Szegedy et al. 2016).
        dropout: share of features dropped before the linear layer in training.
        drop_path: rate of stochastic depth (Huang et al. 2016), for backbones that have it.
    """

    def __init__(
        self,
        signature: Signature,
        backbone: str,
        *,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(signature)
        self.input, spec = next(iter(signature.inputs.items()))
        self.first = first_layer(spec)
        options = {"drop_path_rate": drop_path} if drop_path else {}
        self.net = Pooled(backbone, (spec.size_wh[1], spec.size_wh[0]), **options)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.net.width, len(signature.classes))
        self.label_smoothing = label_smoothing

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """`features` (B, D) and `logits` (B, C)."""
        features = self.net(self.first(inputs[self.input]))
        return {"features": features, "logits": self.head(self.dropout(features))}

    def decode(self, raw: Tensors) -> Tensors:
        """Scores that sum to one, and the features."""
        return {"classify.scores": raw["logits"].float().softmax(1), "embedding": raw["features"].float()}

    def losses(self, batch: Batch) -> Tensors:
        """Cross-entropy `classify`, weighted by class and by element.

        Elements without a label of the whole picture count nothing.
        """
        logits = self.raw(batch.inputs)["logits"]
        none = torch.tensor(-100, device=logits.device)
        labels = torch.stack([target.get("label", none) for target in batch.targets])
        per_example = cross_entropy(logits, labels, self.class_weights, smoothing=self.label_smoothing)
        return {"classify": batch_mean(per_example, batch.weights), "per_example": per_example.detach()}

    def backbone(self) -> nn.Module:
        """The timm network."""
        return self.net


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    label_smoothing: Share = 0.0,
    dropout: Share = 0.0,
    drop_path: Share = 0.0,
) -> Model:
    """A classifier on the backbone `name`, at 224x224 unless told."""
    only_task(name, tasks, "classify")
    need_classes(name, classes, 2)
    key, spec = only_input(name, inputs, InputSpec((224, 224)))
    signature = Signature(("classify",), classes, {key: spec})
    return Classifier(signature, name, label_smoothing=label_smoothing, dropout=dropout, drop_path=drop_path)
