"""Drift on blood cells: how often windows of the reference's own world are flagged, and how soon a moved
world is found.

A small detector is trained on two fifths of BCCD (kept in `--work`, or give `--package` with the dataset of
`--work`); everything else is held out. **False alarms**: the held-out pictures are divided at random, again
and again, into a reference and a window, so that both are of one world by construction; every division is
one simulated window. **Detection**: the package's own reference (its validation part) is watched through
`DriftWatch`, as the service does it, on the test part: after a number of untouched pictures that differs
each time, the pictures are darkened by 25%, blurred with sigma 2, robbed of every platelet (painted over by
its surroundings), or replaced by another camera's (nuts). Counted are the pictures from the change until
drift is believed: two windows in a row. Each is tried `--tries` times in another order.

    python benchmarks/drift.py [--work FOLDER] [--windows 2000] [--tries 20]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from drift_package import blood_cells
from sightline.core.media import read_picture
from sightline.core.observation import Observation, stack
from sightline.core.predictor import Predictor
from sightline.core.reference import observed
from sightline.data.dataset import Dataset
from sightline.monitor.drift import ALPHA, ROUNDS, Baseline, compare
from sightline.monitor.windows import DriftWatch, WindowOptions
from sightline.runtime.loading import load, read_manifest

REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SIGHTLINE_SHARED_DATA", REPO.parent / "shared" / "data"))
LIMIT = 200
OPTIONS = WindowOptions()
GONE = "Platelets"
Picture = np.ndarray[Any, Any]
Change = Callable[[Picture, str], Picture]


def main() -> int:
    args = arguments()
    if not (args.data / "bccd").is_dir() or not (args.data / "nuts_coco_instances").is_dir():
        print(f"drift: not measured, no BCCD or nuts at {args.data}; set SIGHTLINE_SHARED_DATA")
        return 1
    package, dataset, split = blood_cells(args.data / "bccd", args.work, args.threads)
    predictor = load(args.package or package, args.threads)
    base = Baseline.of(read_manifest(args.package or package))
    val, test = split.part("val"), split.part("test")
    print(f"{base.package}: reference of {len(base.sample)} pictures; {len(test)} others held out")
    start = time.monotonic()
    plain = seen_of(predictor, dataset, [*val, *test], lambda picture, _: picture)
    print(f"looked at in {time.monotonic() - start:.0f} s")
    rate = false_alarms(base, plain, args.windows)
    undisturbed = plain[len(val) :]
    slowest = detections(args, base, undisturbed, changed_sets(args, predictor, dataset, test))
    held = rate <= ALPHA and slowest <= LIMIT
    print(
        f"drift: {rate:.2%} of {args.windows} undrifted windows flagged, slowest find {slowest:.0f}; "
        f"bar: at most {ALPHA:.0%}, at most {LIMIT}: {'held' if held else 'missed'}"
    )
    return 0 if held else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=SHARED, help="folder that holds bccd/ and nuts_coco_instances/"
    )
    parser.add_argument(
        "--work", type=Path, default=REPO / "work" / "drift", help="dataset and package are kept here"
    )
    parser.add_argument("--package", type=Path, help="another package than the one trained here")
    parser.add_argument("--windows", type=int, default=2000, help="undrifted windows simulated")
    parser.add_argument("--tries", type=int, default=20, help="orders in which each change is tried")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def seen_of(predictor: Predictor, dataset: Dataset, ids: Sequence[str], change: Change) -> list[Observation]:
    """Observations of records whose pictures were changed."""

    def items() -> Iterable[tuple[str, str, dict[str, Picture]]]:
        for name in ids:
            yield name, "", {"image": change(dataset.read(dataset.record(name)), name)}

    return [seen for _, seen, _ in observed(predictor, items())]


def false_alarms(base: Baseline, plain: list[Observation], windows: int) -> float:
    """Share of windows that are flagged though they come from the reference's world."""
    pool = stack(plain, len(base.classes), base.moments)
    random, flagged, by = np.random.default_rng(0), 0, Counter[str]()
    size = min(len(base.sample), len(pool) - OPTIONS.window)
    worst = Counter[int]()
    for index in range(windows):
        rows = random.permutation(len(pool))
        reference = replace(base, sample=pool.take(rows[:size]))
        window = pool.take(rows[size : size + OPTIONS.window])
        report = compare(reference, window, alpha=ALPHA, rounds=ROUNDS, seed=index)
        flagged += report.drifted
        by.update(row.statistic for row in report.rows if row.drifted)
        worst[index // 100] += report.drifted
    rate = flagged / windows
    error = (rate * (1 - rate) / windows) ** 0.5
    print(
        f"undrifted: {flagged} of {windows} windows of {OPTIONS.window} against references of {size} flagged "
        f"({rate:.2%}, standard error {error:.2%}; stated {ALPHA:.0%}); by {dict(by) or 'none'}; "
        f"most in a hundred {max(worst.values())}"
    )
    return rate


def changed_sets(
    args: argparse.Namespace, predictor: Predictor, dataset: Dataset, test: Sequence[str]
) -> dict[str, list[Observation]]:
    """Each moved world's observations."""
    label = dataset.classes.index(GONE)
    boxes = {
        name: [m.box for m in dataset.record(name).annotations if m.label == label and m.box is not None]
        for name in test
    }
    changes: dict[str, Change] = {
        "25% darker": lambda picture, _: cv2.convertScaleAbs(picture, alpha=0.75),
        "blurred, sigma 2": lambda picture, _: cv2.GaussianBlur(picture, (0, 0), 2),
        f"no {GONE}": lambda picture, name: painted_over(picture, boxes[name]),
    }
    found = {title: seen_of(predictor, dataset, test, change) for title, change in changes.items()}
    nuts = sorted((args.data / "nuts_coco_instances").rglob("*.jpg"))
    shots = [(str(path), "", {"image": read_picture(path)}) for path in nuts]
    found["another camera (nuts)"] = [seen for _, seen, _ in observed(predictor, shots)]
    return found


def painted_over(picture: Picture, boxes: Sequence[Sequence[float]]) -> Picture:
    """The picture with its boxes filled from their surroundings (Telea 2004)."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    for x1, y1, x2, y2 in boxes:
        mask[max(0, int(y1) - 4) : int(y2) + 5, max(0, int(x1) - 4) : int(x2) + 5] = 255
    return np.asarray(cv2.inpaint(picture, mask, 5, cv2.INPAINT_TELEA)) if mask.any() else picture


def detections(
    args: argparse.Namespace,
    base: Baseline,
    plain: list[Observation],
    changed: dict[str, list[Observation]],
) -> float:
    """Print how soon each change is believed; the slowest of all tries, infinity where one was missed."""
    slowest, early = 0.0, 0
    for title, moved in changed.items():
        counts, said = [], Counter[str]()
        for number in range(args.tries):
            random = np.random.default_rng(number)
            count, watch = until_believed(base, plain, moved, random)
            early += count < 0
            counts.append(float("inf") if count < 0 else count)
            said.update(s for report in list(watch.reports)[-1:] for s in report.sentences)
        slowest = max(slowest, *counts)
        middle, last = np.median(counts), max(counts)
        print(f"{title}: believed after {middle:.0f} pictures (slowest {last:.0f} of {args.tries})")
        for sentence, times in said.most_common(4):
            print(f"    {times:3d}x {sentence}")
    if early:
        print(f"{early} tries were believed before the change")
    return slowest


def until_believed(
    base: Baseline, plain: list[Observation], moved: list[Observation], random: np.random.Generator
) -> tuple[int, DriftWatch]:
    """Pictures from the change until drift is believed; -1 where that was before it or after the limit."""
    watch = DriftWatch(base, OPTIONS)
    before = int(random.integers(OPTIONS.window))
    for index in random.permutation(len(plain))[:before]:
        watch.take(plain[index])
    if watch.alarm:
        return -1, watch
    orders = [random.permutation(len(moved)) for _ in range(LIMIT // len(moved) + 1)]
    for count, index in enumerate(np.concatenate(orders)[:LIMIT], 1):
        watch.take(moved[index])
        if watch.alarm:
            return count, watch
    return -1, watch


if __name__ == "__main__":
    sys.exit(main())
