"""A predictor that recognises pictures it has seen, and answers for each what a function says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sightline.core.predictor import Inputs, Stream
from sightline.core.records import Record
from sightline.core.results import Result
from sightline.core.specs import InputSpec, Signature, Task
from sightline.data.dataset import Dataset

Answer = Callable[[Record], dict[str, Result]]


class Knowing:
    """Answers by the bytes of the picture it is given."""

    def __init__(self, dataset: Dataset, tasks: tuple[Task, ...], answer: Answer, **options: Any) -> None:
        names = options.pop("classes", dataset.classes)
        self.signature = Signature(tasks, names, {"image": InputSpec((32, 32))}, **options)
        self._records = {_key(dataset.read(record)): record for record in dataset.records}
        self._answer = answer
        self.asked = 0

    def predict(self, batch: Sequence[Inputs]) -> list[dict[str, Result]]:
        self.asked += len(batch)
        return [self._answer(self._records[_key(inputs["image"])]) for inputs in batch]

    def open_stream(self) -> Stream:
        return Stream(self)


def _key(picture: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()
