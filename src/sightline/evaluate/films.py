"""A locator over whole films: frames in order through its stream, as live video would come.

Frame-by-frame figures (`metrics.locate`) say nothing of what a viewer sees of a track: whether it trembles,
whether it leaps to a lamp and back, what happens when the thing flies fast. Here every film goes through one
stream from its first frame to its last, and figures have intervals over films.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import DatasetError, MediaError
from sightline.core.picture import Picture, from_av
from sightline.core.predictor import AnyPredictor
from sightline.core.records import Record
from sightline.core.results import Points
from sightline.data.points import looked_for
from sightline.evaluate.bootstrap import Estimate, draws, summary
from sightline.evaluate.metrics.base import F32, F64, Values, share
from sightline.evaluate.metrics.locate import weighted_quantile

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

HIT_PX = 8.0
NEAR_PX = 50.0
SPEED_PX = (0.0, 5.0, 10.0, 20.0, 40.0, np.inf)
BLUR_PX = (0.0, 2.0, 5.0, 10.0, 20.0, np.inf)


@dataclass(slots=True)
class Tracks:
    """Truth and answers of every frame of some films, in order.

    Attributes:
        group: (N,) the film's group.
        frame: (N,) number in its film.
        truth: (N, 2) xy in source pixels, NaN where the thing is out of sight.
        known: (N,) whether the frame was looked at.
        answer: (N, 2) xy.
        answered: (N,) whether the answer counts as in sight.
        blur: (N,) pixels the thing moves while the shutter is open, NaN where that is not known.
        seconds: that the answers took, decoding included.
    """

    group: list[str] = field(default_factory=list)
    frame: list[int] = field(default_factory=list)
    truth: list[tuple[float, float]] = field(default_factory=list)
    known: list[bool] = field(default_factory=list)
    answer: list[tuple[float, float]] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)
    blur: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def columns(self) -> Columns:
        """What figures are made of, a row a frame that was looked at."""
        truth, answer = np.array(self.truth).reshape(-1, 2), np.array(self.answer).reshape(-1, 2)
        seen, answered = np.isfinite(truth[:, 0]), np.array(self.answered, bool)
        group, frame = np.array(self.group), np.array(self.frame)
        error = np.hypot(*(answer - truth).T)
        off = np.where((seen & answered & (error <= NEAR_PX))[:, None], answer - truth, np.nan)
        together = (group[1:] == group[:-1]) & (np.diff(frame) == 1)
        step = np.full(len(truth), np.nan)
        step[1:] = np.where(together, np.hypot(*np.diff(truth, axis=0).T), np.nan)
        wild = seen & answered & (error > NEAR_PX)
        before = np.concatenate([[False], together & wild[:-1]])
        known = np.array(self.known, bool)
        found = Columns(
            group=group,
            seen=seen,
            answered=answered,
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
    """A row a frame: truth in sight, answered, error in px (NaN where unseen), tremble of the answers against
    the truth, the truth's own second difference, the first frame of a false jump, speed in px a frame, blur.
    """

    group: NDArray[Any]
    seen: NDArray[np.bool_]
    answered: NDArray[np.bool_]
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


def follow(
    predictor: AnyPredictor,
    dataset: Dataset,
    ids: Sequence[str],
    *,
    blur: Mapping[str, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tracks:
    """Answers of a predictor's stream for every frame of the films that hold some records.

    Args:
        predictor: of the task `locate`, one class; reads one clip or picture.
        dataset: holds truth and films.
        ids: records to measure on; frames between them are answered and not measured.
        blur: motion blur in pixels by record id.
        progress: called with films done and in all.

    Raises:
        DatasetError: the records are no frames of videos.
        MediaError: a film cannot be read.
    """
    films: dict[str, dict[int, Record]] = {}
    for record in (dataset.record(name) for name in ids):
        if record.frame < 0:
            raise DatasetError("is no frame of a video, so it has no order", where=record.id)
        films.setdefault(record.media, {})[record.frame] = record
    out = Tracks()
    started = time.perf_counter()
    for done, (media, records) in enumerate(films.items(), 1):
        _follow_one(predictor, dataset.media_path(media), records, out, blur or {})
        if progress:
            progress(done, len(films))
    out.seconds = time.perf_counter() - started
    return out


def _follow_one(
    predictor: AnyPredictor, path: Path, records: Mapping[int, Record], out: Tracks, blur: Mapping[str, float]
) -> None:
    name = next(iter(predictor.signature.inputs))
    least = predictor.signature.thresholds.get("locate", 0.5)
    stream = predictor.open_stream()
    for index, picture in enumerate(pictures_of(path)):
        points = stream.push({name: picture})["locate"]
        assert isinstance(points, Points)
        record = records.get(index)
        out.group.append((record.group or record.media) if record else path.name)
        out.frame.append(index)
        mark = next(iter(looked_for(record).values()), None) if record else None
        seen = mark is not None and mark.visible and mark.point is not None
        out.truth.append(mark.point if seen and mark is not None and mark.point else (np.nan, np.nan))
        out.known.append(mark is not None)
        x, y = points.points[0].tolist()
        out.answer.append((x, y))
        out.answered.append(bool(points.visible[0] >= least))
        out.blur.append(blur.get(record.id, np.nan) if record else np.nan)
    close = getattr(stream, "close", None)
    if close is not None:
        close()


def pictures_of(path: Path) -> Iterator[Picture]:
    """Every frame of a film in order, as the decoder gives it.

    Raises:
        MediaError: it cannot be read.
    """
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                yield from_av(frame)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise MediaError(f"cannot be read as video ({error})", where=path) from error
