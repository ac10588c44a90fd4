"""Boxes: average precision as COCO defines it, per class and size, with the curve behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from sightline.core.errors import ModelError
from sightline.core.geometry import polygon_area
from sightline.core.records import Annotation, Record
from sightline.core.results import Detections, Result
from sightline.core.specs import Task
from sightline.evaluate.errors import BACKGROUND, Errors, errors_by_cause
from sightline.evaluate.metrics.average_precision import (
    RECALLS,
    Ranked,
    average_precision,
    precision_at_recalls,
    ranked_by_class,
)
from sightline.evaluate.metrics.base import F32, F64, Family, Measure, ReadMap, Values, mean_known, share
from sightline.evaluate.metrics.matching import (
    AREAS,
    IOU_THRESHOLDS,
    Marks,
    Matches,
    Pairs,
    match,
    ordered,
    overlapping,
)

AP_MEASURES = (
    Measure("map", True, "average precision over IoU 0.50 to 0.95 and classes", headline=True),
    Measure("map50", True, "average precision at IoU 0.50, averaged over classes", headline=True),
    Measure("map75", True, "average precision at IoU 0.75, averaged over classes", headline=True),
    Measure("map_small", True, "average precision on objects under 32 x 32 px of area"),
    Measure("map_medium", True, "average precision on objects of 32 x 32 to 96 x 96 px of area"),
    Measure("map_large", True, "average precision on objects over 96 x 96 px of area"),
    Measure("recall", True, "highest recall with 100 detections a class, averaged like the precision"),
    Measure("best_f1", True, "F1 at IoU 0.50 of the score threshold that serves it best", headline=True),
)


class Detect(Family):
    """COCO average precision of boxes, equal to pycocotools'.

    The size of an object is the area of its mask or polygon where it has one, else of its box.
    """

    task: ClassVar[Task] = "detect"
    measures = AP_MEASURES
    by_class = ("ap", "ap")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._samples = 0
        self._dets: list[tuple[Any, ...]] = []
        self._truths: list[tuple[Any, ...]] = []
        self._built: Scene | None = None
        self._order: Any = None

    def add(self, record: Record, result: Result, read_map: ReadMap) -> bool:
        """Take one picture; one without boxes counts, as a picture of nothing."""
        if not isinstance(result, Detections):
            raise ModelError(f"answers {type(result).__name__} for detect", where=record.id)
        marks = truth_marks(record, masks=False)
        boxes = np.array([a.box for a in marks], np.float64).reshape(-1, 4)
        areas = np.array([truth_area(a) for a in marks], np.float64)
        labels = np.array([a.label for a in marks], np.int64)
        self._truths.append((labels, xywh(boxes), areas, np.array([a.crowd for a in marks], bool)))
        found = xywh(result.boxes.astype(np.float64))
        self._dets.append((result.classes, found, found[:, 2] * found[:, 3], result.scores))
        self._samples += 1
        self._built = None
        return True

    def scene(self) -> Scene:
        """All samples matched, made once."""
        if self._built is None:
            dets, truths = _laid_out(self._dets, crowd=False), _laid_out(self._truths, crowd=True)
            count = len(self.classes)
            self._order = ordered(dets, count)
            dets = dets.take(self._order)
            pairs = self._pairs(dets, truths, self._order, IOU_THRESHOLDS[0], one_class=True)
            self._built = Scene(dets, truths, match(dets, truths, pairs, count), count, self._samples)
        return self._built

    def _pairs(self, dets: Marks, truths: Marks, order: Any, least: float, *, one_class: bool) -> Pairs:
        """What overlaps; `order` says where each of `dets` stood among all that were added."""
        return overlapping(dets, truths, least, classes=len(self.classes) if one_class else None)

    def values(self, weights: F32 | None = None) -> Values:
        """Figures under each weighting, and `ap` and `ap50` (C, R) of the classes; see `Family.values`."""
        scene = self.scene()
        return scene.plain() if weights is None else scene.values(weights)

    def quality(self) -> F64:
        """F1 of each picture at the best threshold and IoU 0.5, the emptier of two equals first."""
        return self.scene().picture_f1()

    def caption(self, quality: float) -> str:
        """See `Family.caption`."""
        return f"F1 {max(0.0, quality):.2f}"

    def errors(self) -> Errors:
        """Every error with its cause, every cause with its price."""
        scene = self.scene()
        pairs = self._pairs(scene.dets, scene.truths, self._order, BACKGROUND, one_class=False)
        return errors_by_cause(scene.dets, scene.truths, scene.matches, pairs, len(self.classes))

    def details(self) -> dict[str, Any]:
        """Precision-recall curves, F1 by threshold, table of classes."""
        return self.scene().details(self.classes)


class Scene:
    """Every detection and object of the samples, matched; what all figures are made from."""

    def __init__(self, dets: Marks, truths: Marks, matches: Matches, classes: int, samples: int) -> None:
        self.dets, self.truths, self.matches, self.samples = dets, truths, matches, samples
        self.ranked = ranked_by_class(dets, truths, matches, classes)
        self._plain: Values | None = None

    def plain(self) -> Values:
        """Figures over all pictures, made once."""
        if self._plain is None:
            self._plain = self.values(np.ones((self.samples, 1)))
        return self._plain

    def values(self, weights: Any) -> Values:
        """Figures (R,) and per-class figures (C, R) under weights (N, R)."""
        values: Values = {}
        for area, name in enumerate(AREAS):
            pairs = [average_precision(r, weights, area) for r in self.ranked]
            ap = np.stack([p[0] for p in pairs]) if pairs else np.full((0, 10, weights.shape[1]), np.nan)
            if name != "all":
                values[f"map_{name}"] = mean_known(ap.mean(axis=1))
                continue
            values |= {"map": mean_known(ap.mean(axis=1)), "map50": mean_known(ap[:, 0])}
            values |= {"map75": mean_known(ap[:, 5]), "ap": ap.mean(axis=1), "ap50": ap[:, 0]}
            values["recall"] = mean_known(np.stack([p[1] for p in pairs]).mean(axis=1))
        return values | {"best_f1": self._f1(weights).max(axis=0, initial=0.0)}

    def _f1(self, weights: Any) -> F64:
        """F1 (S, R) at IoU 0.5 over all classes, at each of `SCORES`."""
        found, spare, total = self._by_score()
        hits, extra = found @ weights, (total - spare) @ weights
        truths = np.bincount(self.truths.picture[~self.truths.crowd], minlength=self.samples) @ weights
        return np.nan_to_num(share(2 * hits, extra + truths))

    def _by_score(self) -> tuple[F64, F64, F64]:
        """Counts (S, N) of hits, of spares and of all detections at or above each of `SCORES`, by picture."""
        hit, spare = np.zeros(len(self.dets), bool), np.zeros(len(self.dets), bool)
        hit[self.matches.det] = self.matches.hit[:, 0, 0]
        spare[self.matches.det] = self.matches.spare[:, 0, 0]
        every = np.ones(len(self.dets), bool)
        return self._count(hit), self._count(spare), self._count(every)

    def _count(self, keep: Any) -> F64:
        """Detections kept (S, N) at or above each score step, by picture."""
        step = np.searchsorted(SCORES, self.dets.score[keep], "right") - 1
        flat = np.maximum(step, 0) * self.samples + self.dets.picture[keep]
        table = np.bincount(flat[step >= 0], minlength=len(SCORES) * self.samples)
        upwards = table.reshape(len(SCORES), self.samples)[::-1].cumsum(axis=0)[::-1]
        return upwards.astype(np.float64)

    def best_threshold(self) -> float:
        """The score threshold with the highest F1 at IoU 0.5."""
        return float(SCORES[int(self._f1(np.ones((self.samples, 1)))[:, 0].argmax())])

    def picture_f1(self) -> F64:
        """F1 (N,) of each picture at the best threshold; 1 where there is nothing and nothing is said."""
        step = int(np.searchsorted(SCORES, self.best_threshold()))
        found, spare, total = (c[step] for c in self._by_score())
        truths = np.bincount(self.truths.picture[~self.truths.crowd], minlength=self.samples)
        f1 = np.nan_to_num(share(2 * found, total - spare + truths), nan=1.0)
        return np.asarray(f1 - 1e-6 * (total - spare + truths - 2 * found))

    def details(self, classes: Sequence[str]) -> dict[str, Any]:
        """Plain values for the report."""
        one = np.ones((self.samples, 1))
        f1, best = self._f1(one)[:, 0], self.best_threshold()
        values = self.plain()
        rows, curves = [], []
        for c, name in enumerate(classes):
            ranked = self.ranked[c]
            count = int(ranked.counts[:, 0].sum())
            rows.append({"class": name, "n": count} | self._row(ranked, best, values, c))
            if count:
                precision = precision_at_recalls(ranked, self.samples)
                curves.append({"class": name, "p50": precision[0].tolist(), "p75": precision[5].tolist()})
        return {
            "classes": rows,
            "recalls": RECALLS.tolist(),
            "curves": curves,
            "threshold": best,
            "f1": {"score": SCORES.tolist(), "f1": f1.tolist()},
        }

    @staticmethod
    def _row(ranked: Ranked, threshold: float, values: Values, c: int) -> dict[str, float]:
        above = int((ranked.score >= threshold).sum())
        at = ranked.matched < above
        hits, spare = int(ranked.hit[at, 0, 0].sum()), int(ranked.spare[at, 0, 0].sum())
        count = int(ranked.counts[:, 0].sum())
        return {
            "ap": float(values["ap"][c, 0]),
            "ap50": float(values["ap50"][c, 0]),
            "precision": hits / (above - spare) if above > spare else float("nan"),
            "recall": hits / count if count else float("nan"),
        }


SCORES: F64 = np.round(np.arange(0.0, 1.0, 0.01), 2)


def truth_marks(record: Record, *, masks: bool) -> list[Annotation]:
    """The marks of a record that count as objects: those with a box, or those with a mask or polygons."""
    if masks:
        return [a for a in record.annotations if a.kind in ("mask", "polygon")]
    return [a for a in record.annotations if a.box is not None]


def truth_area(mark: Annotation) -> float:
    """Area of a marked object in square pixels: of its mask, else its polygons, else its box."""
    if mark.mask is not None:
        return float(sum(mark.mask.counts[1::2]))
    if mark.polygons:
        return sum(polygon_area(ring) for ring in mark.polygons)
    x1, y1, x2, y2 = mark.box or (0.0, 0.0, 0.0, 0.0)
    return max(0.0, x2 - x1) * max(0.0, y2 - y1)


def xywh(boxes: F64) -> F64:
    """Boxes (N, 4) x1 y1 x2 y2 as left, top, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _laid_out(parts: list[tuple[Any, ...]], *, crowd: bool) -> Marks:
    """Per-picture columns (labels, xywh, areas, and crowd or scores) end to end."""
    count = np.array([len(p[0]) for p in parts], np.int64)
    picture = np.repeat(np.arange(len(parts)), count)
    empty: tuple[Any, ...] = (np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    labels, xywh, areas, last = (np.concatenate([p[i] for p in (empty, *parts)]) for i in range(4))
    scores = np.zeros(len(picture)) if crowd else last.astype(np.float64)
    flags = last.astype(bool) if crowd else np.zeros(len(picture), bool)
    return Marks(picture, labels.astype(np.int64), xywh, areas, scores, flags)
