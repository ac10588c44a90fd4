"""What a viewer sees of a track: hits, how much it trembles, and whether it leaps away and back.

Frame-by-frame errors say nothing of these. They are made of frames in order; where frames do not follow one
another (still pictures, a labelled frame here and there) those figures are not defined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.records import Record
from sightline.core.results import Points
from sightline.data.points import looked_for
from sightline.evaluate.metrics.base import F32, F64, Values, share

if TYPE_CHECKING:
    from sightline.evaluate.bootstrap import Estimate

HIT_PX = 8.0
NEAR_PX = 50.0
# Ends of the bins of speed and blur, wherever errors are told by them.
SPEED_PX = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, np.inf)
BLUR_PX = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, np.inf)


@dataclass(slots=True)
class Tracks:
    """Truth and answers of every frame of some films, in order.

    Attributes:
        group: (N,) the film's group.
        media: (N,) its file.
        frame: (N,) number in its film.
        truth: (N, 2) xy in source pixels, NaN where the thing is out of sight.
        known: (N,) whether the frame was looked at.
        answer: (N, 2) xy.
        answered: (N,) whether the answer counts as in sight.
        score: (N,) the answer's probability of being in sight.
        blur: (N,) pixels the thing moves while the shutter is open, NaN where that is not known.
        seconds: that the answers took, decoding included.
    """

    group: list[str] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    frame: list[int] = field(default_factory=list)
    truth: list[tuple[float, float]] = field(default_factory=list)
    known: list[bool] = field(default_factory=list)
    answer: list[tuple[float, float]] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    blur: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, record: Record, points: Points, least: float, blur: float = np.nan) -> None:
        """Take one frame and its answer; of several classes the first counts.

        Args:
            record: the truth.
            points: the answer.
            least: the score from which it counts as in sight.
            blur: pixels the thing moves while the shutter is open.
        """
        mark = looked_for(record).get(0)
        seen = mark is not None and mark.visible and mark.point is not None
        x, y = points.points[0].tolist()
        self.group.append(record.group or record.media)
        self.media.append(record.media)
        self.frame.append(record.frame)
        self.truth.append(mark.point if seen and mark is not None and mark.point else (np.nan, np.nan))
        self.known.append(mark is not None)
        self.answer.append((x, y))
        self.answered.append(bool(points.visible[0] >= least))
        self.score.append(float(points.visible[0]))
        self.blur.append(blur)

    def columns(self) -> Columns:
        """What figures are made of, a row a frame that was looked at."""
        truth, answer = np.array(self.truth).reshape(-1, 2), np.array(self.answer).reshape(-1, 2)
        seen, answered = np.isfinite(truth[:, 0]), np.array(self.answered, bool)
        group, media, frame = np.array(self.group), np.array(self.media), np.array(self.frame)
        error = np.hypot(*(answer - truth).T)
        off = np.where((seen & answered & (error <= NEAR_PX))[:, None], answer - truth, np.nan)
        together = (media[1:] == media[:-1]) & (np.diff(frame) == 1) & (frame[1:] > 0)
        step = np.full(len(truth), np.nan)
        step[1:] = np.where(together, np.hypot(*np.diff(truth, axis=0).T), np.nan)
        wild = seen & answered & (error > NEAR_PX)
        before = np.concatenate([[False], together & wild[:-1]])
        known = np.array(self.known, bool)
        found = Columns(
            group=group,
            seen=seen,
            answered=answered,
            score=np.array(self.score, np.float64),
            error=error,
            trembling=_bend(off, together),
            bend=_bend(truth, together),
            jump=wild & ~before,
            speed=step,
            blur=np.array(self.blur, np.float64),
        )
        return found.where(known)


def _bend(points: F64, together: NDArray[np.bool_]) -> F64:
    """Length (N,) of the second difference of points (N, 2) about each frame, NaN at the ends of a run."""
    out = np.full(len(points), np.nan)
    if len(points) > 2:
        second = np.hypot(*(points[2:] - 2 * points[1:-1] + points[:-2]).T)
        out[1:-1] = np.where(together[1:] & together[:-1], second, np.nan)
    return out


@dataclass(frozen=True, slots=True)
class Columns:
    """A row a frame: truth in sight, answered, the answer's score, error in px (NaN where unseen), tremble
    of the answers against the truth, the truth's own second difference, the first frame of a false jump,
    speed in px a frame, blur.
    """

    group: NDArray[Any]
    seen: NDArray[np.bool_]
    answered: NDArray[np.bool_]
    score: F64
    error: F64
    trembling: F64
    bend: F64
    jump: NDArray[np.bool_]
    speed: F64
    blur: F64

    def where(self, mask: NDArray[np.bool_]) -> Columns:
        """The rows of a mask (N,)."""
        return Columns(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    def values(self, weights: F32 | None = None) -> Values:
        """Figures (R,) under each of R weightings (N, R); None is every frame once.

        `f1`: a hit is a point in sight, answered within 8 px; an answer that is no hit is false, a point in
        sight that is not hit is missed. `mean_px`: of answers within 50 px; farther ones are jumps and
        misses. `jitter_px`: root mean square of the second difference of the answers' error along frames
        all answered within 50 px; `truth_bend_px` is the truth's own. `jumps`: answers more than 50 px off a
        thing in sight, each run of frames counted once, per 1,000 frames.
        """
        if weights is None:
            weights = np.ones((len(self.seen), 1), np.float32)
        rows = weights.astype(np.float64)
        both = self.seen & self.answered
        error = np.nan_to_num(self.error, nan=np.inf)
        hit, near = both & (error <= HIT_PX), both & (error <= NEAR_PX)
        in_sight, named = rows[self.seen].sum(0), rows[self.answered].sum(0)
        hits = rows[hit].sum(0)
        trembling, bend = np.isfinite(self.trembling), np.isfinite(self.bend)
        return {
            "median_px": weighted_quantile(error[both], rows[both], 0.5),
            "mean_px": share(error[near] @ rows[near], rows[near].sum(0)),
            "within_8px": share(hits, in_sight),
            "f1": share(2 * hits, in_sight + named),
            "visible_f1": share(2 * rows[both].sum(0), in_sight + named),
            "miss_rate": share(in_sight - rows[both].sum(0), in_sight),
            "false_alarms": share(rows[self.answered & ~self.seen].sum(0), rows[~self.seen].sum(0)),
            "jitter_px": _rms(self.trembling, trembling, rows),
            "truth_bend_px": _rms(self.bend, bend, rows),
            "jumps": 1000 * share(rows[self.jump].sum(0), rows.sum(0)),
        }

    def estimates(self, rounds: int = 1000, seed: int = 0) -> dict[str, Estimate]:
        """Figures with 95% intervals over groups."""
        from sightline.evaluate.bootstrap import draws, summary  # here: it reads this package

        parts = [self.values(weights) for weights in draws(list(self.group), rounds, seed)]
        resampled = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]} if parts else {}
        return summary(self.values(), resampled, len(set(self.group)))

    def binned(self, by: F64, edges: Sequence[float], rounds: int = 300) -> Iterator[dict[str, Any]]:
        """A row a bin of a column (`speed`, `blur`), of the frames where the thing is in sight."""
        for low, high in pairwise(edges):
            inside = self.where(self.seen & (by >= low) & (by < high))
            if inside.seen.any():
                found = inside.estimates(rounds)
                yield {"from": low, "to": high, "frames": len(inside.seen), **found}


def _rms(column: F64, mask: NDArray[np.bool_], rows: F64) -> F64:
    """Root mean square (R,) of the finite rows of a column under weights (N, R)."""
    found: F64 = np.sqrt(share(np.square(column[mask]) @ rows[mask], rows[mask].sum(0)))
    return found


def weighted_quantile(values: F64, weights: F64, q: float) -> F64:
    """Quantile (R,) of values (M,), each repeated as often as its weight (M, R) says.

    Linear between the two nearest, as `numpy.quantile` does on the repeated values; NaN where there is none.
    """
    if not len(values):
        return np.full(weights.shape[1], np.nan)
    order = np.argsort(values, kind="stable")
    ordered, upto = values[order], np.cumsum(weights[order], axis=0)
    total = upto[-1]
    place = np.maximum(total - 1, 0) * q
    low, part = np.floor(place), place - np.floor(place)
    a = ordered[np.minimum((upto <= low).sum(axis=0), len(ordered) - 1)]
    b = ordered[np.minimum((upto <= np.minimum(low + 1, total - 1)).sum(axis=0), len(ordered) - 1)]
    return np.where(total > 0, a + (b - a) * part, np.nan)
