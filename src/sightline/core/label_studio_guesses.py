"""A model's answers for a picture as regions of Label Studio: pre-annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sightline.core import label_studio
from sightline.core.label_studio import Result as Region
from sightline.core.label_studio import brush, entry, keypoint, rectangle, sized
from sightline.core.results import (
    ClassScores,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)

Size = tuple[int, int]
# Type of a result -> kind of region it becomes in a picture.
KINDS: dict[type, str] = {
    ClassScores: "choices",
    Detections: "rectanglelabels",
    Instances: "brushlabels",
    PanopticMap: "brushlabels",
    SemanticMap: "brushlabels",
    Points: "keypointlabels",
}


def guesses(
    results: Mapping[str, Result], size_wh: Size, thresholds: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """`guess`: the regions of a picture; `score`: the least sure of them, where there are any.

    Args:
        results: by task; depth says nothing an annotator could correct.
        size_wh: of the picture, in pixels.
        thresholds: rows below their task's are left out.
    """
    regions: list[Region] = []
    for task, result in results.items():
        least = (thresholds or {}).get(task, 0.0)
        for label, score, kind, value in _values(result, size_wh, least):
            number = f"{task}{len(regions)}"
            if kind == "choices":
                whole = value or {"choices": [label]}
                control = label_studio.SEEN if value else ""
                regions.append(entry(kind, whole, number, control=control, score=score))
            else:
                regions.append(sized(entry(kind, value | {kind: [label]}, number, score=score), size_wh))
    scores = [region["score"] for region in regions if "score" in region]
    return {"guess": regions} | ({"score": min(scores)} if scores else {})


Row = tuple[str, float | None, str, Region]


def _values(result: Result, size_wh: Size, least: float) -> Iterable[Row]:
    """Class, score, kind and value of each answer."""
    if isinstance(result, ClassScores):
        yield result.names[result.best], float(result.scores.max()), "choices", {}
    elif isinstance(result, Instances):
        for mask, score, label in zip(result.masks, result.scores, result.classes, strict=True):
            if score >= least and mask.any():
                yield result.names[label], float(score), "brushlabels", brush(mask)
    elif isinstance(result, Detections):
        for box, score, label in zip(result.boxes, result.scores, result.classes, strict=True):
            if score >= least:
                yield result.names[label], float(score), "rectanglelabels", rectangle(box.tolist(), size_wh)
    elif isinstance(result, Points):
        yield from _points(result, size_wh)
    elif isinstance(result, SemanticMap):
        for index in np.unique(result.classes[result.classes != 255]):
            yield result.names[index], None, "brushlabels", brush(result.classes == index)
    elif isinstance(result, PanopticMap):
        for number in np.unique(result.segments[result.segments >= 0]):
            name = result.names[result.classes[number]]
            yield name, float(result.scores[number]), "brushlabels", brush(result.segments == number)


def _points(result: Points, size_wh: Size) -> Iterable[Row]:
    names = result.names or ("point",)
    for k, (point, visible, seen) in enumerate(zip(result.points, result.visible, result.seen, strict=True)):
        if seen:
            yield names[k % len(names)], float(visible), "keypointlabels", keypoint(point.tolist(), size_wh)
    if not result.seen.any():
        unseen = 1 - float(result.visible.max()) if len(result.visible) else None
        yield label_studio.HIDDEN, unseen, "choices", {"choices": [label_studio.HIDDEN]}
