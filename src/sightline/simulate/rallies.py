"""Simulated badminton rallies: frames, and where the shuttle's head truly is in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.simulate.camera import Camera, behind_court, sway
from sightline.simulate.figure import Drawn, Painter
from sightline.simulate.flight import NET_Y, STEP_S
from sightline.simulate.hall import Hall, draw_hall
from sightline.simulate.light import Sensor, draw_sensor, shifted
from sightline.simulate.play import Play, rally
from sightline.simulate.players import Track, draw_outfit
from sightline.simulate.shuttle import Feathers, Trace, copies, draw_feathers, draw_shuttle

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

MOST_LEAD_S = 9.0
SHORT_S, SEARCHED_S = 3.0, 5.0
FLIP_S, FLIP_HZ = 0.035, 18.0


@dataclass(frozen=True, slots=True)
class RallyFrame:
    """One frame of a rally.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        point: x, y of the shuttle's head at the middle of the exposure, continuous pixels; (0, 0) where there
            is no shuttle at all.
        visible: whether any of it can be seen: its head is inside the picture (between the
            centres of the outermost pixels), at least a twenty-fifth of its
            light is not hidden by a player or the net, and it changes some pixel by 8 of 255 grey levels.
        time_s: since the rally began.
        speed_px: how far the head moves from this frame to the next, pixels.
        blur_px: how far it moves while the shutter is open, pixels.
    """

    pixels: U8
    point: tuple[float, float]
    visible: bool
    time_s: float
    speed_px: float = 0.0
    blur_px: float = 0.0


def simulate_rally(
    seed: int,
    *,
    frames: int = 60,
    fps: float = 60.0,
    size_wh: tuple[int, int] = (1920, 1080),
    shutter: float | None = None,
    head_scale: float = 1.0,
    view: str | None = None,
    crowd: float = 1.0,
    only: range | None = None,
) -> Iterator[RallyFrame]:
    """Frames of one rally in a hall of its own; those of less than three seconds begin with a stroke.

    Args:
        seed: everything is drawn from it; equal seeds give equal frames.
        frames: how many.
        fps: frames a second.
        size_wh: width and height in pixels.
        shutter: share of a frame's time that the shutter is open (motion blur); drawn if None.
        head_scale: how much larger than life the shuttle is drawn, so that small pictures hold it.
        view: where the camera stands, a name in `camera.VIEWS`; broadcast or club, drawn, if None.
        crowd: how much there is, 0 to 1, of what misleads: people, words, specks, things on the floor.
        only: which of the frames are drawn, all if None; pixels and points are those of the whole rally.
    """
    rng = np.random.default_rng(seed)
    stage = Stage(rng, frames, fps, size_wh, shutter=shutter, head_scale=head_scale, view=view, crowd=crowd)
    lead = float(rng.uniform(0, MOST_LEAD_S))
    seconds = frames / fps + 0.2
    play = rally(rng, lead + seconds + SEARCHED_S)
    if seconds < SHORT_S:
        # A short film of a shuttle in a hand shows nothing: it begins with the next stroke.
        at = (s.step * STEP_S for s in play.strokes if lead <= s.step * STEP_S <= lead + SEARCHED_S)
        lead = next(at, lead)
    yield from perform(rng, stage, play, frames, lead, only=only)


class Stage:
    """All that stays the same for a rally: camera and its sway, hall, sensor, the shuttle's look."""

    def __init__(
        self,
        rng: np.random.Generator,
        frames: int,
        fps: float,
        size_wh: tuple[int, int],
        *,
        shutter: float | None = None,
        head_scale: float = 1.0,
        view: str | None = None,
        crowd: float = 1.0,
    ) -> None:
        chosen = ("broadcast", "club")[int(rng.integers(2))]
        self.camera: Camera = behind_court(rng, size_wh, view or chosen)
        self.hall: Hall = draw_hall(rng, self.camera, crowd)
        self.sensor: Sensor = draw_sensor(rng, size_wh, frames, fps)
        self.sway: F64 = sway(rng, frames, fps, size_wh[0])
        self.feathers: Feathers = draw_feathers(rng, plain=crowd == 0)
        drawn = float(rng.uniform(0.12, 0.55))
        self.shutter = drawn if shutter is None else shutter
        self.scale, self.fps = head_scale, fps


def perform(
    rng: np.random.Generator,
    stage: Stage,
    play: Play,
    frames: int,
    lead: float,
    *,
    in_front: bool = False,
    only: range | None = None,
) -> Iterator[RallyFrame]:
    """Film `frames` frames of a play from `lead` seconds on, or `only` some of them.

    With `in_front` no player is drawn over the shuttle, wherever they stand.
    """
    cast = Cast(rng, play, stage.hall.light)
    axes = _attitudes(rng, play)
    grain = np.random.default_rng(int(rng.integers(1 << 62)))
    wanted = range(frames) if only is None else only
    for index in range(frames):
        if index not in wanted:
            # What a frame draws at random is drawn all the same, so that later ones are what they were.
            stage.sensor.skip(grain)
            continue
        yield _film(grain, stage, play, axes, cast, index, lead, in_front)


def _attitudes(rng: np.random.Generator, play: Play) -> F64:
    """Unit vectors (N, 3) from skirt to cork: cork first in flight, turned round by a stroke.

    It flips within a few hundredths of a second (Cohen et al. 2015). Held or lying, it points anywhere.
    """
    path = _filled(play.path)
    speed = np.gradient(path, STEP_S, axis=0)
    size = np.linalg.norm(speed, axis=1, keepdims=True)
    still = rng.normal(0, 1, 3) * (1, 1, 0.3)
    still /= np.linalg.norm(still)
    axes = np.where(size > 0.8, speed / np.maximum(size, 1e-6), still)
    for number, stroke in enumerate(play.strokes):
        end = play.strokes[number + 1].step if number + 1 < len(play.strokes) else len(axes)
        count = min(round(0.16 / STEP_S), end - stroke.step)
        time = np.arange(count) * STEP_S
        angle = np.pi * np.exp(-time / FLIP_S) * np.cos(2 * np.pi * FLIP_HZ * time * (time < 0.1))
        part = slice(stroke.step, stroke.step + count)
        way = axes[part]
        across = np.cross(way, [1.0, 0.2, 0.1])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
        axes[part] = way * np.cos(angle)[:, None] + across * np.sin(angle)[:, None]
    return np.asarray(axes)


def _filled(path: F64) -> F64:
    """The path with a straight line across what is missing."""
    known = np.flatnonzero(np.isfinite(path[:, 0]))
    if not len(known):
        return np.zeros_like(path)
    count = np.arange(len(path))
    return np.column_stack([np.interp(count, known, path[known, i]) for i in range(3)])


def _film(
    rng: np.random.Generator,
    stage: Stage,
    play: Play,
    axes: F64,
    cast: Cast,
    index: int,
    lead: float,
    in_front: bool,
) -> RallyFrame:
    """One exposure: what stands in the hall is drawn from back to front, then shaken, lit and grained."""
    begin = lead + index / stage.fps
    opened = stage.shutter / stage.fps
    where = _between(play.path, begin + np.array([0.0, 0.5, 1.0, 0.5 + 1 / stage.shutter]) * opened)
    gone = bool(np.isnan(where[:3]).any())
    pixels = stage.camera.project(np.nan_to_num(where))[0]
    blur = 0.0 if gone else float(np.hypot(*(pixels[2] - pixels[0])))
    speed = 0.0 if gone or np.isnan(where[3]).any() else float(np.hypot(*(pixels[3] - pixels[1])))
    picture = stage.hall.empty.copy()
    trace: Trace | None = None
    poses = [track.pose(begin + opened / 2) for track in cast.tracks]
    layers = [(poses[0].feet[1], "far"), (NET_Y, "net"), (poses[1].feet[1], "near")]
    if not gone:
        feet = poses[1].feet[1] - 0.01 if in_front and where[1, 1] < NET_Y else np.inf
        layers.append((min(float(where[1, 1]), feet), "shuttle"))
    for _, layer in sorted(layers, reverse=True):
        if layer == "shuttle":
            times = begin + opened * (np.arange(copies(blur)) + 0.5) / copies(blur)
            heads, ways = _between(play.path, times), _between(axes, times)
            trace = draw_shuttle(
                picture,
                stage.camera,
                heads,
                ways,
                stage.feathers,
                scale=stage.scale,
                lens_px=stage.sensor.lens_px,
            )
            continue
        hides: Drawn | None
        if layer == "net":
            net = stage.hall.net
            net.lay_over(picture)
            hides = Drawn(net.xy, 255 - net.through[..., 0])
        else:
            hides = cast.draw(picture, stage.camera, 0 if layer == "far" else 1, begin, opened)
        if trace is not None and hides is not None:
            trace.hide(hides.xy, hides.cover)
    shift = stage.sway[index]
    x, y = (pixels[1] + shift).tolist()
    width, height = stage.camera.size_wh
    inside = not gone and 0.5 <= x <= width - 0.5 and 0.5 <= y <= height - 0.5
    seen = inside and trace is not None and trace.is_seen()
    shown = stage.sensor.expose(rng, shifted(picture, shift), index)
    return RallyFrame(shown, (0.0, 0.0) if gone else (x, y), bool(seen), index / stage.fps, speed, blur)


class Cast:
    """Both players, far one first: where they are and how they look."""

    def __init__(self, rng: np.random.Generator, play: Play, light: float) -> None:
        self.tracks = [Track(rng, play, side) for side in (1, 0)]
        self._painters = [Painter(rng, draw_outfit(rng), light) for _ in self.tracks]

    def draw(self, picture: U8, camera: Camera, number: int, begin: float, opened: float) -> Drawn | None:
        """One of them, with an arm that blurs where it moves while the shutter is open."""
        track = self.tracks[number]
        ends = camera.project(np.stack([track.pose(begin).racket, track.pose(begin + opened).racket]))[0]
        count = int(np.clip(np.hypot(*(ends[1] - ends[0])) / 4, 1, 4))
        arms = [track.pose(begin + opened * (i + 0.5) / count) for i in range(count)]
        return self._painters[number].draw(picture, camera, track.pose(begin + opened / 2), arms)


def _between(rows: F64, times: F64) -> F64:
    """Rows (a row every `STEP_S`) at times in seconds, in a straight line between neighbours."""
    at = np.clip(times / STEP_S, 0, len(rows) - 1.001)
    low = at.astype(int)
    share = (at - low)[:, None]
    return np.asarray(rows[low] * (1 - share) + rows[low + 1] * share)
