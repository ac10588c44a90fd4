"""Blood cells from scratch in fifteen minutes on two CPU cores, against yolo11n under the same limits.

BCCD (Pascal VOC, its author's split): training on `train`, the best epoch chosen on `val`, figures on `test`,
pictures that nothing was chosen on. The clock covers the import, the training and its validations; over the
limit the bar is missed, whatever the figures. The reference is Ultralytics' yolo11n from scratch at 320 px,
64 epochs, in the same minutes on the same machine, measured once; with `--against` its predictions on the
test pictures are compared picture by picture (paired bootstrap) and have to be beaten for sure.

    python benchmarks/bccd.py [--seed 0] [--out FOLDER] [--against predictions.json]

`--against` takes COCO results: `image_id` is the picture's file name without its suffix, `bbox` is x, y,
width and height in its pixels, `category_id` counts `--names` from `--first`. `--predictions` writes ours so.
An interrupted call with the same `--out` goes on where it was; the epochs' seconds of all calls count.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.problem import Problem
from sightline.core.results import Detections
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.data.split import make_split
from sightline.evaluate import Scores, compare
from sightline.evaluate.evaluation import predicted
from sightline.train import train

REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SIGHTLINE_SHARED_DATA", REPO.parent / "shared" / "data"))
LIMIT_S = 15 * 60
BARS = {"detect.map50": 0.806, "detect.map": 0.487}
SHOWN = ("detect.map", "detect.map50", "detect.map75")

# Pictures are 640x480: 384x288 is the same shape and divides by 32, so that no pixel is padding. Blood cells
# have no up and no left. Epochs are fixed so that two Zen 5 cores need about ten of the fifteen minutes.
RECIPE: dict[str, Any] = {
    "name": "blood-cells",
    "why": "Count blood cells of a smear: the benchmark of small detectors trained from scratch",
    "task": "detect",
    "data": {"source": "bccd", "format": "voc"},
    "split": {"by": "author"},
    "model": {"name": "yolo-n", "input": {"size": [384, 288]}},
    "train": {
        "epochs": 120,
        "batch": 16,
        "optimizer": "adamw",
        "lr": 2e-3,
        "weight_decay": 0.05,
        "schedule": "cosine",
        "warmup_epochs": 3,
        "ema": 0.998,
        "precision": "bf16",
        "workers": 1,
        "cache": "memory",
        "validate_every": 30,
        "augment": {
            "flip": 0.5,
            "flip_vertical": 0.5,
            "rotate90": 0.5,
            "scale": [0.7, 1.4],
            "translate": 0.1,
            "brightness": 0.2,
            "contrast": 0.2,
            "saturation": 0.2,
            "mosaic": 0.5,
            "off_last": 0.15,
            "min_visible": 0.2,
        },
    },
    "criteria": [{"metric": name, "at_least": bar} for name, bar in BARS.items()],
}


def main() -> int:
    args = arguments()
    source = args.data / "bccd"
    if not source.is_dir():
        print(f"bccd: not measured, no BCCD at {source}; set SIGHTLINE_SHARED_DATA")
        return 1
    import torch  # after sightline.train, which tells its threads not to spin for long

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        return measured(args, source, args.out or Path(folder))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder that holds bccd/")
    parser.add_argument("--out", type=Path, help="keep dataset and run here, and go on there")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="another length than the recipe's, to try things")
    parser.add_argument("--against", type=Path, help="COCO results of another detector on the test pictures")
    parser.add_argument("--names", default="RBC,WBC,Platelets", help="class names of --against, in its order")
    parser.add_argument("--first", type=int, default=1, help="category_id of the first of --names")
    parser.add_argument("--predictions", type=Path, help="write ours here")
    return parser.parse_args()


def measured(args: argparse.Namespace, source: Path, out: Path) -> int:
    """Train, score the test pictures, print, and say whether the bar holds."""
    start = time.monotonic()
    asked = RECIPE | {"train": RECIPE["train"] | {"seed": args.seed}}
    if args.epochs:
        asked["train"]["epochs"] = args.epochs
    problem = Problem.parse(asked, where="benchmarks/bccd.py")
    place = out / "dataset"
    dataset = Dataset.open(place) if place.exists() else import_dataset(source, place, format="voc")[0]
    split = make_split(dataset, problem.split, near=False)
    folder = out / f"run-{args.seed}"
    start -= seconds_before(folder)
    run = train(problem, dataset, split, folder)
    spent = time.monotonic() - start

    ids = split.part("test")
    answers = {s.target.id: r["detect"] for s, r in predicted(run.predictor(), dataset, ids)}
    ours = scores_of(dataset, answers)
    if args.predictions:
        args.predictions.write_text(json.dumps(list(as_coco(answers))))
    estimates, _ = ours.estimates()
    parts = ", ".join(f"{name} {n}" for name, n in split.counts().items())
    print(f"seed {args.seed}: {problem.train.epochs} epochs, {parts}; {spent:.0f} s of {LIMIT_S}")
    for name in SHOWN:
        e = estimates[name]
        print(f"  {name:<14}{e.value:.3f}  [{e.low:.3f}, {e.high:.3f}]")
    if args.against:
        won = beaten(ours, scores_of(dataset, read_results(args, ids)))
    else:
        won = all(estimates[name].value > bar for name, bar in BARS.items())
    in_time = spent <= LIMIT_S
    verdict = "held" if won and in_time else "missed" + ("" if in_time else " (over the time)")
    figures = ", ".join(f"{name.removeprefix('detect.')} {estimates[name].value:.3f}" for name in BARS)
    wanted = "the other by paired bootstrap" if args.against else ", ".join(f"{v:g}" for v in BARS.values())
    print(
        f"bccd: {figures} in {spent / 60:.1f} min; bar: above {wanted} within {LIMIT_S / 60:g} min: {verdict}"
    )
    return 0 if won and in_time else 1


def seconds_before(run: Path) -> float:
    """Seconds that earlier, interrupted calls spent on the epochs of this run."""
    state = run / "last" / "state.json"
    return float(json.loads(state.read_text())["state"]["seconds"]) if state.exists() else 0.0


def scores_of(dataset: Any, answers: dict[str, Detections]) -> Scores:
    scores = Scores(("detect",), dataset.classes, answers=next(iter(answers.values())).names)
    for name, detections in answers.items():
        scores.add(dataset.record(name), {"detect": detections}, dataset.read_map)
    return scores


def beaten(ours: Scores, theirs: Scores) -> bool:
    """Print the paired differences; whether each bar's metric is better with its interval above zero."""
    values, found = theirs.values(), compare(ours, theirs)
    for name in SHOWN:
        d = found[name]
        print(
            f"  {name:<14}{d.value:+.3f}  [{d.low:+.3f}, {d.high:+.3f}] over {values[name]:.3f}, p {d.p:.3f}"
        )
    return all(found[name].better > 0 for name in BARS)


def as_coco(answers: dict[str, Detections]) -> Iterator[dict[str, Any]]:
    """Our detections as COCO results; categories count the dataset's classes from 1."""
    for name, found in answers.items():
        for (x1, y1, x2, y2), score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True
        ):
            yield {
                "image_id": Path(name).stem,
                "category_id": label + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }


def read_results(args: argparse.Namespace, ids: list[str]) -> dict[str, Detections]:
    """COCO results of another detector, by our ids; pictures it is silent about have none."""
    names = tuple(args.names.split(","))
    rows: dict[str, list[dict[str, Any]]] = {Path(name).stem: [] for name in ids}
    for row in json.loads(args.against.read_text()):
        if str(row["image_id"]) in rows:
            rows[str(row["image_id"])].append(row)
    if not any(rows.values()):
        sys.exit(f"error: {args.against}: names none of the {len(ids)} test pictures by image_id")
    out = {}
    for name in ids:
        found = sorted(rows[Path(name).stem], key=lambda r: -r["score"])
        xywh = np.array([r["bbox"] for r in found], np.float32).reshape(-1, 4)
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        scores = np.array([r["score"] for r in found], np.float32)
        classes = np.array([r["category_id"] - args.first for r in found], np.int64)
        out[name] = Detections(boxes, scores, classes, names)
    return out


if __name__ == "__main__":
    sys.exit(main())
