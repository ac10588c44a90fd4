"""Checks along time: jumps that no object can make, and sequences in which nothing is ever visible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.core.records import Annotation, Record
from sightline.data.audit.case import Case, finding
from sightline.data.audit.findings import Finding

# A step is a jump where it is this many times the steps around it, this many times the track's usual one,
# and at least this share of the picture's diagonal. A struck shuttle leaves at ten times its speed before,
# but the frames after are fast as well; a wrong label goes there and is back, or lands and is slow again.
TIMES_LOCAL = 3.0
TIMES_USUAL = 6.0
SHARE_OF_DIAGONAL = 0.06
WINDOW = 4
LONGEST_GAP = 4
LEAST_STEPS = 8

Key = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where a track is in one frame."""

    record: Record
    index: int
    at: tuple[float, float]


def check_tracks(case: Case) -> Iterator[Finding]:
    """Jumps of every track: points, and boxes that carry a track id."""
    for key, stops in _tracks(case).items():
        ordered = sorted(stops, key=lambda s: s.record.frame)
        for i, step in jumps(
            np.array([s.record.frame for s in ordered]),
            np.array([s.at for s in ordered]),
            _diagonal(ordered[0].record, ordered),
        ):
            before, after = ordered[i], ordered[i + 1]
            text = (
                f"{after.record.id}: {case.class_name(key[2])} jumps {step:.0f} px from frame "
                f"{before.record.frame} to {after.record.frame}, ({before.at[0]:.0f}, {before.at[1]:.0f}) to "
                f"({after.at[0]:.0f}, {after.at[1]:.0f})"
            )
            marks = {after.record.id: (after.index,), before.record.id: (before.index,)}
            yield finding("warning", "jump", text, [after.record, before.record], marks=marks)


def _tracks(case: Case) -> Mapping[Key, list[_Stop]]:
    """Stops by media, sensor, class and track. Frames where a class has two nameless marks have no track."""
    tracks: dict[Key, list[_Stop]] = {}
    for record in case.records:
        if record.frame < 0:
            continue
        nameless: dict[int, int] = {}
        for a in record.annotations:
            if not a.track and a.point is not None and a.visible:
                nameless[a.label] = nameless.get(a.label, 0) + 1
        for index, a in enumerate(record.annotations):
            at = _position(a)
            if at is None or (not a.track and nameless.get(a.label, 0) != 1):
                continue
            key = (record.media, record.sensor, a.label, a.track)
            tracks.setdefault(key, []).append(_Stop(record, index, at))
    return tracks


def _position(a: Annotation) -> tuple[float, float] | None:
    if a.point is not None:
        # A point at the origin is a fault of its own.
        return a.point if a.visible and max(map(abs, a.point)) > 0.5 else None
    if a.box is not None and a.track:
        return (a.box[0] + a.box[2]) / 2, (a.box[1] + a.box[3]) / 2
    return None


def _diagonal(record: Record, stops: list[_Stop]) -> float:
    if record.size_wh != (0, 0):
        return float(np.hypot(*record.size_wh))
    at = np.array([s.at for s in stops])
    return float(np.hypot(*(at.max(axis=0) - at.min(axis=0))))


def jumps(
    frames: NDArray[np.int64], points_xy: NDArray[np.float64], diagonal: float
) -> list[tuple[int, float]]:
    """Positions i where the step from i to i + 1 is a jump, and its length in pixels.

    Of a single stray point (there and back) only the way there is told. Steps over more than 4 frames are
    not judged, nor are tracks of fewer than 8 steps.

    Args:
        frames: frame numbers (N,), rising.
        points_xy: where the object is (N, 2), in pixels.
        diagonal: of the picture, in pixels.
    """
    gaps = np.diff(frames)
    lengths = np.linalg.norm(np.diff(points_xy, axis=0), axis=1)
    speed = lengths / np.maximum(gaps, 1)
    judged = (gaps >= 1) & (gaps <= LONGEST_GAP)
    if judged.sum() < LEAST_STEPS:
        return []
    usual = float(np.median(speed[judged]))
    floor = max(TIMES_USUAL * usual, SHARE_OF_DIAGONAL * diagonal)
    out: list[tuple[int, float]] = []
    for i in np.flatnonzero(judged & (speed > floor)):
        if out and out[-1][0] == i - 1 and _returns(points_xy, int(i), floor):
            continue
        if speed[i] > TIMES_LOCAL * _around(speed, judged, int(i), points_xy, floor):
            out.append((int(i), float(lengths[i])))
    return out


def _returns(points_xy: NDArray[np.float64], i: int, floor: float) -> bool:
    """Whether step i goes back to where the step before it left."""
    there = float(np.linalg.norm(points_xy[i] - points_xy[i - 1]))
    missed = float(np.linalg.norm(points_xy[i + 1] - points_xy[i - 1]))
    return missed < max(floor, 0.3 * there)


def _around(
    speed: NDArray[np.float64],
    judged: NDArray[np.bool_],
    i: int,
    points_xy: NDArray[np.float64],
    floor: float,
) -> float:
    """The fastest step near i, without i and without the step back from a stray point."""
    near = [k for k in range(max(0, i - WINDOW), min(len(speed), i + WINDOW + 1)) if k != i and judged[k]]
    if i + 1 < len(speed) and _returns(points_xy, i + 1, floor):
        near = [k for k in near if k != i + 1]
    return float(max((speed[k] for k in near), default=0.0))


def check_visibility(case: Case) -> Iterator[Finding]:
    """Sequences whose points are all marked hidden although they have places."""
    hidden: dict[tuple[str, int], list[Record]] = {}
    shown: set[tuple[str, int]] = set()
    for record in case.records:
        for a in record.annotations:
            if a.point is None:
                continue
            key = (record.group or record.media, a.label)
            if a.visible:
                shown.add(key)
            elif max(map(abs, a.point)) > 0.5:
                hidden.setdefault(key, []).append(record)
    for (group, label), records in hidden.items():
        if (group, label) not in shown and len(records) > 1:
            text = f"{group}: {case.class_name(label)} has a place in {len(records)} frames, visible in none"
            yield finding("warning", "never-visible", text, records)
