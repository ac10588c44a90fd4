"""Results from the plain values that `plain` makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import FormatError
from sightline.core.records import Rle
from sightline.core.results import (
    IN_SIGHT,
    ClassScores,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)

Plain = dict[str, Any]
VOID = 255


def read_plain(
    value: Mapping[str, Any],
    classes: Sequence[str],
    size_wh: tuple[int, int],
    thresholds: Mapping[str, float] | None = None,
) -> dict[str, Result]:
    """Results by task of what `plain.plain_results` wrote.

    A classification that lists its best classes only has 0 for the others. Depth is left out: text holds
    its percentiles alone.

    Args:
        value: plain values by task.
        classes: names by index.
        size_wh: of the picture, in pixels.
        thresholds: by task, for points.

    Raises:
        FormatError: it is not what `plain_results` writes, or names a class that is not there.
    """
    found: dict[str, Result] = {}
    names = tuple(classes)
    index = {name: i for i, name in enumerate(names)}
    try:
        for task, answer in value.items():
            if task == "classify":
                scores = [answer["scores"].get(name, 0.0) for name in names]
                found[task] = ClassScores(np.array(scores, np.float32), names)
            elif task == "locate":
                found[task] = _points(answer, names, (thresholds or {}).get(task, IN_SIGHT))
            elif task == "segment":
                found[task] = SemanticMap(_map(answer, index, size_wh), names)
            elif task in ("detect", "instances", "panoptic"):
                found[task] = _rows(task, answer, index, size_wh)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"are no results ({error!r})") from error
    return found


def _rows(task: str, rows: list[Plain], index: Mapping[str, int], size_wh: tuple[int, int]) -> Result:
    scores = np.array([row["score"] for row in rows], np.float32)
    labels = np.array([index[row["class"]] for row in rows], np.int64)
    names = tuple(index)
    if task == "panoptic":
        segments = np.full((size_wh[1], size_wh[0]), -1, np.int32)
        for number, row in enumerate(rows):
            segments[_mask(row["mask"])] = number
        return PanopticMap(segments, scores, labels, names)
    boxes = np.array([row["box"] for row in rows], np.float32).reshape(-1, 4)
    if task == "detect":
        return Detections(boxes, scores, labels, names)
    masks = np.array([_mask(row["mask"]) for row in rows], bool).reshape(-1, size_wh[1], size_wh[0])
    return Instances(boxes, scores, labels, masks, names)


def _points(rows: list[Plain], names: tuple[str, ...], threshold: float) -> Points:
    points = np.array([row["point"] for row in rows], np.float32).reshape(-1, 2)
    return Points(points, np.array([row["score"] for row in rows], np.float32), names, threshold)


def _map(rows: list[Plain], index: Mapping[str, int], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    classes = np.full((size_wh[1], size_wh[0]), VOID, np.uint8)
    for row in rows:
        classes[_mask(row["mask"])] = index[row["class"]]
    return classes


def _mask(value: Plain) -> NDArray[np.bool_]:
    height, width = value["size"]
    return Rle((int(width), int(height)), tuple(value["counts"])).decode()
