"""One label a picture: accuracy, F1, and whether a score of 0.8 is right eight times in ten."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline.core.errors import ModelError
from sightline.core.records import Record
from sightline.core.results import ClassScores, Result
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

BINS = 15
TINY = 1e-12


class Classify(Family):
    """Accuracy, macro F1, calibration.

    Truth is the record's first annotation that marks the whole picture. F1, precision and recall of a class
    count it against all others; the macro means run over classes that occur in truth or in the answers.
    Calibration is the expected calibration error over 15 bins of equal width of the highest score (Guo et al.
    2017, "On Calibration of Modern Neural Networks").
    """

    task = "classify"
    measures = (
        Measure("accuracy", True, "share of pictures whose best class is the true one", headline=True),
        Measure("f1", True, "F1 a class, averaged over classes (macro)", headline=True),
        Measure("balanced_accuracy", True, "recall a class, averaged over classes"),
        Measure(
            "ece", False, "expected calibration error: mean gap between score and accuracy", headline=True
        ),
        Measure("nll", False, "mean negative log of the score given to the true class", unit="nats"),
        Measure("top5", True, "share of pictures whose true class is among the five best"),
    )

    by_class = ("f1", "class_f1")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows: list[tuple[int, int, float, float, int]] = []

    def add(self, record: Record, result: Result, read_map: ReadMap) -> bool:
        """Take one picture; see `Family.add`."""
        if not isinstance(result, ClassScores):
            raise ModelError(f"answers {type(result).__name__} for classify", where=record.id)
        truth = next((a.label for a in record.annotations if a.kind == "label"), None)
        if truth is None:
            return False
        scores = result.scores
        rank = int((scores > scores[truth]).sum())
        self._rows.append((truth, result.best, float(scores[result.best]), float(scores[truth]), rank))
        return True

    def _columns(self) -> tuple[F64, ...]:
        return tuple(np.array(self._rows, np.float64).reshape(-1, 5).T)

    def values(self, weights: F32 | None = None) -> Values:
        """Figures under each weighting; see `Family.values`."""
        truth, best, confidence, true_score, rank = self._columns()
        weights = ones(len(truth)) if weights is None else weights
        total = weights.sum(axis=0, dtype=np.float64)
        right = truth == best
        hits, actual, named = (
            self._by_class(columns, weights, keep)
            for columns, keep in ((truth, right), (truth, None), (best, None))
        )
        occurs = (actual + named) > 0
        f1 = np.where(occurs, share(2 * hits, actual + named), np.nan)
        values = {
            "accuracy": share(right.astype(np.float64) @ weights, total),
            "f1": mean_known(f1),
            "balanced_accuracy": mean_known(share(hits, actual)),
            "ece": self._calibration_error(confidence, right, weights),
            "class_f1": f1,
            "nll": share(-np.log(np.maximum(true_score, TINY)) @ weights, total),
        }
        if len(self.classes) > 5:
            values["top5"] = share((rank < 5).astype(np.float64) @ weights, total)
        return values

    def _by_class(self, classes: F64, weights: F32, keep: Any) -> F64:
        """Weight (C, R) of the samples of each class."""
        chosen = np.arange(len(classes)) if keep is None else np.flatnonzero(keep)
        return _scatter(classes[chosen].astype(np.int64), weights[chosen], len(self.classes))

    @staticmethod
    def _calibration_error(confidence: F64, right: Any, weights: F32) -> F64:
        bins = _bins(confidence)
        gap = _scatter(bins, (right - confidence)[:, None] * weights, BINS)
        return share(np.abs(gap).sum(axis=0), weights.sum(axis=0, dtype=np.float64))

    def quality(self) -> F64:
        """The score of the true class of each picture."""
        return self._columns()[3]

    def caption(self, quality: float) -> str:
        """See `Family.caption`."""
        return f"true class scored {quality:.2f}"

    def details(self) -> dict[str, Any]:
        """Confusion matrix (rows are truth), table of classes, reliability bins."""
        truth, best, confidence, *_ = self._columns()
        count = len(self.classes)
        flat = truth.astype(np.int64) * count + best.astype(np.int64)
        matrix = np.bincount(flat, minlength=count * count).reshape(count, count)
        hits, actual, named = np.diag(matrix).astype(float), matrix.sum(1).astype(float), matrix.sum(0)
        rows = [
            {"class": name, "n": int(n), "precision": p, "recall": r, "f1": f}
            for name, n, p, r, f in zip(
                self.classes,
                actual,
                share(hits, named).tolist(),
                share(hits, actual).tolist(),
                share(2 * hits, actual + named).tolist(),
                strict=True,
            )
        ]
        bins = _bins(confidence)
        weight = np.bincount(bins, minlength=BINS).astype(float)
        reliability = {
            "n": weight.tolist(),
            "confidence": share(np.bincount(bins, confidence, BINS), weight).tolist(),
            "accuracy": share(np.bincount(bins, truth == best, BINS), weight).tolist(),
        }
        return {"confusion": matrix.tolist(), "classes": rows, "reliability": reliability}


def _bins(confidence: F64) -> Any:
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _scatter(index: Any, weights: Any, count: int) -> F64:
    """Rows of `weights` (M, R) summed by `index` (M,) into (count, R)."""
    out = np.zeros((count, weights.shape[1]))
    order = np.argsort(index, kind="stable")
    if len(order):
        starts = np.flatnonzero(np.diff(index[order], prepend=-1))
        out[index[order][starts]] = np.add.reduceat(weights[order].astype(np.float64), starts, axis=0)
    return out
