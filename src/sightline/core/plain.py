"""Results as plain values for JSON, and rows for tables. Coordinates are rounded to 1/1000 pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.records import Rle
from sightline.core.results import (
    ClassScores,
    DepthMap,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)

Array = NDArray[Any]
Plain = dict[str, Any]

DIGITS_PX = 3
DIGITS_SCORE = 5


def plain_results(results: Mapping[str, Result]) -> Plain:
    """Every task's result as plain values."""
    return {task: plain_result(result) for task, result in results.items()}


def plain_result(result: Result) -> Any:
    """One result as plain values.

    Rows (`detect`, `instances`, `locate`, `panoptic`) become a list, best first, each with its class's
    name. Masks are run lengths down the columns (the COCO way, uncompressed). Depth keeps its
    percentiles only: a table of metres belongs into a picture, not into text.
    """
    return _BY_TYPE[type(result)](result)


def rows(results: Mapping[str, Result]) -> Iterator[Plain]:
    """A flat row for each answer: task, class, score, and its box or point where it has one.

    A semantic map gives a row for each class that is there, its score the share of the picture.
    """
    for task, result in results.items():
        if isinstance(result, ClassScores):
            yield {"task": task, "class": result.names[result.best], "score": _score(result.scores.max())}
        elif isinstance(result, SemanticMap):
            shares = np.bincount(result.classes.ravel(), minlength=256) / max(1, result.classes.size)
            for index in np.flatnonzero(shares[: len(result.names)]):
                yield {"task": task, "class": result.names[index], "score": _score(shares[index])}
        elif isinstance(result, DepthMap):
            yield {"task": task, "class": "", "score": "", **_depth(result)}
        else:
            for row in plain_result(result):
                yield _flat(task, row)


def _flat(task: str, row: Plain) -> Plain:
    flat = {"task": task, "class": row["class"], "score": row["score"]}
    if "box" in row:
        flat.update(zip(("x1", "y1", "x2", "y2"), row["box"], strict=True))
    if "point" in row:
        flat.update(zip(("x", "y"), row["point"], strict=True))
    return flat


def _classify(result: ClassScores) -> Plain:
    scores = {name: _score(value) for name, value in zip(result.names, result.scores, strict=True)}
    return {"class": result.names[result.best], "score": _score(result.scores.max()), "scores": scores}


def _detect(result: Detections | Instances) -> list[Plain]:
    return [
        {"class": result.names[label], "score": _score(score), "box": _px(box)}
        for box, score, label in zip(result.boxes, result.scores, result.classes, strict=True)
    ]


def _instances(result: Instances) -> list[Plain]:
    masks = [plain_mask(mask) for mask in result.masks]
    return [{**row, "mask": mask} for row, mask in zip(_detect(result), masks, strict=True)]


def _segment(result: SemanticMap) -> list[Plain]:
    present = np.unique(result.classes[result.classes != 255])
    return [{"class": result.names[i], "mask": plain_mask(result.classes == i)} for i in present]


def _panoptic(result: PanopticMap) -> list[Plain]:
    present = np.unique(result.segments[result.segments >= 0])
    return [
        {
            "class": result.names[result.classes[i]],
            "score": _score(result.scores[i]),
            "mask": plain_mask(result.segments == i),
        }
        for i in present
    ]


def _locate(result: Points) -> list[Plain]:
    names = result.names or tuple(str(k) for k in range(len(result.visible)))
    return [
        {"class": names[k % len(names)], "score": _score(visible), "seen": bool(seen), "point": _px(point)}
        for k, (point, visible, seen) in enumerate(
            zip(result.points, result.visible, result.seen, strict=True)
        )
    ]


def _depth(result: DepthMap) -> Plain:
    known = result.metres[result.metres > 0]
    if not known.size:
        return {"known": 0.0}
    low, middle, high = (round(float(v), 3) for v in np.percentile(known, (5, 50, 95)))
    share = round(known.size / result.metres.size, 5)
    return {"known": share, "metres_p5": low, "metres_p50": middle, "metres_p95": high}


def plain_mask(mask: Array) -> Plain:
    """A mask (H, W) as an uncompressed COCO run-length mapping; its `size` is [height, width]."""
    rle = Rle.encode(mask)
    return {"size": [rle.size_wh[1], rle.size_wh[0]], "counts": list(rle.counts)}


def _px(values: Array) -> list[float]:
    return [round(float(v), DIGITS_PX) for v in values]


def _score(value: Any) -> float:
    return round(float(value), DIGITS_SCORE)


_BY_TYPE: dict[type, Callable[[Any], Any]] = {
    ClassScores: _classify,
    Detections: _detect,
    SemanticMap: _segment,
    Instances: _instances,
    PanopticMap: _panoptic,
    Points: _locate,
    DepthMap: _depth,
}
