"""Tracks of CVAT's video XML: shapes at some frames become a mark on every frame the track is in sight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sightline.core.errors import FormatError, MediaError
from sightline.core.frames import FrameReader
from sightline.core.records import Annotation, Record
from sightline.data.formats.class_names import ClassNames
from sightline.data.formats.cvat_shapes import NOT_READ, attributes_of, label_of, shapes
from sightline.data.formats.cvat_values import Meta, whole
from sightline.data.formats.media_names import MediaNames
from sightline.data.formats.xml_tree import Element
from sightline.data.ledger import Ledger

MAX_FRAMES = 10_000_000
HELD = "outlines between listed frames stay as the last one listed: only boxes and points move"
PAST = "its frame is not one of the video's"


def track_records(
    path: Path,
    place: str,
    tree: Element,
    meta: Meta,
    media: MediaNames,
    names: ClassNames,
    ledger: Ledger,
) -> list[Record]:
    """One record a labelled frame of the video, marked or not.

    Raises:
        FormatError: a track without a label, a frame that is no number, more frames than a video has.
    """
    name = media.find(meta.source or path.with_suffix(".mp4").name) or path.with_suffix(".mp4").name
    times, size_wh = _video(media.path(name))
    size_wh = size_wh if min(size_wh) > 0 else meta.size_wh
    listed = [whole(shape, "frame", path) for track in tree.all("track") for shape in _shapes(track)]
    last = max([meta.stop, *listed])
    if last >= MAX_FRAMES:
        raise FormatError(f"names frame {last}, the limit is {MAX_FRAMES}", where=path)
    frames = range(meta.start, last + 1, meta.step)
    marks: dict[int, list[Annotation]] = {frame: [] for frame in {*frames, *listed}}
    for track in tree.all("track"):
        for frame, mark in _marks(track, path, sorted(marks), size_wh, names, place, ledger):
            marks[frame].append(mark)
            ledger.saw("annotation")
    records = []
    ledger.saw("picture", len(marks))
    for frame in sorted(marks):
        here = f"{place}: frame {frame}"
        if times and frame >= len(times):
            ledger.drop("picture", PAST, here)
            for mark in marks[frame]:
                ledger.drop("annotation", PAST, f"{here}: {mark.source}")
            continue
        time_s = times[frame] if times else None
        records.append(
            Record("", name, size_wh, tuple(marks[frame]), frame, name, time_s=time_s, source=here)
        )
    return records


def _video(path: Path | None) -> tuple[list[float], tuple[int, int]]:
    """Times and size of a video; none where it is not there (the import says what is wrong with it)."""
    if path is None:
        return [], (0, 0)
    try:
        reader = FrameReader(path)
    except MediaError:
        return [], (0, 0)
    times, size_wh = [reader.time_s(i) for i in range(len(reader))], reader.size_wh
    reader.close()
    return times, size_wh


def _shapes(track: Element) -> list[Element]:
    return [child for child in track.children if "frame" in child.attributes]


def _marks(
    track: Element,
    path: Path,
    frames: list[int],
    size_wh: tuple[int, int],
    names: ClassNames,
    place: str,
    ledger: Ledger,
) -> Iterator[tuple[int, Annotation]]:
    """Frame and mark, over the frames the track is in sight; a hidden point where a point is out of it."""
    label = names.index(label_of(track, path))
    keys = sorted(((whole(shape, "frame", path), shape) for shape in _shapes(track)), key=lambda key: key[0])
    fixed = attributes_of(track)
    for at, (frame, shape) in enumerate(keys):
        following = keys[at + 1] if at + 1 < len(keys) else None
        source = f"track {track.attributes.get('id', '')} (line {shape.line})"
        found = shapes(shape, size_wh, path)
        if len(found) != 1 or found[0].kind == "label":
            ledger.saw("annotation")
            ledger.drop("annotation", NOT_READ.format(f"{shape.tag} in a track"), f"{place}: {source}")
            continue
        told = {**found[0].attributes, **fixed, **attributes_of(shape)}
        base = replace(
            found[0], label=label, track=track.attributes.get("id", ""), attributes=told, source=source
        )
        goal = shapes(following[1], size_wh, path) if following else []
        end = following[0] if following else frames[-1] + 1
        outside = shape.attributes.get("outside") == "1"
        for now in (f for f in frames if frame <= f < end or f == frame):
            mark = _between(base, goal, (now - frame) / (end - frame) if end > frame else 0.0, ledger)
            if not outside:
                yield now, mark
            elif base.kind == "point":
                yield now, replace(base, visible=False)


def _between(mark: Annotation, goal: list[Annotation], share: float, ledger: Ledger) -> Annotation:
    """A mark on its way to the next; `share` of the way, 0 is where it stands."""
    if share == 0 or len(goal) != 1:
        return mark if share == 0 else replace(mark, attributes={**mark.attributes, "interpolated": "true"})
    after = goal[0]
    told = {**mark.attributes, "interpolated": "true"}

    def way(a: float, b: float) -> float:
        return a + (b - a) * share

    if mark.kind == after.kind == "box" and mark.box and after.box:
        x1, y1, x2, y2 = (way(a, b) for a, b in zip(mark.box, after.box, strict=True))
        return replace(mark, box=(x1, y1, x2, y2), attributes=told)
    if mark.kind == after.kind == "point" and mark.point and after.point:
        x, y = (way(a, b) for a, b in zip(mark.point, after.point, strict=True))
        return replace(mark, point=(x, y), attributes=told)
    rotated = "rotation" in mark.attributes and "rotation" in after.attributes
    if rotated:
        ring = np.asarray(mark.polygons[0]) * (1 - share) + np.asarray(after.polygons[0]) * share
        return replace(mark, box=None, polygons=(ring,), attributes=told)
    if HELD not in ledger.notes:
        ledger.note(HELD)
    return replace(mark, attributes=told)
