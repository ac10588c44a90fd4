"""What a model reads at once, made from records: pictures, clips, past points, and several sensors at one
moment.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import DatasetError, MediaError
from sightline.core.media import VIDEO_SUFFIXES, read_map
from sightline.core.records import EMPTY, Annotation, Record, Sample
from sightline.core.specs import CENTRE, InputSpec
from sightline.data.dataset import Dataset

TOLERANCE_S = 0.05

Key = tuple[str, str]


class Samples(list[Sample]):
    """Samples in the order of their ids, and the ids that have no partner.

    Attributes:
        unpaired: ids of records without a record of another sensor near enough in time.
    """

    def __init__(self, found: Iterable[Sample], unpaired: list[str]) -> None:
        super().__init__(found)
        self.unpaired = unpaired


def samples(
    dataset: Dataset, ids: Iterable[str], inputs: Mapping[str, InputSpec], *, tolerance_s: float = TOLERANCE_S
) -> Samples:
    """A sample for each record that can be the target of `inputs`.

    The first input's record is the target. Where it names a sensor, records of other sensors are no targets.
    A clip ends with its record and goes back by the spec's stride through the frames of the same video (or
    the pictures of the same group and sensor, by frame number, time or name); the oldest frame there is
    stands in for those before it. A track holds the records of as many frames before the target's, a bare one
    where there is none. An input of another sensor gets that sensor's record of the same group
    nearest in time; farther than `tolerance_s` seconds leaves the record unpaired.

    Raises:
        DatasetError: an id that is no record; sensors to pair on records without a time.
    """
    first = next(iter(inputs.values()))
    tracks = any(s.pixels == "track" for s in inputs.values())
    index = (
        _Index(dataset, points=tracks)
        if tracks or any(s.sensor or s.frames > 1 for s in inputs.values())
        else None
    )
    found: list[Sample] = []
    unpaired: list[str] = []
    for name in ids:
        record = dataset.record(name)
        if first.sensor and record.sensor != first.sensor:
            continue
        parts: dict[str, tuple[Record, ...]] = {}
        for key, spec in inputs.items():
            newest: Record | None = record
            if index is not None and spec.sensor and spec.sensor != record.sensor:
                newest = index.nearest(record, spec.sensor, tolerance_s)
            if newest is None:
                break
            parts[key] = index.read(newest, spec) if index is not None else (newest,)
        if len(parts) < len(inputs):
            unpaired.append(name)
        else:
            found.append(Sample(parts, record))
    return Samples(found, unpaired)


def read_inputs(dataset: Dataset, sample: Sample, inputs: Mapping[str, InputSpec]) -> dict[str, NDArray[Any]]:
    """Pixels of a sample by input name, at their own size, as `Predictor.predict` takes them.

    `rgb8` uint8 (H, W, 3), `grey8` uint8 (H, W), `depth16` uint16 (H, W); clips (T, ...), oldest first;
    `track` f32 (T, 3) of (x, y, visible) of class 0. `centre` (2,) f64 where the sample has one.

    Raises:
        MediaError: a picture that cannot be read, frames of a clip that differ in size, depth that is not
            16-bit.
    """
    pictures: dict[str, NDArray[Any]] = {}
    for name, spec in inputs.items():
        if spec.pixels == "track":
            pictures[name] = track_of(sample.inputs[name])
            continue
        frames = [_pixels(dataset, record, spec) for record in sample.inputs[name]]
        if len({frame.shape for frame in frames}) > 1:
            shapes = ", ".join(str(frame.shape) for frame in frames)
            raise MediaError(f"frames of one clip differ in size: {shapes}", where=sample.id)
        pictures[name] = np.stack(frames) if spec.frames > 1 else frames[0]
    if sample.centre is not None:
        pictures[CENTRE] = np.array(sample.centre, np.float64)
    return pictures


def track_of(records: Iterable[Record]) -> NDArray[np.float32]:
    """Rows (T, 3) of (x, y, visible) of class 0 in records; zeros where hidden, absent or not labelled."""
    marks = (next((a for a in r.annotations if _tracked(a) and a.visible), None) for r in records)
    rows = [(*mark.point, 1.0) if mark and mark.point else (0.0, 0.0, 0.0) for mark in marks]
    return np.array(rows, np.float32)


def _tracked(mark: Annotation) -> bool:
    return mark.point is not None and mark.label == 0


def _pixels(dataset: Dataset, record: Record, spec: InputSpec) -> NDArray[Any]:
    if spec.pixels == "depth16":
        path = dataset.media_path(record.media)
        depth = read_map(path)
        if depth.dtype != np.uint16 or depth.ndim != 2:
            raise MediaError(f"is {depth.dtype} {depth.shape}, depth must be 16-bit grey", where=path)
        return depth
    pixels = dataset.read(record)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if spec.pixels == "grey8" else pixels


class _Index:
    """Records by sequence and sensor, in order."""

    def __init__(self, dataset: Dataset, *, points: bool = False) -> None:
        self._by_key: dict[Key, list[Record]] = {}
        self._sequences: dict[tuple[Key, str], list[Record]] = {}
        self._points: dict[str, tuple[Annotation, ...]] = {}
        for record in dataset.records:
            bare = replace(record, annotations=(), maps=EMPTY)
            if points:
                self._points[record.id] = tuple(a for a in record.annotations if _tracked(a))
            self._by_key.setdefault(_key(record), []).append(bare)
            self._sequences.setdefault(_sequence(record), []).append(bare)
        for records in (*self._by_key.values(), *self._sequences.values()):
            records.sort(key=_order)
        self._place = {r.id: i for records in self._sequences.values() for i, r in enumerate(records)}
        self._times: dict[Key, list[float]] = {}

    def read(self, newest: Record, spec: InputSpec) -> tuple[Record, ...]:
        """Records that one input reads of a moment."""
        if spec.pixels == "track":
            return self.track(newest, spec)
        return self.clip(newest, spec) if spec.frames > 1 else (newest,)

    def track(self, newest: Record, spec: InputSpec) -> tuple[Record, ...]:
        """Records of a track's frames with their points, oldest first, without the newest."""
        ages = [(spec.frames - i) * spec.stride for i in range(spec.frames)]
        past = [self._back(newest, age) for age in ages]
        # What `_back` lets stand in for a frame that is not there must not lend it its point.
        return tuple(
            replace(r, annotations=self._points.get(r.id, ()) if self._is_aged(r, newest, age) else ())
            for r, age in zip(past, ages, strict=True)
        )

    def _is_aged(self, record: Record, newest: Record, age: int) -> bool:
        if newest.frame >= 0:
            return record.frame == newest.frame - age
        return self._place[newest.id] - self._place[record.id] == age

    def clip(self, newest: Record, spec: InputSpec) -> tuple[Record, ...]:
        """Records of a clip, oldest first; past frames carry no labels."""
        ages = [(spec.frames - 1 - i) * spec.stride for i in range(spec.frames - 1)]
        return (*(self._back(newest, age) for age in ages), newest)

    def _back(self, newest: Record, age: int) -> Record:
        """The frame `age` before `newest`, or the oldest there is."""
        if newest.frame >= 0 and PurePosixPath(newest.media).suffix.lower() in VIDEO_SUFFIXES:
            # A video has all its frames, whether or not a label names them.
            frame = max(0, newest.frame - age)
            bare = replace(newest, annotations=(), maps=EMPTY, time_s=None)
            return replace(bare, id=f"{newest.media}#{frame}", frame=frame)
        records = self._sequences[_sequence(newest)]
        at = self._place[newest.id]
        if newest.frame < 0:
            return records[max(0, at - age)]
        # Numbered pictures: a gap is filled by the next later frame that is there.
        while at > 0 and records[at - 1].frame >= newest.frame - age:
            at -= 1
        return records[at]

    def nearest(self, record: Record, sensor: str, tolerance_s: float) -> Record | None:
        """The other sensor's record of the same group nearest in time, within the tolerance."""
        if record.time_s is None:
            raise DatasetError("has no time, so it cannot be paired with another sensor", where=record.id)
        key = (record.group, sensor)
        others = self._by_key.get(key, [])
        if key not in self._times:
            self._times[key] = [_time(other) for other in others]
        times = self._times[key]
        at = bisect_left(times, record.time_s)
        near = [i for i in (at - 1, at) if 0 <= i < len(times)]
        best = min(near, key=lambda i: abs(times[i] - record.time_s), default=None)  # type: ignore[operator]
        if best is None or abs(times[best] - record.time_s) > tolerance_s:
            return None
        return others[best]


def _key(record: Record) -> Key:
    """What a record may be paired with: its group and sensor."""
    return record.group or (record.media if record.frame >= 0 else record.id), record.sensor


def _sequence(record: Record) -> tuple[Key, str]:
    """What a clip may reach back through: one group may hold several sequences, each in its own folder."""
    return _key(record), str(PurePosixPath(record.media).parent)


def _time(record: Record) -> float:
    if record.time_s is None:
        raise DatasetError("has no time, so it cannot be paired with another sensor", where=record.id)
    return record.time_s


def _order(record: Record) -> tuple[float, int, list[tuple[int, str]]]:
    """By time, then frame number, then name with its numbers counted as numbers."""
    words = re.findall(r"\d+|\D+", record.media)
    natural = [(int(word), "") if word.isdigit() else (-1, word) for word in words]
    return (record.time_s if record.time_s is not None else 0.0, record.frame, natural)
