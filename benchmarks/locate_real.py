"""Real footage: a ball in 21 frames of one broadcast, and a run over street films without a fault.

`volleyball_ball_clip` has 21 labelled frames of one rally. Both stages learn from its first 14 frames (from
the weights of `locate.py`'s run where `--start` names one, else from scratch) and answer the other seven,
which follow. Its `visible` column is 0 on every row although the ball is in sight: `--visible all` takes
the points, and the import's ledger says so. Then the stream runs over every frame of `videos_intel`, where
there is nothing to find: it must answer each frame with finite numbers.

What this shows: labels, film, clips, mining, both stages and the stream go through on real pixels. What it
does not show: anything about another rally, hall or camera; seven frames that follow fourteen are no test
set, and the intervals a bootstrap would print over one film do not exist.

    python benchmarks/locate_real.py [--start FOLDER] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from locate import RECIPE
from sightline.core.problem import Problem
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.data.reading import ReadOptions
from sightline.data.split import Split
from sightline.evaluate.films import pictures_of
from sightline.evaluate.metrics.tracks import Tracks
from sightline.export.staged import pipeline_of
from sightline.runtime.coarse_to_fine import CoarseToFine
from sightline.train.stages import StagedRun, train_stages

REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SIGHTLINE_SHARED_DATA", REPO.parent / "shared" / "data"))
SHOWN, JUDGED = 12, 14  # frames learned from, and from here on held out
EPOCHS = 40


def main() -> int:
    args = arguments()
    source, films = args.data / "volleyball_ball_clip", args.data / "videos_intel"
    if not source.is_dir() or not films.is_dir():
        print(f"locate_real: not measured, no {source.name} or {films.name} in {args.data}")
        return 1
    import torch  # after sightline.train, which tells its threads not to spin for long

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        out = args.out or Path(folder)
        # The same frames lie there twice, as a film and as pictures: both would put each on both sides.
        dataset = imported(source / "example_datasets" / "video_dataset", out / "dataset")
        split = contiguous(dataset)
        problem = recipe(args.start, args.epochs)
        run = train_stages(problem, dataset, split, out / "run", progress=args.verbose)
        predictor = pair(run, problem)
        found = clips(predictor, dataset, split.part("test"))
        told(found)
        faults = over(predictor, sorted(films.glob("*.mp4")))
    print(f"locate_real: {faults} faults over real films; seven frames of one rally prove nothing more")
    return 1 if faults else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--start", type=Path, help="folder of locate.py's run: start from its weights")
    parser.add_argument("--out", type=Path, help="keep dataset and runs here")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each stage")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="tell of each epoch")
    return parser.parse_args()


def imported(source: Path, place: Path) -> Dataset:
    """The labelled frames; every point is taken as visible, which the ledger notes."""
    if place.exists():
        return Dataset.open(place)
    dataset, ledger = import_dataset(source, place, "ball-track", ReadOptions(visible="all"))
    for note in ledger.notes:
        print(f"  ledger: {note}")
    return dataset


def contiguous(dataset: Dataset) -> Split:
    """The first frames to learn from, the next ones to judge epochs by, the last ones held out."""
    order = sorted(dataset.records, key=lambda record: record.frame)
    part = {
        record.id: "train" if i < SHOWN else "val" if i < JUDGED else "test" for i, record in enumerate(order)
    }
    print(f"  frames: {SHOWN} to learn from, {JUDGED - SHOWN} to choose by, {len(order) - JUDGED} held out")
    return Split("contiguous", part, dataset.fingerprint)


def recipe(start: Path | None, epochs: int) -> Problem:
    """`locate.py`'s stages for a handful of frames."""
    value: dict[str, Any] = json.loads(json.dumps(RECIPE))
    for name in ("coarse", "fine"):
        stage = value["stages"][name]
        stage["train"] |= {"epochs": epochs, "batch": 4, "lr": 5e-4, "ema": 0.9, "share": 1.0, "workers": 0}
        stage["train"] |= {"validate_every": 20, "cache_mb": 1000, "cache": "memory", "monitor": "val.loss"}
        if start is not None:
            stage["model"]["weights"] = str(start / name)
    value["stages"]["fine"]["mine"]["stride"] = 1
    return Problem.parse(value, where="benchmarks/locate_real.py")


def pair(run: StagedRun, problem: Problem) -> CoarseToFine:
    """Both trained stages as one predictor."""
    return CoarseToFine(run.coarse.predictor(), run.fine.predictor(), pipeline_of(problem))


def clips(predictor: CoarseToFine, dataset: Dataset, ids: list[str]) -> Tracks:
    """Each held-out frame answered alone, from the clip that ends with it."""
    from sightline.data.samples import read_inputs, samples

    inputs, found = predictor.signature.inputs, Tracks()
    for sample in samples(dataset, ids, inputs):
        (results,) = predictor.predict([read_inputs(dataset, sample, inputs)])
        found.add(sample.target, results["locate"], 0.0)
    return found


def told(found: Tracks) -> None:
    """Every held-out frame, since there are so few, and their figures."""
    errors = found.columns().error
    for frame, error, score in zip(found.frame, errors, found.score, strict=True):
        print(f"  frame {frame}: {error:.1f} px off, in sight {score:.2f}")
    within = {limit: float((errors <= limit).mean()) for limit in (8, 30)}
    print(f"  median {np.median(errors):.1f} px; within 8 px {within[8]:.2f}, within 30 px {within[30]:.2f}")


def over(predictor: CoarseToFine, films: list[Path]) -> int:
    """Every frame of films in which there is nothing to find; gives the number of faulty answers."""
    faults = 0
    for film in films:
        frames = claimed = 0
        with predictor.open_stream() as stream:
            for picture in pictures_of(film):
                points = stream.push({"clip": picture})["locate"]
                finite = bool(np.isfinite(points.points).all() and np.isfinite(points.visible).all())
                faults += not finite
                frames += 1
                claimed += bool(points.visible[0] >= 0.5)
        print(f"  {film.name}: {frames} frames answered, {claimed} claimed to show it")
    return faults


if __name__ == "__main__":
    sys.exit(main())
