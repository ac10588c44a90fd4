"""Cleaning tracks of points and boxes: a table of what is odd, and mending it where that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.core.media import VIDEO_SUFFIXES
from sightline.data.audit.tracks import jumps
from sightline.data.ledger import Ledger
from sightline.data.tables import BOX_COLUMNS, from_pandas, to_pandas

if TYPE_CHECKING:
    import pandas as pd

    from sightline.data.dataset import Dataset

Kind = Literal["zero-zero", "jump", "gap", "still"]
KINDS: tuple[Kind, ...] = ("zero-zero", "jump", "gap", "still")
HIDEABLE = ("zero-zero", "jump")
COLUMNS = ("kind", "sequence", "class", "track", "first", "last", "frames", "px", "x", "y", "id", "source")
STILL_FRAMES = 25
STILL_PX = 1.0
# Nearer to the picture's corner than this is where tools write a point that they do not have.
ORIGIN_PX = 0.5
POINT_COLUMNS = ("px", "py")
INTERPOLATED = "interpolated"


@dataclass(slots=True)
class Track:
    """One thing over the frames of a sequence, by rows of the table that `to_pandas` gives.

    Attributes:
        key: sequence, sensor, class and track id.
        rows: labels of the rows (N,), in the order of their frames.
        frames: frame numbers (N,), rising.
        points: where it is, (N, 2) xy in pixels.
        diagonal: of the picture, in pixels.
        columns: of its coordinates: a point's or a box's.
    """

    key: tuple[str, str, str, str]
    rows: NDArray[np.int64]
    frames: NDArray[np.int64]
    points: NDArray[np.float64]
    diagonal: float
    columns: tuple[str, ...]


def anomalies(
    dataset: Dataset, *, still_frames: int = STILL_FRAMES, still_px: float = STILL_PX
) -> pd.DataFrame:
    """What is odd about a dataset's tracks, a row each.

    `zero-zero`: a visible point in the picture's corner. `jump`: a step no object makes (see
    `audit.tracks.jumps`); the row is of the frame after it, `px` its length. `gap`: frames between two
    visible ones without a visible mark. `still`: so many frames within `still_px` of their first.

    Args:
        dataset: with frames that carry numbers.
        still_frames: the least length of a stillness.
        still_px: how far something still may stray.

    Returns:
        Columns `kind`, `sequence` (video, or group of pictures), `class`, `track`, `first` and `last` frame,
        `frames`, `px`, the place `x y` of the first frame, its record's `id` and the mark's `source`.
    """
    return _anomalies(to_pandas(dataset), still_frames, still_px)


def _anomalies(frame: pd.DataFrame, still_frames: int, still_px: float) -> pd.DataFrame:
    import pandas as pd

    table = _positions(frame)
    rows = list(_zeros(table))
    for track in _tracks(table[~table.zero]):
        rows += _of_track(track, table, still_frames, still_px)
    out = pd.DataFrame(rows, columns=list(COLUMNS))
    return out.sort_values(["sequence", "first", "kind"], kind="stable", ignore_index=True)


def _positions(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of `frame` (with their labels) that say where a tracked thing is and that it is in sight."""
    table = frame[frame["class"].notna() & (frame["frame"] >= 0)].copy()
    table["sequence"] = _sequences(table)
    point = table["px"].notna() & table["visible"].astype(bool)
    boxed = table["px"].isna() & table["x1"].notna() & (table["track"] != "")
    table["x"] = table["px"].where(point, (table["x1"] + table["x2"]) / 2)
    table["y"] = table["py"].where(point, (table["y1"] + table["y2"]) / 2)
    table["zero"] = point & (table[["px", "py"]].abs().max(axis=1) <= ORIGIN_PX)
    table["diagonal"] = np.hypot(table["width"], table["height"])
    table = table[point | boxed]
    # Two nameless points of one class in one frame belong to no track.
    twice = table.duplicated(["sequence", "sensor", "class", "track", "frame"], keep=False)
    return table[~twice]


def _sequences(table: pd.DataFrame) -> list[str]:
    """What a frame is a frame of: its video, or for pictures their group, or their folder."""
    out = []
    for media, group in zip(table["media"], table["group"], strict=True):
        path = PurePosixPath(media)
        out.append(media if path.suffix.lower() in VIDEO_SUFFIXES else group or str(path.parent))
    return out


def _tracks(table: pd.DataFrame) -> Iterator[Track]:
    keys = ["sequence", "sensor", "class", "track"]
    for key, rows in table.groupby(keys, sort=False, observed=True):
        ordered = rows.sort_values("frame", kind="stable")
        points = ordered[["x", "y"]].to_numpy(np.float64)
        diagonal = float(ordered["diagonal"].max())
        if diagonal == 0 and len(points):
            diagonal = float(np.hypot(*np.ptp(points, axis=0)))
        pointed = bool(ordered["px"].notna().all())
        yield Track(
            (str(key[0]), str(key[1]), str(key[2]), str(key[3])),
            ordered.index.to_numpy(np.int64),
            ordered["frame"].to_numpy(np.int64),
            points,
            diagonal,
            POINT_COLUMNS if pointed else BOX_COLUMNS,
        )


def _zeros(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    for row in table[table.zero].to_dict("records"):
        place = (row["frame"], row["frame"], 1, 0.0, row["x"], row["y"], row["id"], row["source"])
        yield ("zero-zero", row["sequence"], row["class"], row["track"], *place)


def _of_track(
    track: Track, table: pd.DataFrame, still_frames: int, still_px: float
) -> Iterator[tuple[Any, ...]]:
    def row(kind: Kind, at: int, first: int, last: int, px: float) -> tuple[Any, ...]:
        mark = table.loc[track.rows[at]]
        place = (*track.points[at].tolist(), mark["id"], mark["source"])
        head = (kind, track.key[0], track.key[2], track.key[3])
        return (*head, first, last, last - first + 1, round(px, 2), *place)

    frames, points = track.frames, track.points
    for at, px in jumps(frames, points, track.diagonal):
        yield row("jump", at + 1, int(frames[at + 1]), int(frames[at + 1]), px)
    for at in np.flatnonzero(np.diff(frames) > 1).tolist():
        px = float(np.linalg.norm(points[at + 1] - points[at]))
        yield row("gap", at, int(frames[at]) + 1, int(frames[at + 1]) - 1, px)
    for at, end in _stills(frames, points, still_frames, still_px):
        yield row("still", at, int(frames[at]), int(frames[end]), 0.0)


def _stills(
    frames: NDArray[np.int64], points: NDArray[np.float64], least: int, px: float
) -> Iterator[tuple[int, int]]:
    """First and last place of each run of frames, without a gap, that stays within `px` of its first."""
    start = 0
    for at in range(1, len(frames) + 1):
        goes_on = at < len(frames) and frames[at] == frames[at - 1] + 1
        if goes_on and float(np.abs(points[at] - points[start]).max()) <= px:
            continue
        if at - start >= least:
            yield start, at - 1
        start = at


def clean(
    dataset: Dataset,
    out: str | Path,
    *,
    hide: Sequence[str] = (),
    fill_gaps: int = 0,
    replace: bool = False,
) -> tuple[Dataset, Ledger]:
    """A new dataset with odd marks hidden and short gaps filled, each of them on request only.

    Args:
        dataset: where the tracks are.
        out: folder of the new dataset.
        hide: `zero-zero` and `jump`: points become hidden ones, boxes go.
        fill_gaps: the longest gap, in frames, to fill on a straight line between its ends; 0 fills none. A
            filled mark is visible, its attribute `interpolated` is `linear`, its source names the two
            frames, and the ledger lists it. Frames that have no record stay without; what was hidden
            above is filled too; a gap whose ends lie a jump apart is not.
        replace: take the place of a dataset that is there.

    Raises:
        UsageError: another kind to hide, or a negative length.
    """
    wrong = [kind for kind in hide if kind not in HIDEABLE]
    if wrong or fill_gaps < 0:
        what = f"{wrong[0]!r} is nothing to hide" if wrong else f"a gap of {fill_gaps} frames"
        raise UsageError(what, remedy=f"hide {' or '.join(HIDEABLE)}; gaps count from 0")
    frame, ledger = to_pandas(dataset), Ledger()
    frame = _hidden(frame, hide, ledger)
    if fill_gaps:
        frame = _filled(frame, fill_gaps, ledger)
    done = [f"hid {kind}" for kind in hide] + ([f"filled gaps up to {fill_gaps}"] if fill_gaps else [])
    made = "tracks cleaned: " + (", ".join(done) or "nothing asked for")
    return from_pandas(frame, dataset, Path(out), ledger=ledger, made=made, replace=replace), ledger


def _hidden(frame: pd.DataFrame, kinds: Sequence[str], ledger: Ledger) -> pd.DataFrame:
    table = _positions(frame)
    chosen: dict[int, str] = {}
    if "zero-zero" in kinds:
        chosen |= dict.fromkeys(table.index[table.zero].tolist(), "zero-zero")
    if "jump" in kinds:
        for track in _tracks(table[~table.zero]):
            found = jumps(track.frames, track.points, track.diagonal)
            chosen |= {int(track.rows[at + 1]): "jump" for at, _ in found}
    frame = frame.copy()
    for label, kind in chosen.items():
        mark: dict[Any, Any] = frame.loc[label].to_dict()
        place = f"{mark['id']}: {mark['source']}"
        if not np.isnan(mark["px"]):
            frame.at[label, "px"], frame.at[label, "py"], frame.at[label, "visible"] = 0.0, 0.0, False
            ledger.fix("annotation", f"a {kind}: hidden", place)
        else:
            ledger.saw("annotation")
            ledger.drop("annotation", f"a {kind}: taken away", place, asked=True)
            frame = frame.drop(index=label)
    return frame


def _filled(frame: pd.DataFrame, most: int, ledger: Ledger) -> pd.DataFrame:
    import pandas as pd

    table = _positions(frame)
    frames_of = frame.assign(sequence=_sequences(frame))
    by_place: dict[tuple[str, str, int], list[int]] = {}
    columns = zip(frames_of.index, frames_of.sequence, frames_of.sensor, frames_of.frame, strict=True)
    for label, sequence, sensor, number in columns:
        by_place.setdefault((sequence, sensor, number), []).append(label)
    added: list[dict[str, Any]] = []
    gone: list[int] = []
    absent = 0
    for track in _tracks(table[~table.zero]):
        leaps = {at for at, _ in jumps(track.frames, track.points, track.diagonal)}
        for at in np.flatnonzero(np.diff(track.frames) > 1):
            first, last = int(track.frames[at]), int(track.frames[at + 1])
            if last - first - 1 > most or int(at) in leaps:
                continue
            for number in range(first + 1, last):
                rows = by_place.get((track.key[0], track.key[1], number))
                if not rows:
                    absent += 1
                    continue
                ends = track.rows[at], track.rows[at + 1]
                share = (number - first) / (last - first)
                mark = _between(frame, ends, share, rows[0], (first, last), track.columns)
                added.append(mark)
                gone += _stood_for(frame, rows, track)
                place = f"{mark['id']}: {mark['source']}"
                ledger.fix("annotation", "interpolated: it was not marked, or hidden", place)
    if absent:
        ledger.note(f"{absent} frames of short gaps have no record and are not filled")
    if not added:
        return frame
    new = pd.DataFrame(added, columns=frame.columns).astype({"class": frame["class"].dtype})
    return pd.concat([frame.drop(index=list(dict.fromkeys(gone))), new], ignore_index=True)


def _between(
    frame: pd.DataFrame,
    ends: tuple[Any, Any],
    share: float,
    row: int,
    numbers: tuple[int, int],
    columns: tuple[str, ...],
) -> dict[str, Any]:
    """The mark of a gap's end, moved along the line to the other end, on another record."""
    before, after = (frame.loc[end] for end in ends)
    mark: dict[str, Any] = before.to_dict()
    record = frame.loc[row]
    heads = ("id", "media", "width", "height", "frame", "group", "sensor", "time_s", "partition", "maps")
    mark |= {name: record[name] for name in (*heads, "record_source")}
    mark |= {name: before[name] + share * (after[name] - before[name]) for name in columns}
    attributes = json.loads(mark["attributes"]) if mark["attributes"] else {}
    mark["attributes"] = json.dumps(attributes | {INTERPOLATED: "linear"}, ensure_ascii=False)
    mark["source"] = f"interpolated between frames {numbers[0]} and {numbers[1]}"
    return mark | {"visible": True}


def _stood_for(frame: pd.DataFrame, rows: list[int], track: Track) -> list[int]:
    """Rows of a frame that the filled mark takes the place of: hidden points of its track, and no mark."""
    out = []
    for row in rows:
        found = frame.loc[row]
        nothing = not isinstance(found["class"], str)
        same = found["class"] == track.key[2] and found["track"] == track.key[3]
        if nothing or (same and not np.isnan(found["px"]) and not found["visible"]):
            out.append(row)
    return out
