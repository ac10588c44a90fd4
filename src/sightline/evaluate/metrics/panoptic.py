"""A segment for every pixel: panoptic quality, and its two factors."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline.core.errors import ModelError
from sightline.core.records import Record
from sightline.core.results import PanopticMap, Result
from sightline.evaluate.metrics.base import (
    F32,
    F64,
    I64,
    Family,
    Measure,
    ReadMap,
    Values,
    mean_known,
    ones,
    share,
)

MATCH = 0.5


class Panoptic(Family):
    """Panoptic quality (Kirillov et al. 2019, "Panoptic Segmentation").

    A segment answers a true one of its class where their IoU is over one half, which can hold for one only.
    Of a class, segmentation quality SQ is the mean IoU of the answered, recognition quality RQ their F1, and
    PQ = SQ x RQ; all three are averaged over classes that occur. Pixels of unknown truth count nowhere, and
    an answer that lies by more than half in them, or in a crowd of its class, is not held against the model.
    Segments of a class without instances (stuff) are one segment.
    """

    task = "panoptic"
    measures = (
        Measure("pq", True, "panoptic quality, averaged over classes", headline=True),
        Measure("sq", True, "segmentation quality: mean IoU of answered segments", headline=True),
        Measure("rq", True, "recognition quality: F1 of segments", headline=True),
        Measure("pq_things", True, "panoptic quality of classes with instances"),
        Measure("pq_stuff", True, "panoptic quality of classes without instances"),
    )

    by_class = ("pq", "class_pq")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows: list[F64] = []
        self._is_stuff = np.array([name in self.stuff for name in self.classes], bool)

    def add(self, record: Record, result: Result, read_map: ReadMap) -> bool:
        """Take one picture; see `Family.add`."""
        if not isinstance(result, PanopticMap):
            raise ModelError(f"answers {type(result).__name__} for panoptic", where=record.id)
        if "panoptic" not in record.maps:
            return False
        truth = np.asarray(read_map(record, "panoptic"))
        if truth.shape != result.segments.shape:
            raise ModelError(
                f"answers a map of {result.segments.shape}, the truth is {truth.shape} (H, W)",
                where=record.id,
            )
        labels = np.array([a.label for a in record.annotations], np.int64)
        crowd = np.array([a.crowd for a in record.annotations], bool)
        self._rows.append(self._counts(truth, labels, crowd, result))
        return True

    def _counts(self, truth: Any, labels: I64, crowd: Any, result: PanopticMap) -> F64:
        """(4, C): summed IoU, hits, false alarms and misses of one picture."""
        true_of, true_label = self._merged(labels, crowd)
        said_of, said_label = self._merged(result.classes, np.zeros(len(result.classes), bool))
        rows, columns = len(true_label) + 1, len(said_label) + 1
        true_ids = np.where(truth < len(labels), truth, -1)
        joint = np.append(true_of, -1)[true_ids] * columns + np.append(said_of, -1)[result.segments]
        both = np.bincount((joint + columns + 1).ravel(), minlength=rows * columns).reshape(rows, columns)
        is_crowd = np.zeros(rows - 1, bool)
        is_crowd[true_of[crowd]] = True
        area, said_area = both[1:].sum(axis=1), both[:, 1:].sum(axis=0)
        union = area[:, None] + (said_area - both[0, 1:])[None] - both[1:, 1:]
        same = (true_label[:, None] == said_label[None]) & ~is_crowd[:, None]
        iou = np.where(same, np.nan_to_num(share(both[1:, 1:], union)), 0.0)
        t, s = np.nonzero(iou > MATCH)
        free = both[0, 1:] + (
            both[1:, 1:] * (is_crowd[:, None] & (true_label[:, None] == said_label[None]))
        ).sum(0)
        missed = np.setdiff1d(np.flatnonzero((area > 0) & ~is_crowd), t)
        false = np.setdiff1d(np.flatnonzero((said_area > 0) & (free <= MATCH * said_area)), s)
        count = len(self.classes)
        return np.stack(
            [
                np.bincount(true_label[t], iou[t, s], count),
                np.bincount(true_label[t], minlength=count),
                np.bincount(said_label[false], minlength=count),
                np.bincount(true_label[missed], minlength=count),
            ]
        ).astype(np.float64)

    def _merged(self, labels: I64, crowd: Any) -> tuple[I64, I64]:
        """New number of each segment, stuff of one class becoming one, and the class of each new number."""
        key = np.where(self._is_stuff[labels] & ~crowd, -1 - labels, np.arange(len(labels)))
        _, first, number = np.unique(key, return_index=True, return_inverse=True)
        return number.astype(np.int64), labels[first]

    def values(self, weights: F32 | None = None) -> Values:
        """Figures under each weighting; see `Family.values`."""
        count = len(self.classes)
        rows = np.array(self._rows, np.float64).reshape(-1, 4 * count)
        weights = ones(len(rows)) if weights is None else weights
        iou, hits, false, missed = (rows.T @ weights.astype(np.float64)).reshape(4, count, -1)
        occurs = (hits + false + missed) > 0
        sq = np.where(occurs, np.nan_to_num(share(iou, hits)), np.nan)
        rq = share(hits, hits + false / 2 + missed / 2)
        pq = sq * rq
        values = {"pq": mean_known(pq), "sq": mean_known(sq), "rq": mean_known(rq), "class_pq": pq}
        if self._is_stuff.any():
            values["pq_stuff"] = mean_known(pq[self._is_stuff])
            values["pq_things"] = mean_known(pq[~self._is_stuff])
        return values

    def quality(self) -> F64:
        """Panoptic quality of each picture, its classes pooled."""
        iou, hits, false, missed = np.array(self._rows).reshape(-1, 4, len(self.classes)).sum(2).T
        return np.nan_to_num(share(iou, hits + false / 2 + missed / 2), nan=1.0)

    def caption(self, quality: float) -> str:
        """See `Family.caption`."""
        return f"panoptic quality {quality:.2f}"

    def details(self) -> dict[str, Any]:
        """Table of classes."""
        iou, hits, false, missed = np.array(self._rows).reshape(-1, 4, len(self.classes)).sum(axis=0)
        sq, rq = share(iou, hits), share(hits, hits + false / 2 + missed / 2)
        rows = [
            {
                "class": name,
                "n": int(hits[c] + missed[c]),
                "pq": float(np.nan_to_num(sq[c]) * rq[c]),
                "sq": float(sq[c]),
                "rq": float(rq[c]),
                "kind": "stuff" if self._is_stuff[c] else "thing",
            }
            for c, name in enumerate(self.classes)
        ]
        return {"classes": rows}
