"""Exported against trained models on held-out data: four tasks, every runtime, batch 1 and 8.

Each task is learnt briefly on simulated scenes of mixed shapes, exported, and then answered by both sides
for the same held-out pictures: their headline metric may differ by 0.1 points, their points by 0.01 px
each, and detections are compared as matched sets.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.core.files import write_json
from sightline.core.media import write_picture
from sightline.core.predictor import Predictor
from sightline.core.problem import Problem, SplitSection
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.samples import read_inputs, samples
from sightline.data.split import Split, make_split
from sightline.data.writing import write_dataset
from sightline.evaluate.evaluation import evaluate
from sightline.export.compare import Allowance, compare_answers
from sightline.export.package import export
from sightline.export.parity import installed_runtimes
from sightline.runtime.loading import load
from sightline.simulate.labelled import write_coco_scenes, write_rallies
from sightline.simulate.scenes import CLASSES, simulate_scene, write_scenes
from sightline.train.run import Run
from sightline.train.training import train

METRIC_BAR_POINTS, POINT_BAR_PX, UNMATCHED_BAR = 0.1, 0.01, 0.01
BATCHES = (1, 8)
SIZES = ((160, 120), (96, 144))


def classify_set(folder: Path, count: int) -> Dataset:
    """One shape a picture, in folders by class; every second picture stands upright."""
    for index in range(count):
        scene = simulate_scene(index, SIZES[index % 2], most=1)
        if scene.things:
            place = folder / "source" / CLASSES[scene.things[0].label]
            place.mkdir(parents=True, exist_ok=True)
            write_picture(place / f"{index:04d}.png", scene.pixels)
    return import_dataset(folder / "source", folder / "set")[0]


def detect_set(folder: Path, count: int) -> Dataset:
    """Scenes with a COCO file."""
    (folder / "source").mkdir()
    return import_dataset(write_coco_scenes(folder / "source", count), folder / "set")[0]


def segment_set(folder: Path, count: int) -> Dataset:
    """Scenes with their class maps."""
    reading = write_scenes(folder / "source", count)
    return write_dataset(folder / "set", reading, Ledger())


def locate_set(folder: Path, count: int) -> Dataset:
    """Short rallies as Label Studio has them."""
    return import_dataset(write_rallies(folder / "source", max(3, count // 20), frames=20), folder / "set")[0]


@dataclass(frozen=True)
class Case:
    """A task, its data, its model, and the metric that is held."""

    task: str
    make: Callable[[Path, int], Dataset]
    model: dict[str, Any]
    metric: str


CASES = (
    Case("classify", classify_set, {"name": "mobilenetv3", "input": {"size": [96, 96]}}, "classify.accuracy"),
    Case("detect", detect_set, {"name": "yolo-n", "input": {"size": [160, 128]}}, "detect.map"),
    Case("segment", segment_set, {"name": "ddrnet_23_slim", "input": {"size": [128, 128]}}, "segment.miou"),
    Case(
        "locate",
        locate_set,
        {"name": "locator", "input": {"size": [192, 108], "fit": "stretch", "frames": 3}},
        "locate.mean_px",
    ),
)


def learn(case: Case, folder: Path, count: int, epochs: int) -> tuple[Run, Dataset, Split]:
    """A brief training, enough for answers that are not all alike."""
    folder.mkdir()
    dataset = case.make(folder, count)
    problem = Problem.parse(
        {
            "name": f"parity-{case.task}",
            "why": "to hold an exported model against its original",
            "task": case.task,
            "data": {"source": "source"},
            "model": case.model,
            "train": {"epochs": epochs, "batch": 8, "lr": 0.002, "workers": 0},
            "criteria": [{"metric": case.metric, "at_least": 0}],
        }
    )
    by = "group" if case.task == "locate" else "frame"
    split = make_split(dataset, SplitSection(by=by, train=0.6, val=0.2, test=0.2))
    return train(problem, dataset, split, folder / "run", progress=False), dataset, split


def elements_of(predictor: Predictor, dataset: Dataset, ids: list[str]) -> list[dict[str, Any]]:
    """Held-out pictures by input name."""
    inputs = predictor.signature.inputs
    return [read_inputs(dataset, sample, inputs) for sample in samples(dataset, ids, inputs)]


def gaps(
    case: Case, trained: Predictor, exported: Predictor, dataset: Dataset, ids: list[str]
) -> dict[str, float]:
    """How far two predictors are apart on the same pictures."""
    before = evaluate(trained, dataset, ids, bootstrap=0, gallery=0).metrics[case.metric].value
    after = evaluate(exported, dataset, ids, bootstrap=0, gallery=0).metrics[case.metric].value
    scale = 1 if case.metric.endswith("_px") else 100
    found = {"metric": before * scale, "metric gap": abs(before - after) * scale}
    pictures = elements_of(trained, dataset, ids)
    threshold = exported.signature.thresholds.get(case.task, 0.0)
    answers = zip(trained.predict(pictures), exported.predict(pictures), strict=True)
    for a, b in answers:
        rows = [{n: getattr(r[case.task], n) for n in r[case.task].__dataclass_fields__} for r in (a, b)]
        for gap in compare_answers(case.task, rows[0], rows[1], Allowance(POINT_BAR_PX, threshold)):
            found[gap.what] = max(found.get(gap.what, 0.0), gap.value)
    return found


def check(case: Case, folder: Path, count: int, epochs: int) -> list[str]:
    """Measure one task; gives what missed its bar."""
    run, dataset, split = learn(case, folder, count, epochs)
    package = export(run, dataset, split.part("val"), folder / "package")
    held_out = split.part("test")
    missed = []
    for runtime in installed_runtimes():
        for batch in BATCHES:
            exported = load(package, runtime=runtime, batch=batch)
            trained = run.predictor(batch=batch).with_thresholds(exported.signature.thresholds)
            found = gaps(case, trained, exported, dataset, held_out)
            where = f"{case.task} {runtime} batch {batch}"
            told = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
            print(f"{where} on {len(held_out)} pictures: {case.metric} {told}", flush=True)
            good = found["metric gap"] <= (POINT_BAR_PX if case.task == "locate" else METRIC_BAR_POINTS)
            good &= found.get("point, px", 0.0) <= POINT_BAR_PX
            good &= found.get("share of rows without a partner", 0.0) <= UNMATCHED_BAR
            missed += [] if good else [where]
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=120, help="of each task")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--tasks", nargs="*", default=[case.task for case in CASES])
    parser.add_argument("--json", type=Path, help="write what missed its bar here too")
    options = parser.parse_args()
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for case in CASES:
            if case.task in options.tasks:
                missed += check(case, Path(name) / case.task, options.pictures, options.epochs)
    if options.json:
        write_json(options.json, missed)
    verdict = "all within" if not missed else f"missed by {', '.join(missed)}"
    print(
        f"parity: {verdict} (bars: {METRIC_BAR_POINTS} points, {POINT_BAR_PX} px, "
        f"{UNMATCHED_BAR:.0%} of a picture's rows without a partner)"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
