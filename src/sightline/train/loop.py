"""The training loop: epochs of optimiser steps, then a validation, then a saved state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
from sightline.core.files import fingerprint
from sightline.core.problem import TrainSection
from sightline.evaluate import higher_is_better
from sightline.models.base import Batch, Model, Tensors
from sightline.train.batches import Key, Loader, Packed
from sightline.train.checkpoint import State, load_state, save_state, save_tensors
from sightline.train.failure import NotFinite, blame, captured, is_memory
from sightline.train.journal import Clock, Journal
from sightline.train.optim import Ema, optimizer, rate_factor, set_rates
from sightline.train.sampling import Sampler, divided, steps_of

Validate = Callable[[Model, int], dict[str, float]]


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
    """

    model: Model
    section: TrainSection
    loader: Loader
    sampler: Sampler
    folder: Path
    epochs: int
    journal: Journal
    validate: Validate
    monitor: str
    device: torch.device

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


def fit(job: Job) -> State:
    """Train until the epochs are done or patience runs out, from the last state if there is one.

    Raises:
        TrainingFailed: a loss or gradient that is not a number (the batch is kept under `failed/`), or
            no memory for a single element.
        SightlineError: what reading the data raises.
    """
    engine = Engine(job)
    state = engine.state
    job.journal.start(state, job.epochs, job.per_epoch)
    while state.epoch < job.epochs and not state.stopped:
        clock = Clock()
        terms = train_epoch(engine, clock)
        job.journal.close_steps()
        metrics = judged(engine) if validates(job, state.epoch) else {}
        improved = state.best_epoch == state.epoch
        job.journal.epoch(state, terms, metrics, clock, improved=improved)
        state.epoch, state.at, state.sums = state.epoch + 1, 0, {}
        state.seconds += clock.total()
        engine.save()
    job.journal.finish(state, job.monitor)
    return state


def train_epoch(engine: Engine, clock: Clock) -> dict[str, float]:
    """The optimiser steps of the epoch that are still to do; returns its mean loss terms."""
    job, state, section = engine.job, engine.state, engine.job.section
    if state.at == 0:
        state.order = job.sampler.epoch(state.epoch, state.losses)
    groups = divided(state.order, section.batch, section.accumulate)
    keys = [_keys(state.epoch, part) for group in groups[state.at :] for part in group]
    arriving = job.loader.batches(keys)
    engine.model.train()
    saved = time.monotonic()
    for group in groups[state.at :]:
        batches = [_next(arriving, clock, job.device) for _ in group]
        factor = rate_factor(state.step, job.epochs * job.per_epoch, job.per_epoch, section)
        rate = set_rates(engine.optimizer, factor)
        terms = optimise(engine, batches)
        if engine.ema:
            engine.ema.update(engine.model, state.step)
        state.at, state.step = state.at + 1, state.step + 1
        for name, value in terms.items():
            state.sums[name] = state.sums.get(name, 0.0) + value
        clock.count(sum(len(batch) for batch in batches))
        job.journal.step(state, terms, rate, clock)
        if time.monotonic() - saved > section.save_minutes * 60 and state.at < len(groups):
            engine.save()
            saved = time.monotonic()
    return {name: value / len(groups) for name, value in state.sums.items()}


def optimise(engine: Engine, batches: list[Batch]) -> dict[str, float]:
    """One optimiser step over the micro-batches; cuts them finer where memory runs out."""
    job, state = engine.job, engine.state
    while True:
        torch.manual_seed(int(fingerprint([job.section.seed, state.step]), 16) >> 1)
        try:
            parts = [part for batch in batches for part in cut(batch, state.pieces)]
            terms = backward(engine, parts)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_memory(error):
                raise
            engine.optimizer.zero_grad(set_to_none=True)
            halve(engine, max(len(batch) for batch in batches))
        except NotFinite as error:
            raise captured(job.folder, engine.model, error, state, engine.optimizer) from None
    limit = job.section.clip_norm or float("inf")
    norm = engine.accelerator.clip_grad_norm_(engine.model.parameters(), limit)
    scaled = engine.accelerator.scaler is not None  # a scaler skips such a step and scales down
    if not scaled and not bool(torch.isfinite(torch.as_tensor(norm))):
        cause = NotFinite(blame(engine.model), terms, batches[-1])
        raise captured(job.folder, engine.model, cause, state, engine.optimizer)
    engine.optimizer.step()
    engine.optimizer.zero_grad(set_to_none=True)
    return terms


def backward(engine: Engine, parts: list[Batch]) -> dict[str, float]:
    """Gradients of the mean loss over all parts; returns the mean of each term."""
    whole = sum(len(part) for part in parts)
    means: dict[str, float] = {}
    for part in parts:
        terms = dict(engine.objective(part))
        per_example = terms.pop("per_example", None)
        values = torch.stack([term.detach().float() for term in terms.values()]).tolist()
        share = len(part) / whole
        if not np.isfinite(values).all():
            raise NotFinite("loss", dict(zip(terms, values, strict=True)), part)
        engine.accelerator.backward(torch.stack(list(terms.values())).sum() * share)
        for name, value in zip(terms, values, strict=True):
            means[name] = means.get(name, 0.0) + value * share
        if per_example is not None:
            engine.state.losses[part.indices.numpy()] = per_example.detach().float().cpu().numpy()
    return means


def judged(engine: Engine) -> dict[str, float]:
    """Metrics of the epoch; keeps the weights where they are the best so far."""
    job, state = engine.job, engine.state
    own = {name: value.clone() for name, value in engine.model.state_dict().items()} if engine.ema else None
    if engine.ema:
        engine.model.load_state_dict(engine.ema.tensors)
    engine.model.eval()
    metrics = job.validate(engine.model, state.epoch)
    if own:
        engine.model.load_state_dict(own)
    if job.monitor not in metrics:
        raise TrainingFailed(
            f"the metric {job.monitor!r} was not measured; these were: {', '.join(metrics)}",
            where="train.monitor",
        )
    value = metrics[job.monitor]
    known = value == value  # a metric may be NaN while the model answers nothing
    if state.best_epoch < 0 or (known and better(value, state.best, job.monitor)):
        state.best, state.best_epoch, state.stale = value if known else None, state.epoch, 0
        save_tensors(job.folder / "best.safetensors", engine.weights(), job.journal.metadata)
    else:
        state.stale += 1
        state.stopped = job.section.patience is not None and state.stale >= job.section.patience
    return metrics


def better(value: float, best: float | None, metric: str) -> bool:
    """Whether a value of a metric beats the best so far, if there is one."""
    return best is None or (value > best if higher_is_better(metric) else value < best)


def validates(job: Job, epoch: int) -> bool:
    """Every so many epochs, and at the last."""
    return (epoch + 1) % job.section.validate_every == 0 or epoch + 1 == job.epochs


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


def _next(arriving: Iterator[Packed], clock: Clock, device: torch.device) -> Batch:
    with clock.waiting():
        packed = next(arriving)
    return packed.unpack(device)


def _keys(epoch: int, rows: NDArray[np.int64]) -> list[Key]:
    return [(epoch, index, repeat) for index, repeat in rows.tolist()]


def _unseen(sampler: Sampler) -> NDArray[np.float32]:
    return np.full(sampler.size, np.nan, np.float32)
