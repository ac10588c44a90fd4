"""What an epoch is judged by: the metrics of `evaluate`, the losses on a few elements, and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.predictor import Predictor
from sightline.core.records import Sample
from sightline.core.results import Result
from sightline.core.specs import Task
from sightline.data.samples import read_inputs
from sightline.draw import contact_sheet, draw_results, fit_scale
from sightline.evaluate import CHIEF, Scores, score
from sightline.models.base import Model
from sightline.models.predictor import torch_predictor
from sightline.train.batches import Pictures
from sightline.train.engine import LOSS, Validate
from sightline.train.journal import Journal
from sightline.train.labels import Labeller
from sightline.train.placed import PlacedStore

LOSS_ELEMENTS = 64
LOSS_BATCH = 8
SHOWN = 4
SHOWN_SCORE = 0.3
CELL_WH = (480, 360)


def default_monitor(tasks: Sequence[Task]) -> str:
    """The metric that says which epoch is best: the chief figure of the first task, else the loss."""
    return CHIEF.get(tasks[0], LOSS)


def validator(
    dataset: Any, chosen: Sequence[Sample], model: Model, journal: Journal, device: torch.device
) -> Validate:
    """A function that judges a model on the samples of the validation part.

    It gives the figures of `evaluate.score` and `val.loss`, and puts a few drawn answers into
    TensorBoard.
    """
    labeller = Labeller(model.signature.tasks, dataset.classes, dataset.read_map)
    few = [chosen[i] for i in spread(len(chosen), LOSS_ELEMENTS)]
    pictures = Pictures(dataset, few, model.signature.inputs, labeller)
    shown = [chosen[i] for i in spread(len(chosen), SHOWN)]
    ids = [sample.id for sample in chosen]
    measured = any(task in CHIEF for task in model.signature.tasks)

    def validate(model: Model, epoch: int) -> dict[str, float]:
        metrics = _score(model, dataset, chosen, ids, device) if measured else {}
        journal.pictures("predictions", drawn(model, dataset, shown, device), epoch)
        return metrics | {LOSS: mean_loss(model, pictures, device)}

    return validate


def _score(
    model: Model, dataset: Any, chosen: Sequence[Sample], ids: Sequence[str], device: torch.device
) -> dict[str, float]:
    """The figures of `evaluate.score`, from placed pictures where the dataset keeps such."""
    predictor = torch_predictor(model, device)
    if not isinstance(dataset, PlacedStore):
        return score(predictor, dataset, ids)
    scores = Scores.of(predictor.signature, dataset.classes)
    for sample, results in stored_answers(predictor, dataset, chosen):
        scores.add(sample.target, results, dataset.read_map)
    return scores.values()


def stored_answers(
    predictor: Predictor, store: PlacedStore, chosen: Sequence[Sample]
) -> Iterator[tuple[Sample, dict[str, Result]]]:
    """Samples with what a predictor answers, from the pictures of a store."""
    signature = predictor.signature
    for start in range(0, len(chosen), predictor.batch):
        part = chosen[start : start + predictor.batch]
        rows = [store.placed(sample, signature.inputs) for sample in part]
        placed = {name: np.stack([row[0][name] for row in rows]) for name in signature.inputs}
        outputs = predictor.infer(placed)
        for i, (sample, (_, matrix, size_wh)) in enumerate(zip(part, rows, strict=True)):
            yield sample, assemble(outputs, i, signature, matrix, size_wh)


def spread(count: int, most: int) -> list[int]:
    """At most so many indices of `count`, evenly spread."""
    return [int(i) for i in np.linspace(0, count - 1, min(most, count))]


@torch.no_grad()
def mean_loss(model: Model, pictures: Pictures, device: torch.device) -> float:
    """Mean of the summed loss terms over elements without augmentation."""
    total, count = 0.0, 0
    for start in range(0, len(pictures), LOSS_BATCH):
        keys = [(0, index, 0) for index in range(start, min(start + LOSS_BATCH, len(pictures)))]
        packed = pictures.__getitems__(keys)
        if isinstance(packed, Exception):
            raise packed
        terms = model.losses(packed.unpack(device))
        loss = sum(float(value) for name, value in terms.items() if name != "per_example")
        total, count = total + loss * len(keys), count + len(keys)
    return total / count


def drawn(model: Model, dataset: Any, chosen: Sequence[Sample], device: torch.device) -> NDArray[np.uint8]:
    """A contact sheet (H, W, 3) of what the model answers on samples."""
    predictor = torch_predictor(model, device)
    sheets: list[NDArray[np.uint8]] = []
    for sample in chosen:
        results = predictor.predict([read_inputs(dataset, sample, model.signature.inputs)])[0]
        picture = dataset.read(sample.target)
        scale = fit_scale((picture.shape[1], picture.shape[0]), CELL_WH)
        sheets.append(draw_results(picture, results, min_score=SHOWN_SCORE, scale=scale))
    return contact_sheet(sheets, [sample.id for sample in chosen], cell_wh=CELL_WH)
