"""Before a long run: does it learn ten pictures by heart, and what will the whole of it cost?"""

from __future__ import annotations

import math
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sightline.core.errors import SightlineError, TrainingFailed
from sightline.core.problem import Problem
from sightline.core.records import Sample
from sightline.models.base import Batch
from sightline.train.batches import Pictures
from sightline.train.cache import MEGABYTE
from sightline.train.engine import Engine, Job
from sightline.train.labels import Labeller
from sightline.train.loop import optimise
from sightline.train.optim import set_rates
from sightline.train.run import begin
from sightline.train.sampling import divided
from sightline.train.training import chosen_device, prepare
from sightline.train.validation import spread, validator

TEN = 10
LEARN_STEPS, LEARN_STEPS_LEAST = 150, 30
LEARN_SECONDS = 60.0
LEARN_SHARE = 0.5  # the loss must fall below this share of its start
ENOUGH_SHARE = 0.2  # and below this it may stop
WARM_STEPS, TIMED_STEPS = 2, 6
TIMED_SAMPLES = 24
EVENT_BYTES = 60  # of one scalar in TensorBoard's file


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured speed: seconds of one optimiser step, and of one validation."""

    step_s: float
    validate_s: float


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a dry run found.

    Attributes:
        learns: whether the loss of ten pictures fell as it must.
        words: what was seen, a line each.
        first, last: loss of the ten at the start and at the end.
        steps: optimiser steps on them.
        epochs: of the whole run.
        seconds: it will take.
        disk_bytes: it will fill.
        memory_bytes: main memory at its peak, with loader processes and cache.
        device_bytes: memory of the CUDA device at its peak, 0 on a CPU.
    """

    learns: bool
    words: tuple[str, ...]
    first: float
    last: float
    steps: int
    epochs: int
    seconds: float
    disk_bytes: int
    memory_bytes: int
    device_bytes: int

    def __str__(self) -> str:
        verdict = "data and loss make sense" if self.learns else "DATA OR LOSS DO NOT MAKE SENSE"
        lines = [
            f"ten pictures: loss {self.first:.4g} -> {self.last:.4g} in {self.steps} steps: {verdict}",
            *self.words,
            f"whole run: {self.epochs} epochs in about {_duration(self.seconds)}, "
            f"{self.disk_bytes / MEGABYTE:.0f} MB on disk, {self.memory_bytes / MEGABYTE:.0f} MB of memory"
            + (f", {self.device_bytes / MEGABYTE:.0f} MB on the GPU" if self.device_bytes else ""),
        ]
        return "\n".join(lines)


def rehearse(
    problem: Problem, dataset: Any, split: Any, *, device: str | torch.device | None = None
) -> Rehearsal:
    """Overfit ten pictures and measure a few real steps; nothing is kept.

    Raises:
        SightlineError: as `train`, for what shows before the first steps.
    """
    where = chosen_device(device)
    with tempfile.TemporaryDirectory() as folder:
        run = begin(Path(folder) / "run", problem, dataset, split, resume=False)
        job = prepare(run, problem, dataset, split, where, progress=False)
        samples, dataset = job.material.train, job.material.dataset
        ten = [samples[i] for i in spread(len(samples), TEN)]
        losses, words = learn(job, dataset, ten)
        found = job.material
        job = prepare(run, problem, dataset, split, where, progress=False, material=found)
        pace = measure(job, dataset, found.val)
        steps = job.epochs * job.per_epoch
        judgings = math.ceil(job.epochs / job.section.validate_every)
        return Rehearsal(
            learns=math.isfinite(losses[-1]) and losses[-1] <= LEARN_SHARE * losses[0],
            words=tuple(words),
            first=losses[0],
            last=losses[-1],
            steps=len(losses) - 1,
            epochs=job.epochs,
            seconds=steps * pace.step_s + judgings * pace.validate_s,
            disk_bytes=disk_bytes(job, samples),
            memory_bytes=memory_bytes(job, samples),
            device_bytes=torch.cuda.max_memory_allocated() if where.type == "cuda" else 0,
        )


def learn(job: Job, dataset: Any, ten: Sequence[Sample]) -> tuple[list[float], list[str]]:
    """Losses while a few pictures are learned by heart, and remarks on their labels."""
    labeller = Labeller(job.model.signature.tasks, dataset.classes, dataset.read_map)
    pictures = Pictures(dataset, ten, job.model.signature.inputs, labeller)
    packed = pictures.__getitems__([(0, index, 0) for index in range(len(ten))])
    if isinstance(packed, SightlineError):
        raise packed
    batch = packed.unpack(job.device)
    engine = Engine(job)
    engine.model.train()
    losses: list[float] = []
    start = time.monotonic()
    while len(losses) <= LEARN_STEPS:
        set_rates(engine.optimizer, min(1.0, (len(losses) + 1) / TEN))
        try:
            losses.append(sum(optimise(engine, [batch]).values()))
        except TrainingFailed as error:
            return [*losses, math.nan], [*label_words(batch), str(error)]
        engine.state.step += 1
        late = len(losses) > LEARN_STEPS_LEAST and time.monotonic() - start > LEARN_SECONDS
        if losses[-1] <= ENOUGH_SHARE * losses[0] or late:
            break
    return losses, label_words(batch)


def label_words(batch: Batch) -> list[str]:
    """What the targets of a batch hold."""
    words: list[str] = []
    for name in {name: None for target in batch.targets for name in target}:
        values = [target[name] for target in batch.targets if name in target]
        if name == "boxes":
            words.append(f"  boxes: {sum(len(v) for v in values)} on {len(batch)} pictures")
        elif name == "label":
            words.append(f"  classes seen: {sorted({int(v) for v in values})}")
        elif name == "visible":
            words.append(f"  points in sight: {sum(int(v.sum()) for v in values)} on {len(batch)} pictures")
        elif name == "segment":
            known = sum(float((v != 255).float().mean()) for v in values) / len(values)
            words.append(f"  pixels labelled: {known:.0%}")
    empty = [w for w in words if ": 0 on" in w or w.endswith("labelled: 0%")]
    return words + ["  the ten pictures hold no mark at all: look at the import's ledger"] * bool(empty)


def measure(job: Job, dataset: Any, val: Sequence[Sample]) -> Pace:
    """Time a few real optimiser steps, loader included, and the validation of a few samples."""
    engine = Engine(job)
    engine.model.train()
    rows = job.sampler.epoch(0, engine.state.losses)
    groups = divided(rows, job.section.batch, job.section.accumulate)[: WARM_STEPS + TIMED_STEPS]
    keys = [[(0, i, r) for i, r in part.tolist()] for group in groups for part in group]
    arriving = job.loader.batches(keys)
    marks = [time.monotonic()]
    for group in groups:
        optimise(engine, [next(arriving).unpack(job.device) for _ in group])
        engine.state.step += 1
        marks.append(time.monotonic())
    first = WARM_STEPS if len(groups) > WARM_STEPS else 0
    step_s = (marks[-1] - marks[first]) / (len(groups) - first)
    few = [val[i] for i in spread(len(val), TIMED_SAMPLES)]
    start = time.monotonic()
    engine.model.eval()
    validator(dataset, few, job.model, job.journal, job.device)(job.model, 0)
    return Pace(step_s, (time.monotonic() - start) * len(val) / len(few))


def planned_epochs(job: Job, pace: Pace, minutes: float) -> int:
    """Epochs that fit a budget of wall minutes, at least 1 and at most the section's."""
    each = job.per_epoch * pace.step_s + pace.validate_s / job.section.validate_every
    return max(1, min(job.section.epochs, int(minutes * 60 * 0.95 / max(each, 1e-9))))


def disk_bytes(job: Job, samples: Sequence[Sample]) -> int:
    """Best weights, two states while one replaces the other, figures, and the cache where it is a file."""
    weights: int = sum(v.numel() * v.element_size() for v in job.model.state_dict().values())
    moments = 1 if job.section.optimizer == "sgd" else 2
    state = weights * (1 + moments + (1 if job.section.ema else 0))
    events = job.epochs * job.per_epoch * 3 * EVENT_BYTES
    return weights + 2 * state + events + (cache_bytes(job, samples) if job.section.cache == "disk" else 0)


def memory_bytes(job: Job, samples: Sequence[Sample]) -> int:
    """Peak of this process so far, as much again of its base for each worker's own pages, and the cache."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 if job.section.workers else 0
    cache = cache_bytes(job, samples) if job.section.cache == "memory" else 0
    return own + workers * job.section.workers // 4 + cache


def cache_bytes(job: Job, samples: Sequence[Sample]) -> int:
    """Decoded size of the training pictures, up to the cache's limit."""
    sizes = {
        (r.media, r.frame): r.size_wh[0] * r.size_wh[1] * 3
        for sample in samples
        for rows in sample.inputs.values()
        for r in rows
    }
    return min(sum(sizes.values()), job.section.cache_mb * MEGABYTE)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
