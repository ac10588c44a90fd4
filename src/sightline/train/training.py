"""`train`: a problem, a dataset and a split in, a run out."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from sightline.core.errors import StorageError
from sightline.core.files import write_json
from sightline.core.lock import held
from sightline.core.problem import Problem, TrainSection
from sightline.core.records import Sample
from sightline.data.balance import class_weights
from sightline.data.counting import shown_by_all
from sightline.models.base import Model
from sightline.models.weights import load_weights
from sightline.train.batches import Loader, Pictures
from sightline.train.checkpoint import STATE
from sightline.train.engine import Job, Validate
from sightline.train.journal import Journal
from sightline.train.labels import Labeller
from sightline.train.loop import fit
from sightline.train.material import Material, gathered
from sightline.train.mining import Mined, MinedSampler
from sightline.train.run import CONFIG, Run, begin, build_model
from sightline.train.sampling import Sampler
from sightline.train.validation import default_monitor, validator


def train(
    problem: Problem,
    dataset: Any,
    split: Any,
    out: str | Path,
    *,
    resume: bool = True,
    progress: bool = True,
    validate: Validate | None = None,
    device: str | torch.device | None = None,
    mined: Mined | None = None,
) -> Run:
    """Train the problem's model on a split's `train` part, judged on its `val` part.

    The same folder with the same config goes on where it was; a finished run is given back as it is.

    Args:
        problem: what is wanted; `problem.train` says how.
        dataset: a `data.dataset.Dataset`.
        split: a `data.split.Split` of it.
        out: the run's folder.
        resume: false refuses a folder that holds a run.
        progress: tell the terminal.
        validate: metrics of a model after an epoch; `evaluate` on the `val` part unless given.
        device: where to train; the first CUDA device where there is one, else the CPU.
        mined: crops to learn from and to be judged by in place of the split's samples (`train.mining`).

    Returns:
        The run, whose best weights `run.model()` gives.

    Raises:
        UsageError: the folder holds another run, or another process trains in it.
        StorageError: the disk is full.
        DatasetError: the split has no elements to train on, or labels are absent.
        TrainingFailed: a loss that is not a number, or no memory for a single element.
    """
    key = mined.fingerprint if mined is not None else ""
    run = begin(Path(out), problem, dataset, split, resume=resume, mined=key)
    where = chosen_device(device)
    threads = cv2.getNumThreads()
    with held(run.folder, "another process trains in this folder", "wait for it, or end it"):
        if not run.done:
            try:
                begun = (run, problem, dataset, split, where)
                found = plan(*begun, progress=progress, mined=mined)
                fit(prepare(*begun, progress=progress, mined=mined, validate=validate, material=found))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise StorageError(
                    "the disk is full; the last whole state stands",
                    where=run.folder,
                    remedy="free some, then go on",
                ) from error
            finally:
                cv2.setNumThreads(threads)  # the loader's choice is not the caller's
    return run


def plan(
    run: Run,
    problem: Problem,
    dataset: Any,
    split: Any,
    device: torch.device,
    *,
    progress: bool = False,
    mined: Mined | None = None,
) -> Material | None:
    """Fix the epochs of a run with a budget of minutes, once: a resume must find the same schedule.

    Gives the material that was gathered for it, whose pictures need not be decoded again.
    """
    if problem.train.minutes is None or "planned" in run.config:
        return None
    from sightline.train.rehearsal import measure, planned_epochs

    started = time.monotonic()
    job = prepare(run, problem, dataset, split, device, progress=progress, mined=mined)
    found = job.material
    pace = measure(job, found.dataset, found.val)
    left = problem.train.minutes - (time.monotonic() - started) / 60
    run.config["epochs"], run.config["planned"] = planned_epochs(job, pace, max(left, 0.0)), True
    write_json(run.folder / CONFIG, run.config)
    return found


def chosen_device(device: str | torch.device | None) -> torch.device:
    """The one asked for, else the first CUDA device, else the CPU."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def prepare(
    run: Run,
    problem: Problem,
    dataset: Any,
    split: Any,
    device: torch.device,
    *,
    progress: bool,
    validate: Validate | None = None,
    mined: Mined | None = None,
    material: Material | None = None,
) -> Job:
    """Everything the loop needs; `material` where it was gathered before."""
    section = problem.train
    torch.manual_seed(section.seed)
    journal = Journal(run.folder, workers=section.workers, quiet=not progress)
    model = starting_model(run, problem, journal.say)
    journal.metadata = metadata(model)
    found = material or gathered(dataset, split, model, section, run.folder, journal.say, mined)
    dataset, labels = found.dataset, balanced(model, found.dataset, found.train, section)
    epochs = int(run.config["epochs"])
    tasks = model.signature.tasks
    labeller = Labeller(tasks, dataset.classes, dataset.read_map, min_visible=section.augment.min_visible)
    pictures = Pictures(
        dataset,
        found.train,
        model.signature.inputs,
        labeller,
        section=section.augment,
        seed=section.seed,
        compose_until=epochs - round(section.augment.off_last * epochs),
    )
    loader = Loader(pictures, section.workers, pin=device.type == "cuda")
    monitor = section.monitor or default_monitor(tasks)
    journal.told.add(monitor)
    sampler: Sampler | MinedSampler
    if mined is not None:
        folder = run.folder / "mined"
        sampler = MinedSampler(found.crops, mined.section, section.seed, folder, section.share)
    else:
        sampler = Sampler(section.sampling, labels, section.seed, section.share)
    check = validate or validator(dataset, found.val, model, journal, device)
    return Job(
        model=model,
        section=section,
        loader=loader,
        sampler=sampler,
        folder=run.folder,
        epochs=epochs,
        journal=journal,
        validate=check,
        monitor=monitor,
        device=device,
        material=found,
    )


def starting_model(run: Run, problem: Problem, say: Callable[[str], None]) -> Model:
    """The architecture with the weights that the problem names, unless a saved state will fill it."""
    model = build_model(problem, tuple(run.config["classes"]))
    if problem.model.weights != "none" and not (run.folder / "last" / STATE).exists():
        say(str(load_weights(model, problem.model.weights)))
    return model


def balanced(model: Model, dataset: Any, part: Sequence[Sample], section: TrainSection) -> list[list[int]]:
    """Weigh the model's classes where the section asks, and give the classes in each sample.

    Where segments are learned pixels are counted, else marks. Nothing is counted, and no map read, where
    nothing depends on it.
    """
    if section.class_weights == "none" and section.sampling in ("plain", "loss"):
        return [[] for _ in part]
    dense = "segment" in model.signature.tasks
    seen = list(shown_by_all(dataset, (sample.target for sample in part), outlines=dense))
    if section.class_weights == "effective-number":
        counts = np.sum([one.pixels if dense else one.marks for one in seen], axis=0)
        model.class_weights.copy_(torch.from_numpy(class_weights(counts)))
    return [one.labels for one in seen]


def metadata(model: Model) -> dict[str, str]:
    """What the header of a weights file says of it."""
    return {"signature": json.dumps(model.signature.to_json())}
