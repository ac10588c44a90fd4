"""Label Studio's video timelines: key frames, counted from 1, become one record a frame.

A rectangle stands at each key frame. After one that is *enabled* it moves in a straight line to the next,
or stays to the end; after one that is not, it is gone until the next. The page counts frames by a rate of
its own (24 a second unless the project's configuration says otherwise): where that is not the video's
rate, frames are matched by time instead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sightline.core.errors import MediaError
from sightline.core.frames import FrameReader
from sightline.core.records import Annotation, Record
from sightline.data.formats.class_names import ClassNames
from sightline.data.formats.documents import Fields
from sightline.data.formats.label_studio_shapes import NO_SIZE, rectangle
from sightline.data.formats.label_studio_tasks import Region, Task
from sightline.data.ledger import Ledger

RATE_TOLERANCE = 0.02
MAX_FRAMES = 10_000_000
NO_KIND = "{} regions of videos are not read"
NO_LABEL = "region has no label"


@dataclass(frozen=True, slots=True)
class Key:
    """One key frame, in percent and degrees."""

    frame: int
    box: tuple[float, float, float, float]
    rotation: float
    enabled: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """Where a video's frames lie on the page's count.

    Attributes:
        positions: the page's frame number, fractional, of each frame of the video.
        times_s: presentation time of each frame; empty where the file is not there.
        size_wh: width and height, (0, 0) where the file is not there.
    """

    positions: list[float]
    times_s: list[float]
    size_wh: tuple[int, int]


def read_keys(fields: Fields) -> list[Key]:
    """Key frames in the order of their frames; the later of two on one frame counts."""
    keys: dict[int, Key] = {}
    for i, value in enumerate(fields.items("sequence")):
        f = Fields(value, fields.file, f"{fields.at}/sequence/{i}")
        box = (f.number("x"), f.number("y"), f.number("width"), f.number("height"))
        frame = f.whole("frame")
        keys[frame] = Key(frame, box, f.number("rotation", 0.0), bool(f.value.get("enabled", True)))
    return [keys[frame] for frame in sorted(keys)]


def at_position(keys: Sequence[Key], position: float) -> tuple[Key, bool] | None:
    """The rectangle at a position, and whether it stands between key frames; None where it is gone."""
    index = bisect_right(keys, position + 1e-6, key=lambda key: key.frame) - 1
    near = [key for key in keys[max(index, 0) : index + 2] if abs(key.frame - position) < 0.5]
    if index < 0 or (not keys[index].enabled and near):
        return (near[0], False) if near else None
    last = keys[index]
    if abs(last.frame - position) < 1e-6:
        return last, False
    if not last.enabled:
        return None
    if index + 1 == len(keys):
        return last, True
    following = keys[index + 1]
    share = (position - last.frame) / (following.frame - last.frame)
    a, b = (*last.box, last.rotation), (*following.box, following.rotation)
    x, y, w, h, turn = (p + (q - p) * share for p, q in zip(a, b, strict=True))
    return Key(last.frame, (x, y, w, h), turn, True), True


def clock_of(path: Path | None, regions: list[Region], place: str, ledger: Ledger) -> Clock:
    """The frames of a video and where they lie on the page's count."""
    counts = [(r.fields.whole("framesCount", 0), r.fields.number("duration", 0.0)) for r in regions]
    count, duration = max(counts, default=(0, 0.0))
    if path is not None:
        try:
            reader = FrameReader(path)
        except MediaError:  # the import says what is wrong with the file
            path = None
        else:
            times = [reader.time_s(i) for i in range(len(reader))]
            size_wh = reader.size_wh
            reader.close()
    if path is None:
        return Clock([float(i + 1) for i in range(max(count, _last_frame(regions)))], [], (0, 0))
    positions = [float(i + 1) for i in range(len(times))]
    span = times[-1] - times[0]
    if count > 0 and duration > 0 and span > 0:
        page, real = count / duration, (len(times) - 1) / span
        if abs(page - real) > RATE_TOLERANCE * real:
            positions = [(t - times[0]) * page + 1 for t in times]
            ledger.note(
                f"{place}: labelled at {page:g} frames a second, the video has {real:g}: matched by time"
            )
    return Clock(positions, times, size_wh)


def _last_frame(regions: list[Region]) -> int:
    """The last frame any region names, for videos that are not there."""
    last = 0
    for region in regions:
        if region.kind == "videorectangle":
            last = max([last, *(key.frame for key in read_keys(region.fields))])
        elif region.kind == "timeline":
            last = max([last, *(end for _, end in _ranges(region.fields))])
    return min(last, MAX_FRAMES)


def _ranges(fields: Fields) -> list[tuple[int, int]]:
    out = []
    for i, value in enumerate(fields.items("ranges")):
        f = Fields(value, fields.file, f"{fields.at}/ranges/{i}")
        out.append((f.whole("start"), f.whole("end")))
    return out


def video_records(
    task: Task, media: str, path: Path | None, names: ClassNames, ledger: Ledger
) -> list[Record]:
    """One record a frame of the video, labelled or not: the annotator saw them all."""
    clock = clock_of(path, task.regions, task.place, ledger)
    marks: list[list[Annotation]] = [[] for _ in clock.positions]
    for control, word, at in task.choices:
        ledger.saw("annotation")
        ledger.drop(
            "annotation", f"{control or 'a control'} of a whole video is not read", f"{task.place}: {at}"
        )
        del word
    for number, region in enumerate(task.regions):
        for frame, mark in _region_marks(region, f"t{number}", clock, names, task.place, ledger):
            marks[frame].append(mark)
            ledger.saw("annotation")
    ledger.saw("picture", len(marks) - 1)  # the task itself is counted
    times: list[float | None] = [*clock.times_s] or [None] * len(marks)
    place = task.place + ": frame {}"
    return [
        Record("", media, clock.size_wh, tuple(found), i, media, time_s=time, source=place.format(i))
        for i, (found, time) in enumerate(zip(marks, times, strict=True))
    ]


def _region_marks(
    region: Region, track: str, clock: Clock, names: ClassNames, place: str, ledger: Ledger
) -> Iterator[tuple[int, Annotation]]:
    reason = _unread(region, clock)
    if reason:
        ledger.saw("annotation")
        ledger.drop("annotation", reason, f"{place}: {region.fields.at}")
        return
    labels = [names.index(label) for label in region.labels]
    source = region.fields.at
    if region.kind == "timeline":
        ranges = _ranges(region.fields)
        for frame, position in enumerate(clock.positions):
            if any(start - 0.5 <= position < end + 0.5 for start, end in ranges):
                for label in labels:
                    yield frame, Annotation(label, attributes=region.attributes, source=source)
        return
    keys = read_keys(region.fields)
    for frame, position in enumerate(clock.positions):
        found = at_position(keys, position)
        if found is None:
            continue
        key, between = found
        mark = rectangle(key.box, key.rotation, clock.size_wh)
        attributes = {**region.attributes, **mark.attributes, **({"interpolated": "true"} if between else {})}
        for label in labels:
            yield (
                frame,
                replace(mark, label=label, track=region.id or track, attributes=attributes, source=source),
            )


def _unread(region: Region, clock: Clock) -> str:
    """Why a region cannot be read, or empty."""
    if region.kind not in ("videorectangle", "timeline"):
        return NO_KIND.format(region.kind)
    if not region.labels:
        return NO_LABEL
    return NO_SIZE if region.kind == "videorectangle" and clock.size_wh == (0, 0) else ""
