"""Model, optimiser, average and saved state of one training, held together and put on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray
from torch import nn

from sightline.core.errors import TrainingFailed
from sightline.core.problem import TrainSection
from sightline.models.base import Batch, Model, Tensors
from sightline.train.batches import Loader
from sightline.train.checkpoint import State, load_state, save_state
from sightline.train.journal import Journal
from sightline.train.material import Material
from sightline.train.mining import MinedSampler
from sightline.train.optim import Ema, optimizer
from sightline.train.sampling import Sampler, steps_of

Validate = Callable[[Model, int], dict[str, float]]

LOSS = "val.loss"


@dataclass(slots=True)
class Job:
    """One training: everything the loop needs, decided beforehand.

    Attributes:
        model: what learns, its class weights set.
        section: the problem's training section.
        loader: batches of the training part.
        sampler: which elements an epoch holds.
        folder: of the run.
        epochs: fixed before the first step.
        journal: what is told and written.
        validate: metrics of a model after an epoch (0-based).
        monitor: the metric that says which epoch is best.
        device: where the model runs.
        material: what `loader` and `validate` stand on.
    """

    model: Model
    section: TrainSection
    loader: Loader
    sampler: Sampler | MinedSampler
    folder: Path
    epochs: int
    journal: Journal
    validate: Validate
    monitor: str
    device: torch.device
    material: Material

    @property
    def per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return steps_of(self.sampler.length, self.section.batch, self.section.accumulate)


class Objective(nn.Module):
    """The model's losses as a forward pass, which is what Accelerate wraps."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensors:
        """Loss terms of a batch."""
        return self.model.losses(batch)


class Engine:
    """Model, optimiser, average and state, on their device and under autocast."""

    def __init__(self, job: Job) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)  # one process may train several runs
        precision = {"f32": "no"}.get(job.section.precision, job.section.precision)
        self.accelerator = Accelerator(mixed_precision=precision, cpu=job.device.type == "cpu")
        job.model.to(job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.job, self.model = job, job.model
        self.objective = self.accelerator.prepare(Objective(job.model))
        self.optimizer: Any = self.accelerator.prepare(optimizer(job.model, job.section))
        self.ema = Ema(job.model, job.section.ema) if job.section.ema else None
        averaged = self.ema.tensors if self.ema else None
        found = load_state(self.last, job.model, self.optimizer, averaged)
        self.state, extra = found or (State(losses=_unseen(job.sampler)), {})
        if extra.get("scaler") and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(extra["scaler"])

    @property
    def last(self) -> Path:
        """Folder of the state."""
        return self.job.folder / "last"

    def save(self) -> None:
        """Write the state; only ever called between two optimiser steps."""
        scaler = self.accelerator.scaler
        extra = {"scaler": scaler.state_dict() if scaler else None}
        averaged = self.ema.tensors if self.ema else None
        save_state(self.last, self.state, self.model, self.optimizer, averaged, extra)

    def weights(self) -> Tensors:
        """What is validated and kept as best: the average where there is one."""
        return self.ema.tensors if self.ema else dict(self.model.state_dict())


def cut(batch: Batch, pieces: int) -> list[Batch]:
    """A batch in at most so many parts, as even as can be."""
    if pieces == 1:
        return [batch]
    parts: list[Batch] = []
    for rows in torch.arange(len(batch)).tensor_split(min(pieces, len(batch))):
        start, stop = int(rows[0]), int(rows[-1]) + 1
        inputs = {name: value[start:stop] for name, value in batch.inputs.items()}
        parts.append(
            Batch(inputs, batch.targets[start:stop], batch.weights[start:stop], batch.indices[start:stop])
        )
    return parts


def halve(engine: Engine, largest: int) -> None:
    """The answer to memory that ran out: half the micro-batch, twice the accumulation, and say so."""
    state = engine.state
    if state.pieces >= largest:
        raise TrainingFailed(
            "memory ran out with a single element in the micro-batch",
            remedy="use a smaller input, a smaller model or another precision",
        )
    state.pieces *= 2
    if engine.job.device.type == "cuda":
        torch.cuda.empty_cache()
    engine.job.journal.say(
        f"memory ran out: micro-batches are cut into {state.pieces}, the gradients summed as before"
    )


def _unseen(sampler: Sampler | MinedSampler) -> NDArray[np.float32]:
    return np.full(sampler.size, np.nan, np.float32)
