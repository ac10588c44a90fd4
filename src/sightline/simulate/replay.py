"""Real tracks, played again: the shuttle goes where it went in a labelled video, in a simulated hall.

A track says where the shuttle was in the picture, not how far away. So the strokes are found where its motion
breaks, sides are given to them by turns (the way in which all of them happen at heights that a racket
reaches), and the depth between two strokes changes evenly. Where the track has no point nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import FormatError
from sightline.data.formats import ball_track
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions
from sightline.simulate.camera import Camera
from sightline.simulate.flight import NET_Y, STEP_S
from sightline.simulate.play import Play, Stroke
from sightline.simulate.rallies import RallyFrame, Stage, perform

F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

SOURCE_WH, SOURCE_FPS = (1280, 720), 30.0
PAUSE_S = 0.5
LEAD_S = 0.5
TREMOR = 0.0035
BREAK, APART_S = 0.006, 0.3
REACH_Z = (0.4, 2.7)
REACH_OFF = (0.8, 6.2)


@dataclass(frozen=True, slots=True)
class RealTrack:
    """Where a shuttle was in the frames of a real video.

    Attributes:
        name: of its video.
        points: (N, 2) parts of the picture's width and height, continuous; what is not visible is undefined.
        visible: (N,).
        fps: frames a second.
    """

    name: str
    points: F64
    visible: Bool
    fps: float

    def __len__(self) -> int:
        return len(self.visible)


def read_tracks(
    folder: Path, source_wh: tuple[int, int] = SOURCE_WH, source_fps: float = SOURCE_FPS
) -> list[RealTrack]:
    """Ball-track CSVs under a folder, by name; a point at exactly (0, 0) is a slip and counts as not visible.

    Args:
        folder: with CSVs of the columns `Frame,Visibility,X,Y`; their videos need not be there.
        source_wh: width and height of the pictures that the coordinates count.
        source_fps: their frames a second.

    Raises:
        FormatError: there is no such CSV, or one cannot be read.
    """
    reading = ball_track.read(folder, ReadOptions(check_media=False), Ledger())
    rows: dict[str, list[tuple[int, float, float, bool]]] = {}
    for record in reading.records:
        (mark,) = record.annotations
        x, y = mark.point or (0.0, 0.0)
        rows.setdefault(record.group, []).append((record.frame, x, y, mark.visible and (x, y) != (0, 0)))
    return [_track(name, rows[name], source_wh, source_fps) for name in sorted(rows)]


def _track(
    name: str, rows: list[tuple[int, float, float, bool]], size_wh: tuple[int, int], fps: float
) -> RealTrack:
    count = max(row[0] for row in rows) + 1
    points, visible = np.zeros((count, 2)), np.zeros(count, bool)
    for frame, x, y, seen in rows:
        points[frame], visible[frame] = (x / size_wh[0], y / size_wh[1]), seen
    return RealTrack(name, points, visible, fps)


def join(tracks: list[RealTrack], frames: int) -> RealTrack:
    """Tracks one after the other, with a pause between them in which there is no shuttle, cut to `frames`.

    Raises:
        FormatError: no track, or tracks of several rates.
    """
    if not tracks or len({t.fps for t in tracks}) > 1:
        raise FormatError(
            f"{len(tracks)} tracks of {len({t.fps for t in tracks})} frame rates cannot be joined"
        )
    pause = round(PAUSE_S * tracks[0].fps)
    points, visible = [], []
    for track in tracks:
        points += [track.points, np.zeros((pause, 2))]
        visible += [track.visible, np.zeros(pause, bool)]
    return RealTrack(
        tracks[0].name, np.concatenate(points)[:frames], np.concatenate(visible)[:frames], tracks[0].fps
    )


def draw_track(rng: np.random.Generator, tracks: list[RealTrack], seconds: float) -> RealTrack:
    """Tracks in an order drawn at random, enough of them for so many seconds."""
    frames = int(np.ceil(seconds * tracks[0].fps)) + 1 if tracks else 0
    order: list[RealTrack] = []
    while tracks and sum(len(t) for t in order) < frames:
        order += [tracks[i] for i in rng.permutation(len(tracks))]
    return join(order, frames)


def replay_rally(
    track: RealTrack,
    seed: int,
    *,
    frames: int | None = None,
    fps: float = 60.0,
    size_wh: tuple[int, int] = (1920, 1080),
    shutter: float | None = None,
    view: str = "broadcast",
    only: range | None = None,
) -> Iterator[RallyFrame]:
    """Frames that show the shuttle where `track` had it, scaled to `size_wh` and made smooth at `fps`.

    A frame between two of the track's is visible where both are. The camera's sway moves points by a few
    pixels, as it moves all else; where the hall leaves no contrast the frame counts as not visible.

    Args:
        track: to follow.
        seed: hall, players and camera are drawn from it.
        frames: how many; as long as the track unless given.
        fps: frames a second.
        size_wh: width and height in pixels.
        shutter: share of a frame's time that the shutter is open; drawn if None.
        view: where the camera stands, a name in `camera.VIEWS`.
        only: which of the frames are drawn, all if None.
    """
    whole = int((len(track) - 1) * fps / track.fps) + 1
    count = whole if frames is None else min(frames, whole)
    rng = np.random.default_rng(seed)
    stage = Stage(rng, count, fps, size_wh, shutter=shutter, view=view)
    play = lift(track, stage.camera, fps)
    # The middle of a frame's exposure is the moment of the track.
    lead = LEAD_S - stage.shutter / fps / 2
    yield from perform(rng, stage, play, count, lead, in_front=True, only=only)


def lift(track: RealTrack, camera: Camera, fps: float) -> Play:
    """The track in space, `LEAD_S` later, as this camera would see it; there at each visible frame."""
    seconds = (len(track) - 1) / track.fps + 2 * LEAD_S
    times = np.asarray(np.arange(round(seconds / STEP_S) + 1) * STEP_S - LEAD_S, dtype=np.float64)
    pixels, seen = sample(track, times, fps)
    pixels = pixels * camera.size_wh
    breaks = strokes_of(track)
    sides, depths = _turns(track, camera, breaks)
    along = np.interp(times, breaks / track.fps, depths)
    rays = camera.ray(pixels)
    path = camera.eye + rays * ((along - camera.eye[1]) / rays[:, 1])[:, None]
    path[~seen] = np.nan
    steps = np.rint((breaks / track.fps + LEAD_S) / STEP_S).astype(int)
    strokes = tuple(
        Stroke(int(step), int(side), "real")
        for step, side in zip(steps, sides, strict=True)
        if np.isfinite(path[step]).all()
    )
    return Play(path, strokes)


def sample(track: RealTrack, times: F64, fps: float) -> tuple[F64, Bool]:
    """Points (N, 2) at times in seconds, smooth through visible runs, and whether the frame there is visible.

    A moment belongs to the nearest frame at `fps`; that frame is visible where the track's frames on both
    sides of it are. A Catmull-Rom spline runs through the `steadied` points of one run.
    """
    points = steadied(track)
    last = len(track) - 1
    frame = np.clip(np.rint(times * fps) / fps * track.fps, 0, last)
    low, high = np.floor(frame + 1e-9).astype(int), np.ceil(frame - 1e-9).astype(int)
    seen = track.visible[low] & track.visible[np.clip(high, 0, last)]
    seen &= (times > -0.5 / fps) & (times < (last + 0.5) / track.fps)
    at = np.clip(times * track.fps, -0.25, last + 0.25)
    base = np.clip(np.floor(at).astype(int), 0, max(0, last - 1))
    share = (at - base)[:, None]
    p1, p2 = points[base], points[np.minimum(base + 1, last)]
    before, after = np.maximum(base - 1, 0), np.minimum(base + 2, last)
    p0 = np.where(track.visible[before][:, None], points[before], 2 * p1 - p2)
    p3 = np.where(track.visible[after][:, None], points[after], 2 * p2 - p1)
    curve = (
        2 * p1
        + (p2 - p0) * share
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * share**2
        + (3 * p1 - p0 - 3 * p2 + p3) * share**3
    )
    return curve / 2, seen


def steadied(track: RealTrack) -> F64:
    """Points without the tremor of hands that marked them: a parabola through five neighbours each.

    Only where all five are visible and the point moves by less than `TREMOR` of the picture's height, so that
    strokes stay as sharp as they were.
    """
    points = _filled(track)
    if len(points) < 5:
        return points
    weights = np.array([-3.0, 12.0, 17.0, 12.0, -3.0]) / 35
    smooth = np.column_stack([np.convolve(column, weights, "valid") for column in points.T])
    near = np.hypot(*((smooth - points[2:-2]) * (16 / 9, 1)).T) < TREMOR
    whole = np.convolve(track.visible, np.ones(5), "valid") > 4.5
    out = points.copy()
    out[2:-2][near & whole] = smooth[near & whole]
    return out


def _filled(track: RealTrack) -> F64:
    """Points with a straight line across gaps, and the first and last seen beyond the ends."""
    known = np.flatnonzero(track.visible)
    if not len(known):
        return np.full((len(track), 2), 0.5)
    count = np.arange(len(track))
    return np.column_stack([np.interp(count, known, track.points[known, i]) for i in range(2)])


def strokes_of(track: RealTrack) -> NDArray[np.int_]:
    """Frames where the motion breaks, `APART_S` apart, and the first and the last."""
    points = _filled(track) * (16 / 9, 1)
    change = np.zeros(len(track))
    change[1:-1] = np.hypot(*(points[2:] - 2 * points[1:-1] + points[:-2]).T)
    change[~track.visible] = 0
    apart = round(APART_S * track.fps)
    found: list[int] = []
    for frame in np.argsort(-change):
        if change[frame] < BREAK:
            break
        if all(abs(frame - other) >= apart for other in found):
            found.append(int(frame))
    inner = [f for f in sorted(found) if apart <= f < len(track) - apart]
    return np.array([0, *inner, len(track) - 1])


def _turns(track: RealTrack, camera: Camera, breaks: NDArray[np.int_]) -> tuple[NDArray[np.int_], F64]:
    """Sides (0 near, 1 far) of the strokes, by turns, and how far along the court (metres) each is."""
    pixels = _filled(track)[breaks] * camera.size_wh
    rays = camera.ray(pixels)

    def place(side: NDArray[np.int_]) -> tuple[F64, F64]:
        """Depths that bring the heights into reach as far as the side allows; how far they fail."""
        low = np.where(side == 1, NET_Y + REACH_OFF[0], NET_Y - REACH_OFF[1])
        high = np.where(side == 1, NET_Y + REACH_OFF[1], NET_Y - REACH_OFF[0])
        slope = np.minimum(rays[:, 2] / rays[:, 1], -1e-3)
        nearest = camera.eye[1] + (REACH_Z[1] - camera.eye[2]) / slope
        furthest = camera.eye[1] + (REACH_Z[0] - camera.eye[2]) / slope
        depth = np.clip(np.clip((low + high) / 2, nearest, furthest), low, high)
        height = camera.eye[2] + slope * (depth - camera.eye[1])
        return depth, np.maximum(0, height - REACH_Z[1]) + np.maximum(0, REACH_Z[0] - height)

    first = np.arange(len(breaks)) % 2
    (a, a_off), (b, b_off) = place(first), place(1 - first)
    return (first, a) if a_off.sum() <= b_off.sum() else (1 - first, b)
