"""A class for every pixel: intersection over union, Dice, confusion; void pixels count nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline.core.errors import ModelError
from sightline.core.records import Record
from sightline.core.results import Result, SemanticMap
from sightline.data.counting import VOID, truth_map
from sightline.evaluate.metrics.base import (
    F32,
    F64,
    Family,
    Measure,
    ReadMap,
    Values,
    mean_known,
    ones,
    share,
)


class Segment(Family):
    """Mean IoU and Dice over classes, from pixels pooled over all pictures.

    IoU of a class is its true positives over true positives, false positives and false negatives (Everingham
    et al. 2010, the PASCAL VOC challenge). The means run over classes that occur in truth or in the answers.
    A pixel whose truth is void is left out; an answer of void where the truth is known is a miss.
    """

    task = "segment"
    measures = (
        Measure("miou", True, "intersection over union a class, averaged over classes", headline=True),
        Measure("dice", True, "Dice (F1 of pixels) a class, averaged over classes", headline=True),
        Measure("pixel_accuracy", True, "share of labelled pixels that are right", headline=True),
        Measure("worst_iou", True, "intersection over union of the worst class in truth"),
    )

    by_class = ("iou", "iou")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        count = len(self.classes)
        self._matrix = np.zeros((count, count + 1), np.int64)
        self._rows: list[F64] = []

    def add(self, record: Record, result: Result, read_map: ReadMap) -> bool:
        """Take one picture; see `Family.add`."""
        if not isinstance(result, SemanticMap):
            raise ModelError(f"answers {type(result).__name__} for segment", where=record.id)
        truth = truth_map(record, read_map, result.classes.shape, self.classes)
        if truth is None:
            return False
        matrix = confusion(truth, result.classes, len(self.classes), where=record.id)
        self._matrix += matrix
        hits = np.diag(matrix)
        self._rows.append(np.stack([hits, matrix.sum(1), matrix[:, :-1].sum(0)]).astype(np.float64))
        return True

    def _statistics(self) -> F64:
        """(N, 3, C): pixels right, pixels in truth, pixels answered, of each class."""
        return np.array(self._rows, np.float64).reshape(-1, 3, len(self.classes))

    def values(self, weights: F32 | None = None) -> Values:
        """Figures under each weighting; see `Family.values`."""
        rows = self._statistics()
        weights = ones(len(rows)) if weights is None else weights
        sums = (rows.reshape(len(rows), -1).T @ weights.astype(np.float64)).reshape(3, len(self.classes), -1)
        hits, actual, named = sums
        iou = share(hits, actual + named - hits)
        return {
            "miou": mean_known(iou),
            "dice": mean_known(share(2 * hits, actual + named)),
            "pixel_accuracy": share(hits.sum(0), actual.sum(0)),
            "iou": iou,
            "worst_iou": _least(np.where(actual > 0, iou, np.nan)),
        }

    def quality(self) -> F64:
        """Mean IoU of each picture over the classes that occur in it."""
        hits, actual, named = np.moveaxis(self._statistics(), 1, 0)
        return np.nan_to_num(mean_known(share(hits, actual + named - hits), axis=1), nan=1.0)

    def caption(self, quality: float) -> str:
        """See `Family.caption`."""
        return f"mean IoU {quality:.2f}"

    def details(self) -> dict[str, Any]:
        """Confusion matrix in pixels (rows are truth, last column void answers), and a table of classes."""
        hits, actual = np.diag(self._matrix).astype(float), self._matrix.sum(1).astype(float)
        named = self._matrix[:, :-1].sum(0).astype(float)
        iou, dice = share(hits, actual + named - hits), share(2 * hits, actual + named)
        rows = [
            {"class": name, "n": int(n), "iou": i, "dice": d, "precision": p, "recall": r}
            for name, n, i, d, p, r in zip(
                self.classes,
                actual,
                iou.tolist(),
                dice.tolist(),
                share(hits, named).tolist(),
                share(hits, actual).tolist(),
                strict=True,
            )
        ]
        return {"confusion": self._matrix.tolist(), "classes": rows}


def confusion(truth: Any, answer: Any, count: int, *, where: object = None) -> Any:
    """Pixels (C, C + 1) by true class and answered class; the last column is answers of void.

    Args:
        truth: class of every pixel (H, W), 255 void.
        answer: the same from the model.
        count: number of classes C.
        where: names the picture in errors.

    Raises:
        ModelError: the two differ in shape.
    """
    if truth.shape != answer.shape:
        raise ModelError(f"answers a map of {answer.shape}, the truth is {truth.shape} (H, W)", where=where)
    known = (truth != VOID) & (truth < count)
    named = np.minimum(answer[known].astype(np.int64), count)
    flat = truth[known].astype(np.int64) * (count + 1) + named
    return np.bincount(flat, minlength=count * (count + 1)).reshape(count, count + 1)


def _least(values: F64) -> F64:
    filled = np.where(np.isnan(values), np.inf, values).min(axis=0, initial=np.inf)
    return np.where(np.isinf(filled), np.nan, filled)
