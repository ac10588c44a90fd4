"""A dataset in memory and a network of a few weights, for tests of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sightline.core.problem import Problem
from sightline.core.records import Annotation, Record
from sightline.core.specs import InputSpec, Signature
from sightline.models.base import Batch, Model, Normalise, Tensors

SIZE_WH = (40, 32)


class MemoryDataset:
    """Records with pixels made from their number: class 1 is brighter and has a bright rectangle."""

    def __init__(self, count: int = 24, records: Sequence[Record] | None = None) -> None:
        self.classes = ("dark", "light")
        self.root, self.fingerprint = Path("memory"), f"memory{count}"
        self.records = list(records) if records is not None else [_record(i) for i in range(count)]
        self.reads = 0

    def record(self, id: str) -> Record:
        return next(r for r in self.records if r.id == id)

    def read(self, record: Record) -> Any:
        self.reads += 1
        random = np.random.default_rng(int(record.id))
        picture = random.integers(0, 60, (*SIZE_WH[::-1], 3)).astype(np.uint8)
        for a in record.annotations:
            if a.box is not None:
                x1, y1, x2, y2 = (int(v) for v in a.box)
                picture[y1:y2, x1:x2] = 230
        return picture

    def read_map(self, record: Record, task: str) -> Any:
        raise KeyError(task)


def _record(number: int) -> Record:
    label = number % 2
    x, y = 4.0 + number % 8, 5.0 + number % 6
    marks: tuple[Annotation, ...] = (Annotation(label),)
    if label:
        marks += (Annotation(1, box=(x, y, x + 14, y + 10)),)
    return Record(id=str(number), media=f"{number}.png", size_wh=SIZE_WH, annotations=marks)


class HalfSplit:
    """The first three quarters train, the rest judge."""

    name, fingerprint = "half", "half"

    def __init__(self, dataset: MemoryDataset) -> None:
        self.ids = [r.id for r in dataset.records]

    def part(self, name: str) -> list[str]:
        cut = len(self.ids) * 3 // 4
        return self.ids[:cut] if name == "train" else self.ids[cut:]


class TinyClassifier(Model):
    """Two convolutions, batch norm and dropout: all that can make a resume inexact."""

    def __init__(self) -> None:
        super().__init__(Signature(("classify",), ("dark", "light"), {"image": InputSpec((16, 16))}))
        self.first = Normalise()
        self.body = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()),
            nn.Sequential(nn.Conv2d(8, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()),
        )
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, 2)

    def backbone(self) -> nn.Module:
        return self.body

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        features = self.body(self.first(inputs["image"])).mean((2, 3))
        return {"logits": self.head(self.drop(features))}

    def decode(self, raw: Tensors) -> Tensors:
        return {"classify.scores": raw["logits"].float().softmax(1)}

    def losses(self, batch: Batch) -> Tensors:
        labels = torch.stack([t["label"] for t in batch.targets])
        logits = self.raw(batch.inputs)["logits"].float()
        each = nn.functional.cross_entropy(logits, labels, reduction="none")
        return {"classify": each.mean(), "per_example": each.detach()}


def problem(**train: Any) -> Problem:
    """A problem on the tiny classifier; keywords go to its training section."""
    return Problem.parse(
        {
            "name": "toy",
            "why": "to test",
            "task": "classify",
            "data": {"source": "memory"},
            "model": {"name": "tiny"},
            "train": {"monitor": "val.loss", "workers": 0, "cache": "none", "batch": 4, "lr": 0.01} | train,
            "criteria": [{"metric": "classify.accuracy", "at_least": 0.5}],
        }
    )
