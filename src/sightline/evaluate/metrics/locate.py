"""Points of tiny objects: how far off the answers are, and whether sight and hiding are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline.core.errors import ModelError
from sightline.core.records import Record
from sightline.core.results import IN_SIGHT, Points, Result
from sightline.data.points import looked_for
from sightline.evaluate.metrics.base import F32, F64, Family, Measure, ReadMap, Values, ones, share
from sightline.evaluate.metrics.locate_motion import Place, motion_details, place_of
from sightline.evaluate.metrics.tracks import Columns, Tracks, weighted_quantile

WITHIN_PX = (2, 4, 8)
WRONG_SIGHT = 1e6
CURVE_PX = tuple(float(x) for x in np.round(np.geomspace(0.5, 128, 49), 3))


class Locate(Family):
    """Pixel error of the answered points, with misses counted as misses.

    A point is answered where its probability of being in sight reaches the threshold (0.5 unless the
    signature says otherwise). Errors are Euclidean, in pixels of the source picture, over points that are
    truly in sight and answered; the shares within 2, 4 and 8 px are of *all* points truly in sight, so a
    point that is not answered is within nothing. `miss_rate` says how many were not answered.
    Row k of the answer is class k. A frame on which no point is marked, seen or hidden, is left out.
    """

    task = "locate"
    measures = (
        Measure("mean_px", False, "mean error of answered points", unit="px", headline=True),
        Measure("median_px", False, "median error of answered points", unit="px", headline=True),
        Measure("p95_px", False, "95th percentile of the error of answered points", unit="px"),
        Measure("within_2px", True, "share of points in sight answered within 2 px"),
        Measure("within_4px", True, "share of points in sight answered within 4 px", headline=True),
        Measure("within_8px", True, "share of points in sight answered within 8 px"),
        Measure("miss_rate", False, "share of points in sight that are not answered", headline=True),
        Measure("visible_precision", True, "share of answered points that are truly in sight"),
        Measure("visible_recall", True, "share of points in sight that are answered"),
        Measure("visible_f1", True, "F1 of being in sight", headline=True),
        Measure("hit_f1", True, "F1 of points in sight answered within 8 px", headline=True),
        Measure("near_mean_px", False, "mean error of points answered within 50 px", unit="px"),
        Measure("false_alarms", False, "share of hidden points that are answered"),
        Measure("jitter_px", False, "RMS second difference of the error along frames", unit="px"),
        Measure("jumps", False, "runs of answers more than 50 px off, per 1,000 frames"),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._threshold = self.thresholds.get("locate", IN_SIGHT)
        self._samples = 0
        self._rows: list[tuple[int, int, bool, float, float]] = []
        self._tracks = Tracks()
        self._track_columns: Columns | None = None
        self._places: list[Place] = []

    def add(self, record: Record, result: Result, read_map: ReadMap) -> bool:
        """Take one frame; see `Family.add`."""
        if not isinstance(result, Points):
            raise ModelError(f"answers {type(result).__name__} for locate", where=record.id)
        marks = looked_for(record)
        if not marks:
            return False
        if len(result.visible) != len(self.classes):
            raise ModelError(
                f"answers {len(result.visible)} points, there are {len(self.classes)} classes",
                where=record.id,
            )
        for label, mark in marks.items():
            seen = mark.visible and mark.point is not None
            error = float("nan")
            if seen and mark.point is not None:
                error = float(np.hypot(*(result.points[label].astype(np.float64) - mark.point)))
            self._rows.append((self._samples, label, seen, float(result.visible[label]), error))
            x, y = (float(v) for v in result.points[label])
            answer = (x, y) if result.visible[label] >= self._threshold else None
            self._places.append(place_of(record, label, mark, mark.point if seen else None, answer))
        self._samples += 1
        if len(self.classes) == 1:
            self._tracks.add(record, result, self._threshold)
            self._track_columns = None
        return True

    def _columns(self) -> tuple[Any, Any, Any, Any, Any]:
        rows = np.array(self._rows, np.float64).reshape(-1, 5)
        sample, label, seen = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2] > 0
        return sample, label, seen, rows[:, 3] >= self._threshold, rows[:, 4]

    def values(self, weights: F32 | None = None) -> Values:
        """Figures under each weighting; see `Family.values`."""
        sample, _, seen, answered, error = self._columns()
        weights = ones(self._samples) if weights is None else weights
        rows = weights[sample].astype(np.float64)
        hit = seen & answered
        in_sight, named, both = rows[seen].sum(0), rows[answered].sum(0), rows[hit].sum(0)
        values = {
            "mean_px": share(error[hit] @ rows[hit], both),
            "median_px": weighted_quantile(error[hit], rows[hit], 0.5),
            "p95_px": weighted_quantile(error[hit], rows[hit], 0.95),
        }
        for limit in WITHIN_PX:
            near = hit & (np.nan_to_num(error, nan=np.inf) <= limit)
            values[f"within_{limit}px"] = share(rows[near].sum(0), in_sight)
        return values | {
            "miss_rate": share(in_sight - both, in_sight),
            "visible_precision": share(both, named),
            "visible_recall": share(both, in_sight),
            "visible_f1": share(2 * both, named + in_sight),
            **self._of_tracks(weights),
        }

    def _of_tracks(self, weights: F32) -> Values:
        """Figures of a single thing's track, by the names of `measures`."""
        if len(self.classes) != 1:
            return {}
        if self._track_columns is None:
            self._track_columns = self._tracks.columns()
        found = self._track_columns.values(weights)
        same = {name: found[name] for name in ("false_alarms", "jitter_px", "jumps")}
        return {"hit_f1": found["f1"], "near_mean_px": found["mean_px"], **same}

    def quality(self) -> F64:
        """Minus the worst error of each frame in px; a wrong word on sight counts as worse than any."""
        sample, _, seen, answered, error = self._columns()
        loss = np.where(seen & answered, np.nan_to_num(error), np.where(seen != answered, WRONG_SIGHT, 0.0))
        worst = np.zeros(self._samples)
        np.maximum.at(worst, sample, loss)
        return -worst

    def caption(self, quality: float) -> str:
        """See `Family.caption`."""
        if quality <= -WRONG_SIGHT:
            return "wrong about sight"
        return f"{-quality:.1f} px off" if quality else "rightly silent"

    def details(self) -> dict[str, Any]:
        """Share within each distance, counts of sight, a table of points, and `motion_details`."""
        _, label, seen, answered, error = self._columns()
        hit = seen & answered
        visible = max(1, int(seen.sum()))
        near = [float((error[hit] <= limit).sum() / visible) for limit in CURVE_PX]
        rows = [self._row(k, name, seen, answered, error, label) for k, name in enumerate(self.classes)]
        counts = {
            "seen_answered": int(hit.sum()),
            "seen_missed": int((seen & ~answered).sum()),
            "hidden_answered": int((~seen & answered).sum()),
            "hidden_silent": int((~seen & ~answered).sum()),
        }
        curve = {"px": list(CURVE_PX), "share": near}
        found = {"within": curve, "sight": counts, "classes": [r for r in rows if r["n"]]}
        return found | motion_details(self._places)

    @staticmethod
    def _row(k: int, name: str, seen: Any, answered: Any, error: Any, label: Any) -> dict[str, Any]:
        mine = label == k
        errors = error[mine & seen & answered]
        return {
            "class": name,
            "n": int((mine & seen).sum()),
            "mean_px": float(errors.mean()) if errors.size else float("nan"),
            "median_px": float(np.median(errors)) if errors.size else float("nan"),
            "recall": float((mine & seen & answered).sum() / max(1, (mine & seen).sum())),
        }
