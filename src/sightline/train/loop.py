"""The training loop: epochs of optimiser steps, then a validation, then a saved state."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.core.errors import TrainingFailed
from sightline.core.files import fingerprint
from sightline.evaluate import MEASURES, higher_is_better
from sightline.models.base import Batch, Model
from sightline.train.batches import Key, Packed
from sightline.train.checkpoint import State, save_tensors
from sightline.train.engine import LOSS, Engine, Job, cut, halve
from sightline.train.failure import NotFinite, blame, captured, is_memory
from sightline.train.journal import Clock
from sightline.train.optim import rate_factor, set_rates
from sightline.train.sampling import divided


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
        job.journal.step(state, terms, rate, clock, named_scalars(engine.model))
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


def named_scalars(model: Model) -> dict[str, float]:
    """Any figures that a model wants to see drawn: its attribute `scalars`, name to value, if it has one."""
    return {name: float(value) for name, value in getattr(model, "scalars", {}).items()}


def judged(engine: Engine) -> dict[str, float]:
    """Metrics of the epoch; keeps the weights where they are the best so far.

    Where the metric ties (none is found in the first epochs), the lower validation loss is better.
    """
    job, state = engine.job, engine.state
    own = {name: value.clone() for name, value in engine.model.state_dict().items()} if engine.ema else None
    if engine.ema:
        engine.model.load_state_dict(engine.ema.tensors)
    engine.model.eval()
    metrics = job.validate(engine.model, state.epoch)
    if own:
        engine.model.load_state_dict(own)
    if job.monitor not in metrics and job.monitor not in MEASURES:
        raise TrainingFailed(
            f"the metric {job.monitor!r} was not measured; these were: {', '.join(metrics)}",
            where="train.monitor",
        )
    # A figure may be absent while the model answers nothing: there is no mean error of no answers.
    value, loss = metrics.get(job.monitor, float("nan")), metrics.get(LOSS, 0.0)
    known = value == value
    ahead = known and better(value, state.best, job.monitor)
    tied = value == state.best or (not known and state.best is None)
    if state.best_epoch < 0 or ahead or (tied and loss < state.best_loss):
        state.best, state.best_loss = value if known else None, loss
        state.best_epoch, state.stale = state.epoch, 0
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


def _next(arriving: Iterator[Packed], clock: Clock, device: torch.device) -> Batch:
    with clock.waiting():
        packed = next(arriving)
    return packed.unpack(device)


def _keys(epoch: int, rows: NDArray[np.int64]) -> list[Key]:
    return [(epoch, index, repeat) for index, repeat in rows.tolist()]
