"""Plain pictures in three colours, and models that tell them apart well or badly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from export.tiny_models import TinyModel
from sightline.core.files import fingerprint, write_json
from sightline.core.manifest import Manifest
from sightline.core.media import write_picture
from sightline.core.problem import Problem
from sightline.core.records import Annotation, Record
from sightline.core.specs import InputSpec
from sightline.data.dataset import Dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading
from sightline.data.split import Split
from sightline.data.writing import write_dataset
from sightline.export.writing import package_model
from sightline.models.base import Tensors

CLASSES = ("red", "green", "blue")
# Which class a model names for each colour.
RIGHT, RED_IS_BLUE, ALL_RED = (0, 1, 2), (2, 1, 2), (0, 0, 0)
PROBLEM: dict[str, Any] = {
    "name": "colours",
    "why": "to see a model replaced",
    "task": "classify",
    "data": {"source": "labels"},
    "split": {"by": "frame", "train": 0.4, "val": 0.2, "test": 0.4},
    "model": {"name": "classifier", "input": {"size": [16, 16], "fit": "stretch"}},
    "criteria": [{"metric": "classify.accuracy", "at_least": 0.5}],
}


class Colours(TinyModel):
    """Names the class that it was made to name for the strongest colour."""

    def __init__(self, says: Sequence[int]) -> None:
        super().__init__("classify", InputSpec((16, 16), "stretch"), classes=CLASSES)
        table = torch.zeros(3, 3)
        table[list(says), range(3)] = 1.0
        self.register_buffer("table", table)

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        means = inputs["image"].float().mean((1, 2)) / 255
        return {"map": means, "features": means}

    def decode(self, raw: Tensors) -> Tensors:
        strongest = (raw["map"] * 20).softmax(1)
        return {"classify.scores": strongest @ self.table.T, "embedding": raw["features"]}


def pictures(folder: Path, count: int, seed: int = 0) -> list[Record]:
    """So many pictures, the colours in turn, and their records."""
    random = np.random.default_rng(seed)
    records = []
    for index in range(count):
        label = index % 3
        picture = random.integers(0, 90, (20, 24, 3), dtype=np.uint8)
        picture[..., label] += 150
        name = f"s{seed}_{index:03d}.png"
        folder.mkdir(parents=True, exist_ok=True)
        write_picture(folder / name, picture)
        records.append(Record(name, name, (24, 20), (Annotation(label),)))
    return records


def dataset(folder: Path, records: Sequence[Record], media: Path, parent: str = "") -> Dataset:
    """A dataset of some records."""
    return write_dataset(folder, Reading(CLASSES, list(records), media), Ledger(), parent=parent)


def problem(folder: Path, **changes: Any) -> Path:
    """A problem file with some sections changed."""
    path = folder / "problem.yaml"
    path.write_text(yaml.safe_dump(PROBLEM | changes))
    return path


def package(folder: Path, says: Sequence[int], version: str, **lineage: str) -> Path:
    """A package of a model that names these classes."""
    from dataclasses import replace

    package_model(Colours(says).eval(), folder, name="colours", version=version)
    replace(Manifest.read(folder), lineage=lineage).write(folder)
    return folder


def run_folder(folder: Path, made_on: Dataset, split: Split) -> str:
    """What of a run matters after it was exported; gives its fingerprint."""
    key = {"dataset": made_on.fingerprint, "split": split.fingerprint}
    folder.mkdir(parents=True)
    value = {
        "key": key,
        "dataset": {"path": str(made_on.root)},
        "split": {"name": split.name, "fingerprint": split.fingerprint},
    }
    write_json(folder / "run.json", value)
    (folder / "best.safetensors").write_bytes(b"weights")
    return fingerprint(json.loads(json.dumps(key)))


class FakeTraining:
    """Stands in for training and export: its challenger names the classes it was told to."""

    def __init__(self, says: Sequence[int]) -> None:
        self.says, self.asked = says, 0

    def __call__(
        self,
        problem: Problem,
        dataset: Dataset,
        split: Split,
        folder: Path,
        weights: Path,
        version: str,
        tell: object,
    ) -> None:
        import shutil

        self.asked += 1
        assert (weights / "best.safetensors").is_file()
        for name in ("run", "package"):
            shutil.rmtree(folder / name, ignore_errors=True)
        mark = run_folder(folder / "run", dataset, split)
        package(folder / "package", self.says, version, run=mark, dataset=dataset.fingerprint)
