"""COCO average precision beside pycocotools on one made set: equal, and how much faster.

    python benchmarks/detection_metrics.py [--pictures 5000] [--detections 500000] [--rounds 3]

Both start from what their callers hold: pycocotools from a ground-truth dictionary and a list of results,
ours from records and `Detections`. Loading is part of both times. Rounds alternate; medians are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import time
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sightline.core.records import Annotation, Record
from sightline.core.results import Detections
from sightline.evaluate.scores import Scores

CLASSES = 80
OBJECTS = 7.3
NAMES = ("map", "map50", "map75", "map_small", "map_medium", "map_large")
PLAIN_BAR, WHOLE_BAR, TOLERANCE = 1 / 6, 1 / 2, 1e-6


def make(pictures: int, detections: int, seed: int = 0) -> tuple[list[Record], list[Detections]]:
    """COCO-like truth (7.3 objects a picture, 2% crowds), and answers that are partly right."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(CLASSES, 0.6))
    names = tuple(f"class{i}" for i in range(CLASSES))
    per_picture = np.bincount(rng.integers(0, pictures, detections), minlength=pictures)
    records, results = [], []
    for number in range(pictures):
        truth = boxes(rng, int(rng.poisson(OBJECTS)))
        labels = rng.choice(CLASSES, len(truth), p=share)
        crowd = rng.random(len(truth)) < 0.02
        marks = tuple(
            Annotation(int(c), box=(b[0], b[1], b[2], b[3]), crowd=bool(k))
            for b, c, k in zip(truth.tolist(), labels, crowd, strict=True)
        )
        records.append(Record(f"{number:06d}.jpg", f"{number:06d}.jpg", (640, 480), marks))
        results.append(answers(rng, truth, labels, int(per_picture[number]), share, names))
    return records, results


def boxes(rng: np.random.Generator, count: int) -> Any:
    side = np.exp(rng.uniform(np.log(10), np.log(300), (count, 2)))
    corner = rng.random((count, 2)) * (np.array([640, 480]) - side).clip(1)
    return np.round(np.concatenate([corner, corner + side], axis=1), 2)


def answers(
    rng: np.random.Generator, truth: Any, labels: Any, count: int, share: Any, names: tuple[str, ...]
) -> Detections:
    """Six in ten near an object, one in eight of those of another class; better ones score higher."""
    found, kinds = boxes(rng, count), rng.choice(CLASSES, count, p=share)
    score = rng.beta(0.6, 4, count)
    if len(truth):
        near = rng.random(count) < 0.6
        chosen = rng.integers(0, len(truth), count)
        spread = rng.gamma(1.0, 0.12, (count, 1))
        size = np.tile(truth[chosen][:, 2:] - truth[chosen][:, :2], 2)
        shaken = truth[chosen] + rng.normal(0, 1, (count, 4)) * spread * size
        shaken = np.concatenate([shaken[:, :2], np.maximum(shaken[:, 2:], shaken[:, :2] + 1)], axis=1)
        found = np.where(near[:, None], shaken, found)
        kinds = np.where(near & (rng.random(count) < 0.87), labels[chosen], kinds)
        score = np.where(near, np.clip(rng.beta(2, 2, count) * np.exp(-2 * spread[:, 0]), 0, 1), score)
    order = np.argsort(-score, kind="stable")
    return Detections(found[order], score[order], kinds[order], names)


def coco_tables(
    records: list[Record], results: list[Detections]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    marks, found = [], []
    for number, (record, result) in enumerate(zip(records, results, strict=True)):
        for mark in record.annotations:
            x1, y1, x2, y2 = mark.box or (0.0, 0.0, 0.0, 0.0)
            marks.append(
                {
                    "id": len(marks) + 1,
                    "image_id": number,
                    "category_id": mark.label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(mark.crowd),
                }
            )
        rows = zip(
            result.boxes.astype(float).tolist(), result.scores.tolist(), result.classes.tolist(), strict=True
        )
        for (x1, y1, x2, y2), score, label in rows:
            box = [x1, y1, x2 - x1, y2 - y1]
            found.append({"image_id": number, "category_id": label, "bbox": box, "score": score})
    images = [{"id": i, "width": 640, "height": 480} for i in range(len(records))]
    categories = [{"id": c, "name": f"class{c}"} for c in range(CLASSES)]
    return {"images": images, "annotations": marks, "categories": categories, "info": {}}, found


def theirs(truth: dict[str, Any], found: list[dict[str, Any]]) -> tuple[float, dict[str, float]]:
    copies = {**truth, "annotations": [dict(a) for a in truth["annotations"]]}
    rows = [dict(row) for row in found]
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copies
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(rows), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    seconds = time.perf_counter() - start
    return seconds, dict(zip(NAMES, judge.stats[:6].tolist(), strict=True))


def ours(records: list[Record], results: list[Detections]) -> tuple[float, float, dict[str, float]]:
    """Seconds to the plain figures; to figures with 1,000 resamples and error causes; the figures."""
    start = time.perf_counter()
    scores = Scores(["detect"], results[0].names)
    for record, result in zip(records, results, strict=True):
        scores.add(record, {"detect": result}, lambda *_: None)
    values = scores.values()
    plain = time.perf_counter() - start
    scores.estimates(rounds=1000)
    scores.families["detect"].errors()
    return plain, time.perf_counter() - start, {n: values[f"detect.{n}"] for n in NAMES}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    records, results = make(options.pictures, options.detections)
    truth, found = coco_tables(records, results)
    print(f"{len(records)} pictures, {len(truth['annotations'])} objects, {len(found)} detections")
    reference, plain, whole = [], [], []
    worst = 0.0
    for number in range(options.rounds):
        seconds, expected = theirs(truth, found)
        quick, full, values = ours(records, results)
        reference.append(seconds), plain.append(quick), whole.append(full)
        worst = max(worst, *(abs(values[n] - expected[n]) for n in NAMES))
        print(f"round {number + 1}: pycocotools {seconds:.2f} s, ours {quick:.2f} s, with all {full:.2f} s")
    print("figure      pycocotools  ours")
    for name in NAMES:
        print(f"{name:<12}{expected[name]:.9f}  {values[name]:.9f}")
    base = statistics.median(reference)
    quick, full = statistics.median(plain) / base, statistics.median(whole) / base
    held = worst <= TOLERANCE and quick <= PLAIN_BAR and full <= WHOLE_BAR
    print(
        f"{'met' if held else 'MISSED'}: differs by {worst:.1e} (bar 1e-6); mAP in {quick:.4f} of "
        f"pycocotools' {base:.1f} s (bar {PLAIN_BAR:.4f}); with 1,000 resamples and error causes {full:.3f} "
        f"(bar {WHOLE_BAR})"
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
