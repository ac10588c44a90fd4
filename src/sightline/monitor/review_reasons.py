"""Why an answered picture is worth a person's look: doubt, novelty, and answers that come and go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.manifest import Manifest
from sightline.core.observation import Moments
from sightline.core.results import ClassScores, Detections, Instances, PanopticMap, Points, Result
from sightline.monitor.drift import Baseline
from sightline.monitor.review_items import MOST_BY_RULE, ReviewOptions

Array = NDArray[Any]

# Neighbours whose distance says how far a picture lies from what is known (Sun et al. 2022).
NEIGHBOURS = 5
# A picture as far out as this quantile of the reference's own is of novelty one half.
USUAL = 0.99
# Rows this far above their threshold are beyond doubt.
BAND = 0.3
OVERLAP = 0.5
# Sources whose last frame is remembered.
MOST_STREAMS = 1024


def doubt(results: Mapping[str, Result], thresholds: Mapping[str, float] | None = None) -> float:
    """How unsure the answer for a picture is, 0..1; of several tasks, the least sure counts.

    A classification by the margin between its two best classes, 1 - (p1 - p2) (Scheffer et al. 2001). The
    rows of a detector by how little their scores lie above the threshold, on average: one doubtful box of
    twenty is usual. The least sure of several points, by how near its probability of being in sight is to
    the threshold. Dense maps without scores are beyond doubt.
    """
    worst = 0.0
    for task, result in results.items():
        least = (thresholds or {}).get(task, 0.0)
        if isinstance(result, ClassScores) and len(result.scores) > 1:
            second, best = np.sort(result.scores)[-2:]
            worst = max(worst, 1 - float(best - second))
        elif isinstance(result, (Detections, Instances, PanopticMap)) and len(result.scores):
            kept = result.scores[result.scores >= least]
            if len(kept):
                worst = max(worst, float(np.maximum(1 - (kept - least) / BAND, 0).mean()))
        elif isinstance(result, Points) and len(result.visible):
            gap = np.abs(result.visible - result.threshold)
            side = np.where(result.seen, 1 - result.threshold, result.threshold)
            worst = max(worst, 1 - float((gap / np.maximum(side, 1e-6)).min()))
    return min(max(worst, 0.0), 1.0)


class Novelty:
    """How far a picture's embedding lies from a package's reference, as a number 0..1.

    The distance to the `NEIGHBOURS`-th nearest of the reference's pictures, d, against the same distance
    within the reference, of which q is the quantile `USUAL`: d² / (d² + q²). One half is thus as far out as
    one in a hundred of the validation set itself.
    """

    def __init__(self, sample: Array, moments: Moments) -> None:
        """`sample` (N, D) holds the reference's projected embeddings, `moments` their projection."""
        self._sample, self._moments = np.asarray(sample, np.float64), moments
        self._squares = (self._sample**2).sum(axis=1)
        # A row's nearest neighbour is itself.
        own = [self._distance(row, NEIGHBOURS + 1) for row in self._sample]
        self._usual = max(float(np.quantile(own, USUAL)), 1e-9)

    @classmethod
    def of(cls, manifest: Manifest) -> Novelty | None:
        """By a package's reference; None where it holds no embeddings.

        Raises:
            PackageError: it holds no reference, or a broken one.
        """
        baseline = Baseline.of(manifest)
        if baseline.moments is None or baseline.sample.embedding.shape[1] == 0:
            return None
        return cls(baseline.sample.embedding, baseline.moments)

    def __call__(self, embedding: Array) -> float:
        """Novelty of an embedding (D,)."""
        vector = np.asarray(embedding, np.float64).ravel()[None]
        distance = self._distance(self._moments.project(vector)[0].astype(np.float64), NEIGHBOURS)
        return distance**2 / (distance**2 + self._usual**2)

    def _distance(self, row: Array, rank: int) -> float:
        squares = self._squares - 2 * (self._sample @ row) + row @ row
        rank = min(rank, len(squares)) - 1
        return float(np.sqrt(max(np.partition(squares, rank)[rank], 0.0)))


class Steadiness:
    """Answers that came or went between two frames of one source, though neither frame says why."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, Mapping[str, Result]] = OrderedDict()

    def __call__(self, source: str, results: Mapping[str, Result]) -> float:
        """Share of the answers of this frame and the one before that have no partner in the other, 0..1."""
        before = self._last.pop(source, None)
        self._last[source] = results
        while len(self._last) > MOST_STREAMS:
            self._last.popitem(last=False)
        if before is None:
            return 0.0
        return max((_changed(before[t], r) for t, r in results.items() if t in before), default=0.0)


def _changed(a: Result, b: Result) -> float:
    if isinstance(a, ClassScores) and isinstance(b, ClassScores):
        return float(a.best != b.best)
    if isinstance(a, Points) and isinstance(b, Points) and len(a.seen) == len(b.seen):
        return float((a.seen != b.seen).mean()) if len(a.seen) else 0.0
    if isinstance(a, (Detections, Instances)) and isinstance(b, (Detections, Instances)):
        total = len(a.scores) + len(b.scores)
        return 1 - 2 * paired(a.boxes, a.classes, b.boxes, b.classes) / total if total else 0.0
    return 0.0


def paired(boxes_a: Array, classes_a: Array, boxes_b: Array, classes_b: Array) -> int:
    """How many boxes xyxy of `a`, best first, find one of `b` of their class at an overlap of one half.

    Each of `b` is taken once, by the first of `a` that overlaps it most.
    """
    if not len(boxes_a) or not len(boxes_b):
        return 0
    overlaps = overlap(boxes_a, boxes_b)
    overlaps = np.where(classes_a[:, None] == classes_b[None], overlaps, 0.0)
    found = 0
    for row in overlaps:
        best = int(row.argmax())
        if row[best] >= OVERLAP:
            found += 1
            overlaps[:, best] = 0.0
    return found


def overlap(a: Array, b: Array) -> Array:
    """Intersection over union (N, M) of boxes xyxy (N, 4) and (M, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inside = np.maximum(high - low, 0).prod(axis=2)
    areas = [np.maximum(x[:, 2:] - x[:, :2], 0).prod(axis=1) for x in (a, b)]
    union = areas[0][:, None] + areas[1][None] - inside
    return np.asarray(inside / np.maximum(union, 1e-9))


class Judge:
    """The rules together, for one version of a package."""

    def __init__(
        self, options: ReviewOptions, thresholds: Mapping[str, float], novelty: Novelty | None
    ) -> None:
        self._options, self._thresholds, self._novelty = options, thresholds, novelty
        self._steadiness = Steadiness()

    def __call__(
        self, results: Mapping[str, Result], embedding: Array | None, source: str = ""
    ) -> dict[str, float]:
        """Reasons with their values, none where the picture is an ordinary one.

        Args:
            results: by task.
            embedding: (D,), or None.
            source: the stream a frame is from; empty for a lone picture.
        """
        found = {"uncertain": doubt(results, self._thresholds)}
        if self._novelty is not None and embedding is not None:
            found["novel"] = self._novelty(embedding)
        if source:
            found["unstable"] = self._steadiness(source, results)
        limits = {name: getattr(self._options, name) for name in found}
        return {
            name: round(min(value, MOST_BY_RULE), 4)
            for name, value in found.items()
            if value >= limits[name] and limits[name] < 1
        }
