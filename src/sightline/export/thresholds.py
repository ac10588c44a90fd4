"""The score from which a row is worth keeping: the one with the best F1 on validation data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.geometry import box_iou
from sightline.core.records import Record
from sightline.core.results import Detections, Instances, Points, Result
from sightline.data.points import looked_for
from sightline.evaluate.bootstrap import draws

Array = NDArray[Any]
Answer = tuple[Record, Mapping[str, Result]]

THRESHOLDED = ("detect", "instances", "locate")
MATCH_IOU = 0.5
FALLBACK = 0.25
SLACK, ROUNDS = 0.002, 300


def best_thresholds(
    answers: Iterable[Answer], tasks: tuple[str, ...], classes: tuple[str, ...]
) -> dict[str, float]:
    """Thresholds by task, for those tasks that have one.

    Args:
        answers: each record with its results, every row kept; read once.
        tasks: the tasks to choose for.
        classes: names in the order of the records' labels.
    """
    chosen = [task for task in tasks if task in THRESHOLDED]
    scores: dict[str, list[Array]] = {task: [] for task in chosen}
    hits: dict[str, list[Array]] = {task: [] for task in chosen}
    truths = dict.fromkeys(chosen, 0)
    for record, results in answers:
        for task in chosen:
            score, hit, count = _judge(results[task], record, classes)
            scores[task].append(score)
            hits[task].append(hit)
            truths[task] += count
    return {
        task: best_f1(np.concatenate(scores[task]), np.concatenate(hits[task]), truths[task])
        if scores[task]
        else FALLBACK
        for task in chosen
    }


def best_f1(scores: Array, hits: Array, truths: int) -> float:
    """The threshold with the highest F1 = 2 TP / (answers + truths).

    It lies halfway to the next lower score, so that rounding cannot move a row across it.

    Args:
        scores: (N,) scores of all answers.
        hits: (N,) whether each is right.
        truths: how many things there were to find.
    """
    if not truths or not hits.any():
        return FALLBACK
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order].astype(np.float64), hits[order]
    f1 = 2 * np.cumsum(hits) / (np.arange(1, len(hits) + 1) + truths)
    last_of_score = np.append(scores[1:] < scores[:-1], True)
    at = int(np.argmax(np.where(last_of_score, f1, -1.0)))
    below = scores[at + 1] if at + 1 < len(scores) else 0.0
    return float((scores[at] + below) / 2)


def steady_f1(scores: Array, hits: Array, seen: Array, groups: Sequence[str], usual: float) -> float:
    """The threshold of hundredths nearest to `usual` whose F1 is within a standard error of the best.

    For scores trained to be probabilities, on few films: where many thresholds are nearly as good, the very
    best one is an accident of those films. The error is that of the best F1 over resampled films, and the
    rule that of Breiman and others (Classification and Regression Trees, 1984).

    Args:
        scores: (N,) of an answer for each frame.
        hits: (N,) whether it is right.
        seen: (N,) whether there was something to find.
        groups: (N,) the film of each frame.
        usual: the threshold that needs no reason.
    """
    if not hits.any():
        return usual
    grid = np.arange(1, 100) / 100
    named = scores[None] >= grid[:, None]
    f1 = 2 * (named & hits).sum(1) / (named.sum(1) + seen.sum())
    best = named[int(f1.argmax())]
    drawn = [
        2 * (weights.T @ (best & hits)) / np.maximum(weights.T @ best + weights.T @ seen, 1e-9)
        for weights in draws(list(groups), ROUNDS, 0)
    ]
    slack = max(SLACK, float(np.std(np.concatenate(drawn))))
    good = grid[f1 >= f1.max() - slack]
    return float(good[np.argmin(np.abs(good - usual))])


def _judge(result: Result, record: Record, classes: tuple[str, ...]) -> tuple[Array, Array, int]:
    """Scores, whether each row is right, and the number of things to find in one picture."""
    if isinstance(result, Points):
        marks = {classes[label]: mark.visible for label, mark in looked_for(record).items()}
        names = result.names[: len(result.visible)]
        known = np.array([name in marks for name in names], bool)
        hits = np.array([marks.get(name, False) for name in names], bool)
        return result.visible[known], hits[known], int(hits.sum())
    assert isinstance(result, (Detections, Instances))
    return _judge_boxes(result, record, classes)


def _judge_boxes(
    result: Detections | Instances, record: Record, classes: tuple[str, ...]
) -> tuple[Array, Array, int]:
    """Greedy matching, best score first, within a class at IoU 0.5; rows on a crowd do not count."""
    marked = [a for a in record.annotations if a.box is not None]
    boxes = np.array([a.box for a in marked], np.float64).reshape(-1, 4)
    names = np.array([classes[a.label] for a in marked], dtype=object)
    crowd = np.array([a.crowd for a in marked], bool)
    iou = box_iou(result.boxes, boxes)
    free = ~crowd
    hits = np.zeros(len(result), bool)
    counts = np.ones(len(result), bool)
    for row in np.argsort(-result.scores, kind="stable"):
        same = names == result.names[result.classes[row]]
        fits = np.where(same & free, iou[row], 0.0)
        if fits.size and fits.max() >= MATCH_IOU:
            hits[row] = True
            free[int(fits.argmax())] = False
        elif fits.size and (iou[row][same & crowd] > 0).any():
            counts[row] = False
    return result.scores[counts], hits[counts], int((~crowd).sum())
