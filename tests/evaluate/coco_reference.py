"""The same pictures handed to pycocotools, and random pictures to hand over."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

from sightline.core.records import Annotation, Record
from sightline.core.results import Detections

NAMES = ("map", "map50", "map75", "map_small", "map_medium", "map_large")


def random_pictures(
    seed: int, pictures: int, classes: int, *, crowds: bool = True, objects: int = 8, answers: int = 25
) -> tuple[list[Record], list[Detections]]:
    """Truth of all sizes with crowds, and answers near it: shaken, of another class, doubled, or anywhere."""
    rng = np.random.default_rng(seed)
    names = tuple(f"c{i}" for i in range(classes))
    records, results = [], []
    for number in range(pictures):
        truth = random_boxes(rng, int(rng.integers(0, objects + 1)))
        labels = rng.integers(0, classes, len(truth))
        marks = tuple(
            Annotation(
                int(label), box=tuple(float(v) for v in box), crowd=bool(crowds and rng.random() < 0.15)
            )
            for box, label in zip(truth, labels, strict=True)
        )
        records.append(Record(f"p{number:05d}", f"p{number:05d}.jpg", (640, 480), marks))
        count = int(rng.integers(0, answers + 1))
        boxes, kinds = random_boxes(rng, count), rng.integers(0, classes, count)
        if len(truth) and count:
            near = rng.random(count) < 0.7
            chosen = rng.integers(0, len(truth), count)
            shaken = truth[chosen] + rng.normal(0, 0.08, (count, 4)) * np.tile(
                truth[chosen][:, 2:] - truth[chosen][:, :2], 2
            )
            shaken = np.concatenate([shaken[:, :2], np.maximum(shaken[:, 2:], shaken[:, :2] + 1)], 1)
            boxes = np.where(near[:, None], shaken, boxes)
            kinds = np.where(near & (rng.random(count) < 0.85), labels[chosen], kinds)
        scores = np.sort(rng.random(count))[::-1]
        results.append(Detections(boxes.astype(np.float32), scores.astype(np.float32), kinds, names))
    return records, results


def random_boxes(rng: np.random.Generator, count: int) -> Any:
    side = np.exp(rng.uniform(np.log(8), np.log(220), (count, 2)))
    corner = rng.uniform(0, 1, (count, 2)) * (np.array([640, 480]) - side).clip(1)
    return np.round(np.concatenate([corner, corner + side], axis=1), 2)


def pycocotools_figures(records: list[Record], results: list[Detections], classes: int) -> dict[str, float]:
    """The summary of pycocotools, by our names; -1 where it finds nothing to measure."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = coco_tables(records, results, classes)
    coco = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        coco.dataset = truth
        coco.createIndex()
        answers = coco.loadRes(found) if found else COCO()
        if not found:
            answers.dataset = {**truth, "annotations": []}
            answers.createIndex()
        judge = COCOeval(coco, answers, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {**dict(zip(NAMES, judge.stats[:6].tolist(), strict=True)), "recall": float(judge.stats[8])}


def coco_tables(
    records: list[Record], results: list[Detections], classes: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth as a COCO dictionary and answers as a COCO result list."""
    marks, found = [], []
    for number, (record, result) in enumerate(zip(records, results, strict=True)):
        for mark in record.annotations:
            x1, y1, x2, y2 = mark.box or (0, 0, 0, 0)
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
        for box, score, label in zip(
            result.boxes.astype(float), result.scores.tolist(), result.classes.tolist(), strict=True
        ):
            x1, y1, x2, y2 = box.tolist()
            found.append(
                {
                    "image_id": number,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                }
            )
    images = [{"id": i, "width": 640, "height": 480} for i in range(len(records))]
    categories = [{"id": c, "name": f"c{c}"} for c in range(classes)]
    return {"images": images, "annotations": marks, "categories": categories, "info": {}}, found


def faster_figures(records: list[Record], results: list[Detections], classes: int) -> dict[str, float]:
    """The same summary by faster-coco-eval."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth, found = coco_tables(records, results, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(truth)
        judge = COCOeval_faster(coco, coco.loadRes(found), "bbox", print_function=lambda *_: None)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    stats = [float(v) for v in judge.stats]
    return {**dict(zip(NAMES, stats[:6], strict=True)), "recall": stats[8]}
