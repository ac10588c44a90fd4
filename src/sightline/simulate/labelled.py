"""Simulated rallies on disk, labelled the way a person would have done it in Label Studio."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.errors import ContractError, UsageError
from sightline.core.files import write_json, write_text
from sightline.core.media import write_picture
from sightline.simulate.films import Film, film
from sightline.simulate.rallies import RallyFrame, simulate_rally
from sightline.simulate.replay import draw_track, read_tracks, replay_rally
from sightline.simulate.scenes import THINGS, write_scenes
from sightline.simulate.sketch import sketch_rally

CLASS = "shuttle"
EXPORT = "label_studio_export.json"
TRACK_HEADER = "Frame,Visibility,X,Y,Speed,Blur"
LARGE = 960
WATCH_BITRATE = 10_000_000
LEAST_HIDDEN = 0.15


@dataclass(frozen=True, slots=True)
class WatchClip:
    """A film with its labels: how many frames, the share that shows no shuttle, and bits a second."""

    path: Path
    labels: Path
    frames: int
    hidden: float
    bitrate: float

    def check(self, wanted: int) -> None:
        """Raise ContractError where the bit rate or the share of invisible frames is not as it should be."""
        if not 0.8 * wanted <= self.bitrate <= 1.2 * wanted:
            rates = f"{self.bitrate / 1e6:.1f} Mbit/s, wanted {wanted / 1e6:.1f} within a fifth"
            raise ContractError(f"holds {rates}", where=self.path, remedy="write more frames")
        if self.hidden < LEAST_HIDDEN:
            share = f"{self.hidden:.1%} of its frames show no shuttle, {LEAST_HIDDEN:.0%} must not"
            raise ContractError(share, where=self.path, remedy="take another seed, or more frames")


def write_rallies(
    folder: Path,
    rallies: int,
    *,
    frames: int = 40,
    seed: int = 0,
    size_wh: tuple[int, int] = (384, 216),
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write frames of several sketched rallies as pictures, and a Label Studio JSON export of their labels.

    One task a frame: a keypoint on the shuttle's head, or an empty annotation where it is out of
    sight. `progress` is called with 1 after each rally. Gives the path of the export.
    """
    tasks: list[dict[str, Any]] = []
    pictures = folder / "frames"
    pictures.mkdir(parents=True, exist_ok=True)
    for rally in range(rallies):
        shots = sketch_rally(seed + rally, frames=frames, size_wh=size_wh)
        for index, frame in enumerate(shots):
            name = f"rally{rally:03d}_frame{index:04d}.jpg"
            write_picture(pictures / name, frame.pixels, quality=94)
            tasks.append(_task(len(tasks) + 1, name, frame, size_wh))
        if progress:
            progress(1)
    export = folder / EXPORT
    write_json(export, tasks)
    return export


def _task(number: int, name: str, frame: RallyFrame, size_wh: tuple[int, int]) -> dict[str, Any]:
    width, height = size_wh
    x, y = frame.point
    keypoint = {
        "id": f"k{number}",
        "type": "keypointlabels",
        "from_name": "head",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"x": 100 * x / width, "y": 100 * y / height, "width": 0.4, "keypointlabels": [CLASS]},
    }
    annotation = {
        "id": number,
        "completed_by": 1,
        "was_cancelled": False,
        "result": [keypoint] if frame.visible else [],
    }
    return {
        "id": number,
        "data": {"image": f"/data/local-files/?d=frames/{name}"},
        "annotations": [annotation],
    }


def write_film(path: Path, seed: int, *, frames: int, size_wh: tuple[int, int], fps: int = 30) -> Path:
    """Write one sketched rally as an H.264 MP4, without labels."""
    with film(path, size_wh, fps, crf=20) as out:
        for shot in sketch_rally(seed, frames=frames, fps=fps, size_wh=size_wh):
            out.add(shot.pixels)
    return path


def small(size_wh: tuple[int, int]) -> dict[str, Any]:
    """How rallies are filmed in small pictures: from near by, a large shuttle, an empty hall."""
    if size_wh[0] >= LARGE:
        return {}
    return {"head_scale": 2.2, "view": "stand", "shutter": 0.4, "crowd": 0.0}


def write_videos(
    folder: Path,
    rallies: int,
    *,
    frames: int = 240,
    size_wh: tuple[int, int] = (1920, 1080),
    fps: int = 60,
    seed: int = 0,
    replay: Path | None = None,
    part: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write rallies as H.264 MP4s, each in a hall of its own, with a ball-track CSV beside each.

    `sightline import FOLDER` reads the folder as it is; each video is a group. Coordinates count pixels by
    their centres, as the format says (`data.formats.ball_track`), with three decimals. Two more columns,
    `Speed` and `Blur`, hold pixels from this frame to the next and pixels while the shutter was open.

    Args:
        folder: to write into.
        rallies: how many, with the seeds `seed`, `seed + 1`, ...
        frames: of each.
        size_wh: width and height; below 960 wide the shuttle is drawn larger and the camera is nearer.
        fps: frames a second.
        seed: of the first rally.
        replay: a folder of real tracks for the shuttle to follow (`simulate.replay`), instead of simulated
            flight.
        part: film only so many of the frames in a row; where they begin is drawn from the seed, evenly. What
            is filmed is what the whole film would show there.
        progress: called with 1 after each rally.

    Raises:
        FormatError: `replay` holds no track.
        UsageError: `part` is not between 1 and `frames`.
    """
    if part is not None and not 1 <= part <= frames:
        raise UsageError(f"part {part} of {frames} frames", remedy=f"ask for 1 to {frames}")
    tracks = read_tracks(replay) if replay else []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(seed, seed + rallies):
        name = f"rally{number:06d}"
        only = _part(number, frames, part)
        if tracks:
            track = draw_track(np.random.default_rng(number), tracks, frames / fps)
            shots = replay_rally(track, number, frames=frames, fps=fps, size_wh=size_wh, only=only)
        else:
            shots = simulate_rally(
                number, frames=frames, fps=fps, size_wh=size_wh, only=only, **small(size_wh)
            )
        with film(folder / f"{name}.mp4", size_wh, fps, crf=18 + number % 8) as out:
            write_text(folder / f"{name}_ball.csv", _filmed(out, shots)[0])
        if progress:
            progress(1)
    return folder


def _part(seed: int, frames: int, part: int | None) -> range | None:
    """Which frames of a film are shown; drawn apart from all else, so that the film stays the same."""
    if part is None:
        return None
    first = int(np.random.default_rng((seed, frames, part)).integers(frames - part + 1))
    return range(first, first + part)


def _filmed(out: Film, shots: Iterable[RallyFrame]) -> tuple[str, int]:
    """Film all shots; gives the text of their track and how many show nothing."""
    rows, hidden = [TRACK_HEADER], 0
    for index, shot in enumerate(shots):
        out.add(shot.pixels)
        rows.append(track_row(index, shot))
        hidden += not shot.visible
    return "\n".join(rows) + "\n", hidden


def write_watch_clip(
    path: Path,
    *,
    replay: Path,
    frames: int = 3000,
    seed: int = 0,
    size_wh: tuple[int, int] = (1920, 1080),
    fps: int = 60,
    bitrate: int = WATCH_BITRATE,
) -> WatchClip:
    """Write the film that `benchmarks/watch.py` measures on: real tracks, at a bit rate held by x264.

    The track is `NAME_ball.csv` beside it. Tracks are drawn until `LEAST_HIDDEN` of their frames and a
    little more show no shuttle.

    Args:
        path: of the MP4.
        replay: folder of real tracks (`simulate.replay.read_tracks`).
        frames: how many.
        seed: order of the tracks, hall and players.
        size_wh: width and height.
        fps: frames a second.
        bitrate: bits a second.

    Raises:
        FormatError: `replay` holds no track.
        ContractError: the film's bit rate is off by more than a fifth, or fewer than 15% of its frames show
            no shuttle. The film is kept.
    """
    tracks, rng = read_tracks(replay), np.random.default_rng(seed)
    for _ in range(200):
        track = draw_track(rng, tracks, frames / fps)
        if LEAST_HIDDEN + 0.005 <= 1 - track.visible.mean() <= 0.3:
            break
    with film(path, size_wh, fps, bitrate=bitrate, preset="superfast") as out:
        shots = replay_rally(track, seed, frames=frames, fps=fps, size_wh=size_wh)
        text, hidden = _filmed(out, shots)
    labels = path.with_name(f"{path.stem}_ball.csv")
    write_text(labels, text)
    clip = WatchClip(path, labels, frames, hidden / frames, path.stat().st_size * 8 * fps / frames)
    clip.check(bitrate)
    return clip


def track_row(index: int, shot: RallyFrame) -> str:
    """One line of a ball-track CSV; where nothing is seen the point is 0, 0."""
    x, y = (v - 0.5 for v in shot.point) if shot.visible else (0.0, 0.0)
    return f"{index},{int(shot.visible)},{x:.3f},{y:.3f},{shot.speed_px:.2f},{shot.blur_px:.2f}"


def write_coco_scenes(
    folder: Path, count: int, *, seed: int = 0, size_wh: tuple[int, int] = (160, 120)
) -> Path:
    """Write still scenes as pictures with a COCO instance file, `annotations.json`; gives its path."""
    reading = write_scenes(folder, count, seed=seed, size_wh=size_wh)
    things = reading.classes[: len(THINGS)]
    pictures: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for number, record in enumerate(reading.records, 1):
        width, height = record.size_wh
        pictures.append({"id": number, "file_name": record.media, "width": width, "height": height})
        for mark in record.annotations:
            if mark.label >= len(things) or mark.box is None or mark.mask is None:
                continue
            x1, y1, x2, y2 = mark.box
            area = int(mark.mask.decode().sum())
            marks.append(
                {
                    "id": len(marks) + 1,
                    "image_id": number,
                    "category_id": mark.label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": {"size": [height, width], "counts": list(mark.mask.counts)},
                }
            )
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(things)]
    export = folder / "annotations.json"
    write_json(export, {"images": pictures, "annotations": marks, "categories": categories})
    return export
