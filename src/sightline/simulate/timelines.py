"""Simulated rallies as films on Label Studio's video timeline, boxed frame by frame as a person would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sightline.core.files import write_json
from sightline.core.label_studio import rectangle, sequence
from sightline.simulate.films import film
from sightline.simulate.labelled import CLASS, EXPORT
from sightline.simulate.sketch import sketch_rally

HALF_PX = 5.0


def write_timelines(
    folder: Path,
    rallies: int,
    *,
    frames: int = 40,
    seed: int = 0,
    size_wh: tuple[int, int] = (640, 360),
    fps: int = 30,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write sketched rallies as H.264 films, and a Label Studio JSON export of their timelines.

    One task a film: a box about the shuttle's head in every frame that shows it, none where it is out of
    sight. `--points box-centres` makes points of them. The export is the JSON of Label Studio's *Export*.

    Args:
        folder: to write into; the films are in `films/`.
        rallies: how many, with the seeds `seed`, `seed + 1`, ...
        frames: of each.
        seed: of the first rally.
        size_wh: even width and height.
        fps: frames a second.
        progress: called with 1 after each rally.

    Returns:
        The path of the export.

    Raises:
        UsageError: a side is odd.
    """
    films, tasks = folder / "films", []
    films.mkdir(parents=True, exist_ok=True)
    for number in range(1, rallies + 1):
        name = f"rally{seed + number - 1:03d}.mp4"
        points: dict[int, tuple[float, float]] = {}
        with film(films / name, size_wh, fps, crf=18) as out:
            shots = sketch_rally(seed + number - 1, frames=frames, fps=fps, size_wh=size_wh)
            for index, shot in enumerate(shots):
                out.add(shot.pixels)
                if shot.visible:
                    points[index] = shot.point
        tasks.append(_task(number, name, points, frames, size_wh, fps))
        if progress:
            progress(1)
    export = folder / EXPORT
    write_json(export, tasks)
    return export


def _task(
    number: int,
    name: str,
    points: dict[int, tuple[float, float]],
    frames: int,
    size_wh: tuple[int, int],
    fps: int,
) -> dict[str, Any]:
    boxes = {index: rectangle(_about(point, size_wh), size_wh) for index, point in points.items()}
    region = {
        "id": f"shuttle{number}",
        "type": "videorectangle",
        "from_name": "box",
        "to_name": "video",
        "origin": "manual",
        "value": {
            "framesCount": frames,
            "duration": frames / fps,
            "sequence": sequence(boxes, frames, fps),
            "labels": [CLASS],
        },
    }
    annotation = {
        "id": number,
        "completed_by": 1,
        "was_cancelled": False,
        "result": [region] if boxes else [],
    }
    video = f"/data/local-files/?d=films/{name}"
    return {"id": number, "data": {"video": video}, "annotations": [annotation]}


def _about(point: tuple[float, float], size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box about a point that lies within the picture, so that its centre is the point."""
    (x, y), (width, height) = point, size_wh
    half_x, half_y = min(HALF_PX, x, width - x), min(HALF_PX, y, height - y)
    return x - half_x, y - half_y, x + half_x, y + half_y
