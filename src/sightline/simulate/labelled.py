"""Simulated rallies on disk, labelled the way a person would have done it in Label Studio."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from sightline.core.files import write_json, written_whole
from sightline.core.media import write_picture
from sightline.simulate.rallies import RallyFrame, simulate_rally
from sightline.simulate.scenes import THINGS, write_scenes

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


def write_film(path: Path, seed: int, *, frames: int, size_wh: tuple[int, int], fps: int = 30) -> Path:
    """Write one rally as an H.264 MP4, without labels."""
    with written_whole(path) as part, av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        for shot in simulate_rally(seed, frames=frames, fps=fps, size_wh=size_wh):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shot.pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


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
