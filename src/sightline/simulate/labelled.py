"""Simulated rallies on disk, labelled the way a person would have done it in Label Studio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sightline.core.files import write_json
from sightline.core.media import write_picture
from sightline.simulate.rallies import RallyFrame, simulate_rally

CLASS = "shuttle"
EXPORT = "label_studio_export.json"


def write_rallies(
    folder: Path,
    rallies: int,
    *,
    frames: int = 40,
    seed: int = 0,
    size_wh: tuple[int, int] = (384, 216),
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write frames of several rallies as pictures, and a Label Studio JSON export of their labels.

    One task a frame: a keypoint on the shuttle's head, or an empty annotation where it is out of
    sight. `progress` is called with 1 after each rally. Gives the path of the export.
    """
    tasks: list[dict[str, Any]] = []
    pictures = folder / "frames"
    pictures.mkdir(parents=True, exist_ok=True)
    for rally in range(rallies):
        shots = simulate_rally(seed + rally, frames=frames, size_wh=size_wh)
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
