"""A shuttle found in unseen simulated 1080p60 rallies: both stages trained within 40 minutes on two cores.

Coarse and fine stage are trained from scratch on simulated rallies, exported as one package, and the package
answers whole films of other seeds, halls, cameras and players, frame by frame through its stream, as `watch`
would. **All of this is simulation**: it says how well the system learns what it is shown, not how well it
does on a real court (`locate_real.py` says what little can be said of that).

The clock of 40 minutes covers everything from the dataset to the last weights: decoding, both trainings,
their validations and the mining between them. Epochs are fixed beforehand from measured steps. Films are
rendered once and kept, and are not counted.

    python benchmarks/locate.py [--out FOLDER] [--seed 0] [--minutes 38]

An interrupted call with the same `--out` goes on where it was; the seconds of all calls count.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from locate_data import TEST, TRAIN, rendered
from sightline.core.problem import Problem
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.data.split import Split, make_split
from sightline.train.stages import train_stages

REPO = Path(__file__).resolve().parent.parent
LIMIT_S = 40 * 60
COARSE_SHARE = 0.6

RECIPE: dict[str, Any] = {
    "name": "shuttle",
    "why": "Find a shuttle's head in live video at 1080p60: the benchmark of two-stage locators",
    "task": "locate",
    "classes": ["ball"],
    "data": {"source": "train", "format": "ball-track"},
    "split": {"by": "group", "train": 0.94, "val": 0.06, "test": 0.0},
    "stages": {
        "coarse": {
            "model": {
                "name": "locator",
                "input": {"size": [480, 288], "fit": "letterbox", "frames": 3},
                "options": {
                    "backbone": "regnetx_002",
                    "width": 32,
                    "stride": 4,
                    "loss": "heatmap",
                    "sharpen": 6,
                },
            },
            "train": {
                "epochs": 200,
                "batch": 8,
                "lr": 2e-3,
                "weight_decay": 0.02,
                "warmup_epochs": 1,
                "share": 0.1,
                "validate_every": 8,
                "precision": "bf16",
                "ema": 0.995,
                "workers": 1,
                "cache": "disk",
                "cache_mb": 8000,
                "monitor": "locate.within_8px",
                "augment": {"flip": 0.5, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 12},
            },
        },
        "fine": {
            "model": {
                "name": "locator",
                "input": {"size": [192, 192], "fit": "native", "frames": 3},
                "options": {
                    "backbone": "regnetx_002",
                    "deepest": 16,
                    "width": 32,
                    "stride": 4,
                    "sharpen": 4,
                },
            },
            "mine": {"stride": 2, "hard": 0.3, "every": 4},
            "train": {
                "epochs": 200,
                "batch": 16,
                "lr": 2e-3,
                "weight_decay": 0.02,
                "warmup_epochs": 1,
                "share": 0.25,
                "validate_every": 8,
                "precision": "bf16",
                "ema": 0.995,
                "workers": 1,
                "cache": "disk",
                "cache_mb": 6000,
                "monitor": "locate.within_8px",
                "augment": {
                    "flip": 0.5,
                    "translate": 0.2,
                    "brightness": 0.3,
                    "contrast": 0.3,
                    "saturation": 0.3,
                    "hue": 12,
                },
            },
        },
    },
    "pipeline": {"mode": "track"},
    "criteria": [{"metric": "locate.median_px", "at_most": 2}],
}


def main() -> int:
    args = arguments()
    shown = rendered(args.out / "films", TRAIN)
    import torch  # after sightline.train, which tells its threads not to spin for long

    torch.set_num_threads(args.threads)
    problem = recipe(args.seed, args.minutes)
    clock = Clock(args.out / f"seconds-{args.tag}.json")
    dataset, split = prepared(args.out / "dataset", shown, problem)
    run = train_stages(problem, dataset, split, args.out / f"run-{args.tag}")
    spent = clock.stop()
    print(f"trained in {spent / 60:.1f} min, of {LIMIT_S / 60:g}", flush=True)
    rendered(args.out / "films", TEST)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPO / "work" / "locate", help="films, runs and package")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=36, help="of training, both stages together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tag", default="0", help="name of this training inside --out")
    return parser.parse_args()


class Clock:
    """Seconds of training over all calls with one folder."""

    def __init__(self, path: Path) -> None:
        self.path, self.start = path, time.monotonic()
        self.before = float(json.loads(path.read_text())) if path.exists() else 0.0

    def stop(self) -> float:
        """Seconds in all; kept for a later call."""
        total = self.before + time.monotonic() - self.start
        self.path.write_text(json.dumps(total))
        return total


def recipe(seed: int, minutes: float) -> Problem:
    """The problem, its budget shared between the stages."""
    value = json.loads(json.dumps(RECIPE))
    shares = {"coarse": COARSE_SHARE, "fine": 1 - COARSE_SHARE}
    for name, share in shares.items():
        value["stages"][name]["train"] |= {"seed": seed, "minutes": minutes * share}
    return Problem.parse(value, where="benchmarks/locate.py")


def prepared(place: Path, films: Path, problem: Problem) -> tuple[Dataset, Split]:
    """The dataset of the training films and its split by rally."""
    dataset = Dataset.open(place) if place.exists() else import_dataset(films, place, "ball-track")[0]
    return dataset, make_split(dataset, problem.split, near=False)


if __name__ == "__main__":
    sys.exit(main())
