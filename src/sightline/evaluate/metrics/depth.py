"""Distance of every pixel: relative and absolute error, and the share that is nearly right."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline.core.errors import ModelError
from sightline.core.records import Record
from sightline.core.results import DepthMap, Result
from sightline.evaluate.metrics.base import F32, F64, Family, Measure, ReadMap, Values, ones, share

NEAR = 1.25
EDGES_M: F64 = np.geomspace(0.1, 200.0, 34)


class Depth(Family):
    """Errors of depth after Eigen et al. 2014, pooled over all pixels whose distance is known.

    With d the answer and t the truth: abs_rel is the mean of |d - t| / t, rmse the root of the mean of
    (d - t) squared, delta1 the share with max(d / t, t / d) < 1.25, and likewise its square and cube. A pixel
    the model leaves unknown (0) is in no error but fails every delta; coverage tells how many there are.
    """

    task = "depth"
    measures = (
        Measure("abs_rel", False, "mean of |error| / true distance", headline=True),
        Measure("rmse", False, "root mean square error", unit="m", headline=True),
        Measure("delta1", True, "share of pixels within a factor of 1.25", headline=True),
        Measure("delta2", True, "share of pixels within a factor of 1.25 squared"),
        Measure("delta3", True, "share of pixels within a factor of 1.25 cubed"),
        Measure("rmse_log", False, "root mean square error of the natural logarithm"),
        Measure("coverage", True, "share of pixels the model gives a distance for"),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows: list[F64] = []
        self._by_distance = np.zeros((2, len(EDGES_M) + 1))

    def add(self, record: Record, result: Result, read_map: ReadMap) -> bool:
        """Take one picture; see `Family.add`."""
        if not isinstance(result, DepthMap):
            raise ModelError(f"answers {type(result).__name__} for depth", where=record.id)
        if "depth" not in record.maps:
            return False
        truth = np.asarray(read_map(record, "depth"), np.float64)
        if truth.shape != result.metres.shape:
            raise ModelError(
                f"answers a map of {result.metres.shape}, the truth is {truth.shape} (H, W)", where=record.id
            )
        known = truth > 0
        t, d = truth[known], result.metres[known].astype(np.float64)
        said = d > 0
        total, t, d = len(t), t[said], d[said]
        ratio = np.maximum(d / t, t / d)
        relative = np.abs(d - t) / t
        near = [float((ratio < NEAR**k).sum()) for k in (1, 2, 3)]
        log = np.log(d / t)
        self._rows.append(
            np.array([total, len(t), relative.sum(), ((d - t) ** 2).sum(), (log**2).sum(), *near], np.float64)
        )
        place = np.searchsorted(EDGES_M, t)
        size = len(EDGES_M) + 1
        self._by_distance += [np.bincount(place, relative, size), np.bincount(place, minlength=size)]
        return True

    def values(self, weights: F32 | None = None) -> Values:
        """Figures under each weighting; see `Family.values`."""
        rows = np.array(self._rows, np.float64).reshape(-1, 8)
        weights = ones(len(rows)) if weights is None else weights
        total, said, relative, square, log, *near = rows.T @ weights.astype(np.float64)
        return {
            "abs_rel": share(relative, said),
            "rmse": np.sqrt(share(square, said)),
            "rmse_log": np.sqrt(share(log, said)),
            "delta1": share(near[0], total),
            "delta2": share(near[1], total),
            "delta3": share(near[2], total),
            "coverage": share(said, total),
        }

    def quality(self) -> F64:
        """Share of pixels within a factor of 1.25 of each picture."""
        rows = np.array(self._rows, np.float64).reshape(-1, 8)
        return np.nan_to_num(share(rows[:, 5], rows[:, 0]), nan=1.0)

    def caption(self, quality: float) -> str:
        """See `Family.caption`."""
        return f"{quality:.0%} of pixels within a factor of 1.25"

    def details(self) -> dict[str, Any]:
        """Mean relative error by true distance."""
        relative, pixels = self._by_distance[:, 1:-1]
        middle = np.sqrt(EDGES_M[:-1] * EDGES_M[1:])
        return {
            "distance": {
                "metres": middle.tolist(),
                "abs_rel": share(relative, pixels).tolist(),
                "n": pixels.tolist(),
            }
        }
