"""Objects with a mask each: the average precision of boxes, with the overlap of masks in place of boxes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sightline.core.errors import ModelError
from sightline.core.geometry import fill_polygons
from sightline.core.records import Annotation, Record
from sightline.core.results import Instances as InstancesResult
from sightline.core.results import Result
from sightline.core.specs import Task
from sightline.evaluate.errors import BACKGROUND
from sightline.evaluate.metrics.base import F64, ReadMap
from sightline.evaluate.metrics.detect import Detect, truth_marks, xywh
from sightline.evaluate.metrics.matching import Bools, Marks, Pairs


class Instances(Detect):
    """COCO average precision of masks, equal to pycocotools' `segm`.

    Truth is every annotation with a mask or polygons. Sizes are areas of masks.
    """

    task: ClassVar[Task] = "instances"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._overlaps: list[Pairs] = []

    def add(self, record: Record, result: Result, read_map: ReadMap) -> bool:
        """Take one picture; one without masks counts, as a picture of nothing."""
        if not isinstance(result, InstancesResult):
            raise ModelError(f"answers {type(result).__name__} for instances", where=record.id)
        marks = truth_marks(record, masks=True)
        shape = result.masks.shape[1:] if len(result) else (record.size_wh[1], record.size_wh[0])
        masks = np.zeros((len(marks), *shape), bool)
        for canvas, mark in zip(masks, marks, strict=True):
            canvas[:] = _mask(mark, shape, record.id)
        crowd = np.array([a.crowd for a in marks], bool)
        labels = np.array([a.label for a in marks], np.int64)
        boxes = np.array([a.box or (0, 0, 0, 0) for a in marks], np.float64).reshape(-1, 4)
        self._truths.append((labels, xywh(boxes), _areas(masks), crowd))
        areas = _areas(result.masks)
        self._dets.append((result.classes, xywh(result.boxes.astype(np.float64)), areas, result.scores))
        self._overlaps.append(mask_pairs(result.masks, masks, crowd))
        self._samples += 1
        self._built = None
        return True

    def _pairs(self, dets: Marks, truths: Marks, order: Any, least: float, *, one_class: bool) -> Pairs:
        """Pairs kept from `add`, numbered as `dets` and `truths` are."""
        place = np.full(int(sum(len(d[0]) for d in self._dets)), -1)
        place[order] = np.arange(len(order))
        parts, first_det, first_truth = [], 0, 0
        for found, marks, pairs in zip(self._dets, self._truths, self._overlaps, strict=True):
            parts.append((pairs.det + first_det, pairs.truth + first_truth, pairs.iou))
            first_det, first_truth = first_det + len(found[0]), first_truth + len(marks[0])
        empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        det, truth, iou = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
        det = place[det]
        keep = (det >= 0) & (iou >= least)
        if one_class:
            keep &= dets.label[det] == truths.label[truth]
        return Pairs(det[keep], truth[keep], iou[keep])


def mask_pairs(masks: Bools, truths: Bools, crowd: Bools, least: float = BACKGROUND) -> Pairs:
    """Pairs of masks (N, H, W) and true masks (M, H, W) with IoU at least `least`.

    Of a crowd it is the share of the mask that lies in it.
    """
    det, truth, iou = [], [], []
    areas = _areas(masks)
    for index, mask in enumerate(truths):
        ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(ys) or not len(masks):
            continue
        rows, columns = slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1)
        meet = (masks[:, rows, columns] & mask[rows, columns]).sum(axis=(1, 2)).astype(np.float64)
        union = areas if crowd[index] else areas + mask.sum() - meet
        found = np.divide(meet, union, out=np.zeros_like(meet), where=union > 0)
        keep = np.flatnonzero(found >= least)
        det.append(keep)
        truth.append(np.full(len(keep), index))
        iou.append(found[keep])
    if not det:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Pairs(np.concatenate(det), np.concatenate(truth), np.concatenate(iou))


def _mask(mark: Annotation, shape_hw: Any, where: str) -> Bools:
    mask = mark.mask.decode() if mark.mask else fill_polygons(mark.polygons, (shape_hw[1], shape_hw[0]))
    if mask.shape != tuple(shape_hw):
        raise ModelError(f"answers masks of {tuple(shape_hw)}, the truth is {mask.shape} (H, W)", where=where)
    return mask


def _areas(masks: Bools) -> F64:
    return np.asarray(masks.sum(axis=(1, 2)), np.float64)
