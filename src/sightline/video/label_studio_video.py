"""A video's answers as regions of Label Studio: boxes over time with few key frames, and phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.core.label_studio import DEFAULT_RATE, entry, ranges, rectangle
from sightline.core.label_studio import Result as Region
from sightline.core.results import ClassScores, DepthMap, Detections, Points
from sightline.video.pipeline import Prediction

Box = NDArray[np.float64]
LEAST_IOU = 0.3
MOST_MISSED = 2
# A key frame is left out where the line between its neighbours is as near as this, in pixels.
NEAR_PX = 1.0
# Side of the box that stands for a point, as a share of the video's smaller side.
POINT_SIDE = 0.02


@dataclass(slots=True, eq=False)
class Track:
    """One thing over frames.

    Attributes:
        label: its class.
        boxes: xyxy pixels, by frame.
        scores: of each.
    """

    label: str
    boxes: dict[int, Box] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)

    @property
    def last(self) -> int:
        """Its newest frame."""
        return next(reversed(self.boxes))


class VideoTask:
    """Gathers one video's predictions, in order.

    Boxes are chained to the nearest of the same class (greedy, by overlap), so that an annotator corrects
    things and not frames. A point becomes a small box about it: the server's videos have no points, and
    `sightline import --points box-centres` makes it one again.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._tracks: list[Track] = []
        self._open: list[Track] = []
        self._phases: dict[str, list[int]] = {}
        self._points: dict[int, Track] = {}
        self._size = (1, 1)
        self._frames = 0
        self._last_s: float | None = None
        self.controls: set[str] = set()

    @property
    def rate(self) -> float:
        """Frames a second, from the times of the frames."""
        if not self._last_s or self._frames < 2:
            return DEFAULT_RATE
        return round((self._frames - 1) / self._last_s, 3)

    @property
    def score(self) -> float | None:
        """The least sure thing's mean score."""
        return min((float(np.mean(t.scores)) for t in self._tracks if t.scores), default=None)

    def add(self, prediction: Prediction) -> None:
        """Take one frame.

        Raises:
            UsageError: an answer that the server's videos cannot show.
        """
        self._frames, self._size = prediction.index + 1, prediction.size_wh
        self._last_s = prediction.time_s
        for task, result in (prediction.results or {}).items():
            if isinstance(result, ClassScores):
                self.controls.add("timelinelabels")
                self._phases.setdefault(result.names[result.best], []).append(prediction.index)
            elif isinstance(result, Detections):
                self.controls.add("videorectangle")
                self._chain(prediction.index, result)
            elif isinstance(result, Points):
                self.controls.add("videorectangle")
                self._follow(prediction.index, result)
            elif not isinstance(result, DepthMap):
                raise UsageError(
                    f"videos of Label Studio show boxes, points and phases, not {task}",
                    where=prediction.source,
                    remedy="predict pictures (sightline collect takes them from a video)",
                )

    def _chain(self, index: int, result: Detections) -> None:
        self._open = [t for t in self._open if index - t.last <= 1 + MOST_MISSED]
        free = list(self._open)
        rows = zip(result.boxes.astype(np.float64), result.scores, result.classes, strict=True)
        for box, score, label in rows:
            name = result.names[label]
            near = [(overlap(box, t.boxes[t.last]), t) for t in free if t.label == name]
            best = max(near, key=lambda pair: pair[0], default=(0.0, None))
            track = best[1] if best[0] >= LEAST_IOU else None
            if track is None:
                track = Track(name)
                self._tracks.append(track)
                self._open.append(track)
            else:
                free.remove(track)
            track.boxes[index] = box
            track.scores.append(float(score))

    def _follow(self, index: int, result: Points) -> None:
        half = POINT_SIDE * min(self._size) / 2
        names = result.names or ("point",)
        for k in np.flatnonzero(result.seen):
            if k not in self._points:
                self._points[int(k)] = Track(names[k % len(names)])
                self._tracks.append(self._points[int(k)])
            x, y = result.points[k].astype(np.float64)
            self._points[int(k)].boxes[index] = np.array([x - half, y - half, x + half, y + half])
            self._points[int(k)].scores.append(float(result.visible[k]))

    def regions(self) -> list[Region]:
        """What goes into the task's prediction."""
        count, rate = self._frames, self.rate
        out: list[Region] = []
        for number, track in enumerate(self._tracks):
            value: Region = {"framesCount": count, "duration": count / rate, "labels": [track.label]}
            value["sequence"] = sequence(track.boxes, self._size, count, rate)
            score = float(np.mean(track.scores))
            out.append(entry("videorectangle", value, f"track{number}", to="video", score=score))
        for number, (label, frames) in enumerate(self._phases.items()):
            value = {"ranges": ranges(frames), "timelinelabels": [label]}
            out.append(entry("timelinelabels", value, f"phase{number}", to="video"))
        return out


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes xyxy."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0).any():
        return 0.0
    shared = float(sides.prod())
    return shared / (float((a[2:] - a[:2]).prod()) + float((b[2:] - b[:2]).prod()) - shared)


def sequence(boxes: Mapping[int, Box], size_wh: tuple[int, int], count: int, rate: float) -> list[Region]:
    """Key frames of one track; the last one before a gap is off, so that nothing is made up there."""
    out: list[Region] = []
    for run in _runs(sorted(boxes)):
        kept = key_frames(np.array([boxes[i] for i in run]))
        for at in kept:
            frame = run[at]
            last = at == kept[-1] and frame + 1 < count
            value: dict[str, Any] = rectangle(boxes[frame].tolist(), size_wh)
            out.append(value | {"frame": frame + 1, "time": frame / rate, "enabled": not last})
    return out


def _runs(frames: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for frame in frames:
        if runs and runs[-1][-1] == frame - 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs


def key_frames(boxes: NDArray[np.float64], near_px: float = NEAR_PX) -> list[int]:
    """Rows of boxes (N, 4), one a frame, from which a line rebuilds the rest to within `near_px`.

    Douglas and Peucker (1973), in time: split at the row farthest from the line, until none is far.
    """
    kept, waiting = {0, len(boxes) - 1}, [(0, len(boxes) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        share = np.linspace(0, 1, last - first + 1)[1:-1, None]
        line = boxes[first] + share * (boxes[last] - boxes[first])
        far = np.abs(boxes[first + 1 : last] - line).max(axis=1)
        if far.max() > near_px:
            middle = first + 1 + int(far.argmax())
            kept.add(middle)
            waiting += [(first, middle), (middle, last)]
    return sorted(kept)
