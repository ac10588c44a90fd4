"""Located points along time: error by speed and blur, and one sequence as a trajectory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.media import VIDEO_SUFFIXES
from sightline.core.records import Annotation, Record
from sightline.evaluate.metrics.tracks import BLUR_PX, SPEED_PX, Columns

F64 = NDArray[np.float64]
BLUR = "blur_px"
TRAJECTORY_MOST = 600
# Pictures of a group that carry no frame number are in the order of the number their names end in.
_LAST_NUMBER = re.compile(r"(\d{1,9})$")


@dataclass(frozen=True, slots=True)
class Place:
    """One point of one frame: where it is, where it was answered, and what is known of its motion.

    Attributes:
        sequence: video, or group of pictures, with the point's class.
        frame: number in it; -1 where there is none.
        truth: x, y; NaN where it is not in sight.
        answer: x, y; NaN where it was not answered.
        blur_px: length of its smear, from the attribute `blur_px`; NaN where nobody says.
    """

    sequence: tuple[str, int]
    frame: int
    truth: tuple[float, float]
    answer: tuple[float, float]
    blur_px: float


def place_of(
    record: Record,
    label: int,
    mark: Annotation,
    truth: tuple[float, float] | None,
    answer: tuple[float, float] | None,
) -> Place:
    """A record's point as it is kept for the details."""
    nowhere = (float("nan"), float("nan"))
    path = PurePosixPath(record.media)
    sequence = record.media if path.suffix.lower() in VIDEO_SUFFIXES else record.group
    number = _LAST_NUMBER.search(path.stem) if record.frame < 0 and record.group else None
    frame = int(number[1]) if number else record.frame
    try:
        blur = float(mark.attributes.get(BLUR, "nan"))
    except ValueError:
        blur = float("nan")
    return Place((sequence, label), frame, truth or nowhere, answer or nowhere, blur)


def motion_details(places: Sequence[Place]) -> dict[str, Any]:
    """`speed` and `blur`: tables of error by bin; `trajectory`: the longest sequence. Each where known."""
    if not places:
        return {}
    columns = _columns(places)
    out: dict[str, Any] = {}
    for name, values, edges in (("speed", columns.speed, SPEED_PX), ("blur", columns.blur, BLUR_PX)):
        table = _table(columns, values, edges)
        if table["n"]:
            out[name] = table
    trajectory = _trajectory(places)
    return out | ({"trajectory": trajectory} if trajectory else {})


def _columns(places: Sequence[Place]) -> Columns:
    """Places as the rows that `tracks` bins; what needs frames in order is left out."""
    truth, answer = np.array([p.truth for p in places]), np.array([p.answer for p in places])
    nothing = np.full(len(places), np.nan)
    return Columns(
        group=np.array([p.sequence[0] for p in places]),
        seen=np.isfinite(truth[:, 0]),
        answered=np.isfinite(answer[:, 0]),
        error=np.linalg.norm(answer - truth, axis=1),
        trembling=nothing,
        bend=nothing,
        jump=np.zeros(len(places), bool),
        score=nothing,
        speed=_speeds(places, truth),
        blur=np.array([p.blur_px for p in places], np.float64),
    )


def _speeds(places: Sequence[Place], truth: F64) -> F64:
    """Pixels since the frame before, where the point was in sight in both."""
    row = {(p.sequence, p.frame): i for i, p in enumerate(places) if p.frame >= 0}
    out = np.full(len(places), np.nan)
    for (sequence, frame), i in row.items():
        before = row.get((sequence, frame - 1))
        if before is not None:
            out[i] = np.linalg.norm(truth[i] - truth[before])
    return out


def _table(columns: Columns, by: F64, edges: Sequence[float]) -> dict[str, list[Any]]:
    """By bin: its ends, points in sight, median error of those answered, share within 8 px of all and the
    share's 95% interval over sequences; of one sequence alone the interval is the share.
    """
    names = ("low", "high", "n", "median_px", "within_8px", "within_low", "within_high")
    table: dict[str, list[Any]] = {name: [] for name in names}
    for row in columns.binned(by, edges):
        median, within = row.get("median_px"), row["within_8px"]
        told = (row["from"], row["to"], row["frames"], median.value if median else float("nan"))
        for name, value in zip(names, (*told, within.value, within.low, within.high), strict=True):
            table[name].append(value)
    return table


def _trajectory(places: Sequence[Place]) -> dict[str, Any]:
    """The longest sequence, its first frames: truth and answer by frame, None where there is none."""
    by_sequence: dict[tuple[str, int], list[Place]] = {}
    for place in places:
        if place.frame >= 0:
            by_sequence.setdefault(place.sequence, []).append(place)
    longest = max(by_sequence.values(), key=len, default=[])
    if len(longest) < 2:
        return {}
    rows = sorted(longest, key=lambda p: p.frame)[:TRAJECTORY_MOST]
    out: dict[str, Any] = {"sequence": rows[0].sequence[0], "label": rows[0].sequence[1]}
    frames = range(rows[0].frame, rows[-1].frame + 1)
    known = {p.frame: p for p in rows}
    out["frame"] = list(frames)
    for axis, name in enumerate("xy"):
        out[f"truth_{name}"] = [_value(known[f].truth[axis]) if f in known else None for f in frames]
        out[f"answer_{name}"] = [_value(known[f].answer[axis]) if f in known else None for f in frames]
    return out


def _value(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None
