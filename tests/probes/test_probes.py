"""Four thin systems that prove the nouns: labels of a tool in, and answers of a package out.

Each goes through import, train, evaluate, export and predict by the same calls as any other; none has
code of its own outside its model, its metric, its result type and its label format.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import sightline
from sightline.core.problem import Problem
from sightline.core.records import Annotation
from sightline.core.results import RESULT_TYPES
from sightline.data.dataset import Dataset
from sightline.data.formats import resolve
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading
from sightline.data.samples import read_inputs, samples
from sightline.data.split import Split
from sightline.data.writing import write_dataset
from sightline.evaluate import score
from sightline.models.predictor import torch_predictor
from sightline.simulate.scenes import STUFF, THINGS, write_scenes, write_two_clocks

TRAINED, HELD_OUT = 10, 2
CPU_MINUTES = 10


@dataclass(frozen=True)
class Probe:
    """A label format, the tasks, a model, and the figures it must overfit to; the first is monitored."""

    format: str
    tasks: tuple[str, ...]
    model: dict[str, Any]
    least: dict[str, float]
    train: dict[str, Any] = field(default_factory=dict)


SIZE = {"size": [160, 128], "fit": "letterbox"}
PROBES = {
    "detr": Probe(
        "coco-panoptic",
        ("detect", "panoptic"),
        {"name": "detr", "input": SIZE, "options": {"queries": 20, "width": 64, "stuff": list(STUFF)}},
        {"panoptic.pq": 0.5, "detect.map50": 0.5},
        {"epochs": 150, "lr": 0.001},
    ),
    "segdepth": Probe(
        "sensors",
        ("segment", "depth"),
        {"name": "segdepth", "input": SIZE},
        {"segment.miou": 0.7, "depth.delta1": 0.9},
        {"epochs": 180},
    ),
    "rgbd": Probe("sensors", ("segment",), {"name": "rgbd"}, {"segment.miou": 0.7}, {"epochs": 100}),
    "maskrcnn": Probe(
        "coco",
        ("instances",),
        {
            "name": "maskrcnn",
            "input": SIZE,
            "options": {"backbone": "resnet18", "width": 64, "regions": 64, "anchor": 4},
        },
        {"instances.map50": 0.5},
        {"epochs": 80, "lr": 0.001},
    ),
}


def labels(name: str, folder: Path) -> Path:
    """What the simulator knows, written in the probe's label format."""
    count = TRAINED + HELD_OUT
    if name == "rgbd":
        reading = write_two_clocks(folder / "made", count)
    else:
        reading = write_scenes(folder / "made", count)
    if name == "maskrcnn":
        reading = only_things(reading)
    made = write_dataset(folder / "known", reading, Ledger())
    resolve(PROBES[name].format).write(made, folder / "labels")
    return folder / "labels"


def only_things(reading: Reading) -> Reading:
    """The scenes with their shapes alone: ground and sky are no instances."""
    from dataclasses import replace

    def kept(marks: tuple[Annotation, ...]) -> tuple[Annotation, ...]:
        return tuple(mark for mark in marks if mark.label < len(THINGS))

    records = [replace(r, annotations=kept(r.annotations), maps={}) for r in reading.records]
    return Reading(THINGS, records, reading.media_root)


def divided(dataset: Dataset) -> Split:
    """Ten moments to learn by heart, two to select and two sensors' partners on the same side."""
    names = sorted({Path(r.id).name for r in dataset.records})
    part = {name: "train" if i < TRAINED else "val" for i, name in enumerate(names)}
    parts = {r.id: part[Path(r.id).name] for r in dataset.records}
    split = Split("probe", parts, dataset.fingerprint, {"by": "hand"}, dataset.root)
    split.write()
    return split


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PROBES)
def test_a_probe_goes_from_labels_to_the_answers_of_a_package(name: str, tmp_path: Path) -> None:
    probe = PROBES[name]
    dataset, ledger = sightline.import_dataset(labels(name, tmp_path), tmp_path / "dataset", probe.format)
    assert not ledger.dropped
    split = divided(dataset)
    problem = Problem.parse(
        {
            "name": name,
            "why": "To prove the vocabulary.",
            "tasks": probe.tasks,
            "data": {"source": "labels"},
            "model": probe.model,
            "train": {
                "batch": 5,
                "lr": 0.002,
                "workers": 0,
                "validate_every": 10,
                "monitor": next(iter(probe.least)),
                "augment": {"flip": 0, "brightness": 0, "contrast": 0, "saturation": 0},
                **probe.train,
            },
            "criteria": [{"metric": metric, "at_least": least} for metric, least in probe.least.items()],
        }
    )
    learnt = split.part("train")

    def by_heart(model: Any, epoch: int) -> dict[str, float]:
        """What is kept is the best on what was learnt: this proves the path, not the generality."""
        return score(torch_predictor(model), dataset, learnt)

    began = time.process_time()
    run = sightline.train(problem, dataset, split, tmp_path / "run", progress=False, validate=by_heart)
    spent = (time.process_time() - began) / 60
    print(f"{name}: {spent:.1f} CPU minutes, {run.best}")
    assert spent <= CPU_MINUTES
    missed = {metric: run.best[metric] for metric, least in probe.least.items() if run.best[metric] < least}
    assert not missed
    package = sightline.export(run, dataset, split.part("val"), tmp_path / "package")
    predictor = sightline.load(package)
    [element] = samples(dataset, split.part("val"), predictor.signature.inputs)[:1]
    [answer] = predictor.predict([read_inputs(dataset, element, predictor.signature.inputs)])
    assert {task: type(result) for task, result in answer.items()} == {
        task: RESULT_TYPES[task] for task in probe.tasks
    }
