"""Eleven published versions of a two-stage shuttle locator, and three of its choices, on one small budget.

Every version (`models.locate_versions`) is trained for as many minutes, on the same simulated rallies, and
scored on the same unseen ones: coarse versions on whole frames, fine ones on windows about a place that is
off the truth by a drawn amount, equal for all. Tracks are the true past, perturbed alike for all. Then pairs
that differ in one choice: noise of a random strength against a constant one, mined against random crops, with
the trajectory prior and without. Intervals resample whole rallies.

The budget is small on purpose: small films, small inputs and, unless `--backbones own`, one light backbone
for all, so that what differs is neck, head and what is told of the past. Figures say which parts learn faster
here, not what the reference reached.

The bar: the coarse heatmap (v4) finds more points within 8 px than the best regression from pooled features
(v1 to v3), and the interval of the difference excludes none.

    python benchmarks/locate_ablation.py [--minutes 1.4] [--out FOLDER] [--backbones own] [--only NAME ...]

An interrupted call with the same `--out` goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

import sightline.train  # noqa: F401  (before torch: its threads must not spin for long)
from locate_ablation_table import Scored, pictured, printed
from sightline.core.problem import AugmentSection, MineSection, Problem
from sightline.core.records import Record, Sample
from sightline.core.results import Points
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.data.samples import read_inputs, samples
from sightline.data.split import Split, make_split
from sightline.evaluate.bootstrap import difference
from sightline.evaluate.metrics.locate import Locate
from sightline.models.locate_versions import TRAINING, VERSIONS
from sightline.models.predictor import torch_predictor
from sightline.simulate.labelled import write_videos
from sightline.train.augment import generator, perturbed
from sightline.train.cache import Cached
from sightline.train.mining import truth_of
from sightline.train.run import Run
from sightline.train.stages import mine
from sightline.train.training import chosen_device, train

REPO = Path(__file__).resolve().parent.parent
SIZE_WH, FRAMES, FPS = (640, 360), 32, 30
TRAIN, TEST = (30, 810_000), (16, 920_000)  # rallies, first seed
SIDES = {"coarse": 160, "fine": 96}
LIGHT = "mobilenetv4_conv_small"
ROUNDS, SEED = 2000, 0
OFF = 0.15  # of the window's side: deviation of where the fine stage is told to look
TRACK = {"track_noise": 3.0, "track_drop": 0.1, "track_wrong": 0.03}
BATCH = 16

# Runs beside the versions: name, the version they are of, how its crops are drawn.
EXTRA = {"fine-v5, random crops": ("fine-v5", MineSection(crops="random"))}
PAIRS = (
    ("noise of random strength", "fine-v5", "fine-v4"),
    ("mined crops", "fine-v5", "fine-v5, random crops"),
    ("trajectory prior", "fine-v7", "fine-v6"),
)


def main() -> int:
    args = arguments()
    import torch

    torch.set_num_threads(args.threads)
    learned, unseen = (prepared(args.out, name, *rows) for name, rows in (("train", TRAIN), ("test", TEST)))
    split = make_split(learned, problem("coarse-v4", args).split, near=False)
    runs = trained(args, learned, split)
    scored = {name: Scored(*measured(run, unseen, version_of(name))) for name, run in runs.items()}
    printed(scored)
    for label, one, other in PAIRS:
        if one in scored and other in scored:
            gap = difference(scored[one].family, scored[other].family, scored[one].groups, ROUNDS, SEED)
            found = gap["within_8px"]
            print(f"{label}: within 8 px {found.value:+.3f} (95%: {found.low:+.3f} to {found.high:+.3f})")
    print(f"picture: {pictured(scored, args.out / 'locate_ablation.png', args.minutes)}")
    return verdict(scored)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPO / "work" / "ablation", help="films, runs, picture")
    parser.add_argument("--minutes", type=float, default=1.4, help="of training, each")
    parser.add_argument("--backbones", choices=("light", "own"), default="light")
    parser.add_argument("--only", nargs="*", default=[], help="of these versions only")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def version_of(name: str) -> str:
    """The version that a run is of."""
    return EXTRA[name][0] if name in EXTRA else name


def prepared(out: Path, name: str, rallies: int, seed: int) -> Dataset:
    """Films and their dataset, made once."""
    films, place = out / f"films-{name}", out / f"dataset-{name}"
    if place.exists():
        return Dataset.open(place)
    if not films.exists():
        part = out / f"films-{name}.part"
        write_videos(part, rallies, frames=FRAMES, size_wh=SIZE_WH, fps=FPS, seed=seed)
        part.rename(films)
    return import_dataset(films, place, "ball-track")[0]


def problem(version: str, args: argparse.Namespace) -> Problem:
    """A version's model and training at the size of this comparison."""
    stage = version.partition("-")[0]
    model = {**VERSIONS[version]}
    model["input"] = model["input"] | {"size": [SIDES[stage]] * 2}
    if args.backbones == "light":
        model["options"] = model["options"] | {"backbone": LIGHT}
    augment = {"flip": 0.5, "translate": 0.15 if stage == "fine" else 0.05, "scale": [0.8, 1.25], **TRACK}
    section: dict[str, Any] = {
        "minutes": args.minutes,
        "epochs": 100,
        "batch": BATCH,
        "lr": 2e-3,
        "backbone_lr": 1e-3,
        "weight_decay": 0.02,
        "warmup_epochs": 0.5,
        "share": 0.25,
        "validate_every": 1000,
        "precision": "bf16",
        "ema": 0.99,
        "workers": 1,
        "cache_mb": 1500,
        "seed": SEED,
        "monitor": "locate.within_8px",
    }
    section["augment"] = augment | TRAINING[version].get("augment", {})
    return Problem.parse(
        {
            "name": version,
            "why": "compare published versions under one budget",
            "task": "locate",
            "classes": ["ball"],
            "data": {"source": "films", "format": "ball-track"},
            "split": {"by": "group", "train": 0.9, "val": 0.1, "test": 0.0, "seed": SEED},
            "model": model,
            "train": section,
            "criteria": [{"metric": "locate.within_8px", "at_least": 0}],
        }
    )


def trained(args: argparse.Namespace, dataset: Dataset, split: Split) -> dict[str, Run]:
    """Every run by name. Fine stages learn from crops mined with the best coarse version, v4."""
    wanted = [n for n in (*VERSIONS, *EXTRA) if not args.only or version_of(n) in args.only]
    fine = any(name.startswith("fine") for name in wanted)
    names = [n for n in (*VERSIONS, *EXTRA) if n in wanted or (fine and n == "coarse-v4")]
    runs: dict[str, Run] = {}
    for name in names:
        asked = problem(version_of(name), args)
        folder = args.out / "runs" / name.replace(", ", "-").replace(" ", "-")
        mined = None
        if name.startswith("fine"):
            section = EXTRA[name][1] if name in EXTRA else MineSection(every=2)
            where = chosen_device(None)
            mined = mine(runs["coarse-v4"], asked, section, dataset, split, folder.parent, where)
        print(f"training {name}", flush=True)
        runs[name] = train(asked, dataset, split, folder, progress=False, mined=mined)
    return {name: run for name, run in runs.items() if name in wanted or name == "coarse-v4"}


def measured(run: Run, dataset: Dataset, version: str) -> tuple[Locate, list[str], int]:
    """A run's figures on the unseen rallies, the rally of each sample, and the steps it learned for."""
    model = run.model()
    inputs, predictor = model.signature.inputs, torch_predictor(model)
    views = [windowed(s, version) for s in samples(dataset, [r.id for r in dataset.records], inputs)]
    records = [r for s in views for rows in s.inputs.values() for r in rows]
    held: Any = Cached(dataset, records, "memory", 1500, run.folder)
    family, groups = Locate(model.signature.classes), []
    for start in range(0, len(views), BATCH):
        part = views[start : start + BATCH]
        elements = [told(read_inputs(held, s, inputs), start + i) for i, s in enumerate(part)]
        for sample, results in zip(part, predictor.predict(elements), strict=True):
            points = results["locate"]
            assert isinstance(points, Points)
            if family.add(sample.target, points, dataset.read_map):
                groups.append(sample.group)
    return family, groups, steps_of(run)


def steps_of(run: Run) -> int:
    """Optimiser steps at the run's last epoch."""
    last = (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    return int(json.loads(last)["step"])


def windowed(sample: Sample, version: str) -> Sample:
    """For fine versions: looked at about a place near the truth, or anywhere where there is none."""
    if not version.startswith("fine"):
        return sample
    record: Record = sample.target
    random = generator(SEED, 1, record.frame, crc32(record.group.encode()))
    truth = truth_of(record)
    x, y = random.uniform(0, 1, 2) * record.size_wh if truth is None else truth
    dx, dy = random.normal(0, OFF * SIDES["fine"], 2)
    return Sample(sample.inputs, record, (float(x + dx), float(y + dy)))


def told(element: dict[str, Any], index: int) -> dict[str, Any]:
    """An element whose track is perturbed, alike for every version."""
    if "track" in element:
        element["track"] = perturbed(
            element["track"], SIZE_WH, generator(SEED, 2, index), AugmentSection.model_validate(TRACK)
        )
    return element


def verdict(scored: dict[str, Scored]) -> int:
    """The last line."""
    pooled = [n for n in ("coarse-v1", "coarse-v2", "coarse-v3") if n in scored]
    if "coarse-v4" not in scored or not pooled:
        print("no verdict: coarse-v1 to v4 were not all trained")
        return 1
    best = max(pooled, key=lambda n: scored[n].figures["within_8px"])
    heat = scored["coarse-v4"]
    gap = difference(heat.family, scored[best].family, heat.groups, ROUNDS, SEED)["within_8px"]
    print(
        f"heatmap over {best}, within 8 px: {gap.value:+.3f} (95%: {gap.low:+.3f} to {gap.high:+.3f}); "
        "bar: above 0 throughout"
    )
    return 0 if gap.low > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
