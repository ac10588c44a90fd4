"""From decoded tensors in placed pixels to results in the source picture's pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.geometry import Matrix, clip_boxes, invert, move_boxes, move_points, warp
from sightline.core.results import (
    IN_SIGHT,
    ClassScores,
    DepthMap,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)
from sightline.core.specs import Signature

Array = NDArray[Any]
Row = Mapping[str, Array]

VOID = 255


def assemble(
    outputs: Mapping[str, Array], index: int, signature: Signature, matrix: Matrix, source_wh: tuple[int, int]
) -> dict[str, Result]:
    """Results by task of picture `index` of a batch.

    Args:
        outputs: decoded tensors named `task.field`, batch first (`specs.TASK_OUTPUTS`).
        index: which row of the batch.
        signature: classes and thresholds.
        matrix: source to placed pixels, as `geometry.place` gave it.
        source_wh: width and height of the source picture.
    """
    back = invert(matrix)
    results: dict[str, Result] = {}
    for task in signature.tasks:
        row = {
            name.removeprefix(f"{task}."): np.asarray(value[index])
            for name, value in outputs.items()
            if name.startswith(f"{task}.")
        }
        threshold = signature.thresholds.get(task, 0.0)
        results[task] = _BY_TASK[task](row, signature, back, source_wh, threshold)
    return results


def _classify(row: Row, signature: Signature, *_: object) -> Result:
    return ClassScores(row["scores"], signature.classes)


def _kept(row: Row, threshold: float) -> NDArray[np.intp]:
    """Indices of the rows above the threshold, best first; empty rows score 0."""
    keep = np.flatnonzero(row["scores"] > max(threshold, 0.0))
    return keep[np.argsort(-row["scores"][keep], kind="stable")]


def _detect(
    row: Row, signature: Signature, back: Matrix, source_wh: tuple[int, int], threshold: float
) -> Result:
    keep = _kept(row, threshold)
    boxes = clip_boxes(move_boxes(row["boxes"][keep], back), source_wh)
    return Detections(boxes, row["scores"][keep], row["classes"][keep], signature.classes)


def _segment(
    row: Row, signature: Signature, back: Matrix, source_wh: tuple[int, int], threshold: float
) -> Result:
    classes = warp(row["classes"].astype(np.uint8), back, source_wh, pad=VOID, nearest=True)
    return SemanticMap(classes, signature.classes)


def _locate(
    row: Row, signature: Signature, back: Matrix, source_wh: tuple[int, int], threshold: float
) -> Result:
    least = signature.thresholds.get("locate", IN_SIGHT)
    return Points(move_points(row["points"], back), row["visible"], signature.classes, least)


def _depth(
    row: Row, signature: Signature, back: Matrix, source_wh: tuple[int, int], threshold: float
) -> Result:
    return DepthMap(warp(row["metres"].astype(np.float32), back, source_wh, nearest=True))


def _panoptic(
    row: Row, signature: Signature, back: Matrix, source_wh: tuple[int, int], threshold: float
) -> Result:
    segments = warp(row["segments"].astype(np.int16), back, source_wh, pad=-1, nearest=True)
    return PanopticMap(segments.astype(np.int32), row["scores"], row["classes"], signature.classes)


def _instances(
    row: Row, signature: Signature, back: Matrix, source_wh: tuple[int, int], threshold: float
) -> Result:
    keep = _kept(row, threshold)
    hulls = move_boxes(row["boxes"][keep], back)
    masks = np.zeros((len(keep), source_wh[1], source_wh[0]), bool)
    for canvas, box, mask in zip(masks, hulls, row["masks"][keep], strict=True):
        paste_mask(canvas, box, mask)
    boxes = clip_boxes(hulls, source_wh)
    return Instances(boxes, row["scores"][keep], row["classes"][keep], masks, signature.classes)


def paste_mask(canvas: NDArray[np.bool_], box_xyxy: Array, mask: Array) -> None:
    """Set the pixels of `canvas` (H, W) that a mask (M, M), spanning the box, covers at one half."""
    height, width = canvas.shape
    x1, y1 = (int(v) for v in np.floor(np.clip(box_xyxy[:2], 0, (width, height))))
    x2, y2 = (int(v) for v in np.ceil(np.clip(box_xyxy[2:], 0, (width, height))))
    if x2 <= x1 or y2 <= y1:
        return
    span = np.maximum(box_xyxy[2:] - box_xyxy[:2], 1e-6)
    # Pixel centres of the region, in the mask's own pixel-centre indices.
    us = (np.arange(x1, x2) + 0.5 - box_xyxy[0]) / span[0] * mask.shape[1] - 0.5
    vs = (np.arange(y1, y2) + 0.5 - box_xyxy[1]) / span[1] * mask.shape[0] - 0.5
    grid_u, grid_v = np.meshgrid(us.astype(np.float32), vs.astype(np.float32))
    values = cv2.remap(
        mask.astype(np.float32), grid_u, grid_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    canvas[y1:y2, x1:x2] |= values >= 0.5


_BY_TASK: dict[str, Callable[..., Result]] = {
    "classify": _classify,
    "detect": _detect,
    "segment": _segment,
    "locate": _locate,
    "instances": _instances,
    "panoptic": _panoptic,
    "depth": _depth,
}
