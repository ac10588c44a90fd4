"""Still scenes of simple shapes at known distances, with every kind of label there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.media import write_picture
from sightline.core.records import Annotation, Record, Rle
from sightline.data.reading import Reading

THINGS = ("disc", "square", "triangle")
STUFF = ("ground", "sky")
CLASSES = THINGS + STUFF
SMALLEST_AREA = 40


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape in sight: its class index, visible pixels (H, W) and distance in metres."""

    label: int
    mask: NDArray[np.bool_]
    metres: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and its truth.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        things: nearest last.
        segment: (H, W) uint8, indices into `CLASSES`.
        depth: (H, W) uint16, millimetres.
    """

    pixels: NDArray[np.uint8]
    things: tuple[Thing, ...]
    segment: NDArray[np.uint8]
    depth: NDArray[np.uint16]


def simulate_scene(seed: int, size_wh: tuple[int, int] = (160, 120), most: int = 4) -> Scene:
    """One scene: ground and sky, and one to `most` shapes painted from far to near.

    Sky is 60 m away and the ground runs from the horizon to the camera, as seen from 1.6 m above it.
    """
    rng = np.random.default_rng(seed)
    width, height = size_wh
    horizon = int(height * rng.uniform(0.3, 0.5))
    rows = np.arange(height)
    ground_m = np.minimum(60.0, 1.6 * height / np.maximum(rows - horizon, 0.5))
    metres = np.repeat(np.where(rows < horizon, 60.0, ground_m)[:, None], width, axis=1)
    segment = np.where(np.arange(height)[:, None] < horizon, 4, 3).repeat(width, axis=1).astype(np.uint8)
    pixels = _surface(rng, segment)
    owner = np.full((height, width), -1)
    far_to_near = np.sort(rng.uniform(2.0, 18.0, int(rng.integers(1, most + 1))))[::-1]
    labels = rng.integers(0, len(THINGS), len(far_to_near))
    for i, (label, distance) in enumerate(zip(labels, far_to_near, strict=True)):
        mask = _shape(rng, int(label), float(distance), size_wh)
        pixels[mask] = np.clip(rng.integers(0, 256, 3) + rng.normal(0, 8, (int(mask.sum()), 3)), 0, 255)
        segment[mask], metres[mask], owner[mask] = label, distance, i
    things = [
        Thing(int(label), owner == i, float(d))
        for i, (label, d) in enumerate(zip(labels, far_to_near, strict=True))
    ]
    seen = tuple(t for t in things if t.mask.sum() >= SMALLEST_AREA)
    return Scene(pixels, seen, segment, (metres * 1000).astype(np.uint16))


def _surface(rng: np.random.Generator, segment: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Ground and sky with a little texture."""
    ground, sky = rng.integers(40, 130, 3), rng.integers(140, 230, 3)
    flat = np.where((segment == 4)[..., None], sky, ground)
    return np.clip(flat + rng.normal(0, 6, flat.shape), 0, 255).astype(np.uint8)


def _shape(
    rng: np.random.Generator, label: int, metres: float, size_wh: tuple[int, int]
) -> NDArray[np.bool_]:
    """Pixels of one shape, larger the nearer it is."""
    width, height = size_wh
    radius = float(np.clip(height * 0.9 / metres, height * 0.07, height * 0.3))
    x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.3, 0.85) * height
    canvas = np.zeros((height, width), np.uint8)
    if label == 0:
        cv2.circle(canvas, (int(x), int(y)), int(radius), 1, -1)
    else:
        corners = 4 if label == 1 else 3
        angles = rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
        ring = np.stack([x + radius * 1.2 * np.cos(angles), y + radius * 1.2 * np.sin(angles)], 1)
        cv2.fillPoly(canvas, [np.round(ring).astype(np.int32)], 1)
    return canvas.astype(bool)


def write_scenes(
    folder: Path, count: int, *, seed: int = 0, size_wh: tuple[int, int] = (160, 120), clock_s: float = 0.1
) -> Reading:
    """Write pictures and dense maps, and give their records with every kind of label.

    `images/NNNN.png` with `segment/`, `panoptic/` and `depth/` PNGs beside; the maps are laid out as
    `core.records.Record.maps` says. Every scene is a group of its own, `clock_s` seconds apart.
    """
    for name in ("images", "segment", "panoptic", "depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    records = [_write_scene(folder, i, simulate_scene(seed + i, size_wh), clock_s * i) for i in range(count)]
    return Reading(CLASSES, records, folder)


def _write_scene(folder: Path, index: int, scene: Scene, time_s: float) -> Record:
    name = f"{index:04d}.png"
    write_picture(folder / "images" / name, scene.pixels)
    write_picture(folder / "segment" / name, scene.segment)
    write_picture(folder / "depth" / name, scene.depth)
    marks = [
        Annotation(t.label, box=mask_box(t.mask), mask=Rle.encode(t.mask), source=f"{name}:{i}")
        for i, t in enumerate(scene.things)
    ]
    numbers = np.zeros(scene.segment.shape, np.uint8)
    for stuff in (3, 4):
        region = scene.segment == stuff
        if region.any():
            marks.append(
                Annotation(stuff, box=mask_box(region), mask=Rle.encode(region), source=f"{name}:{stuff}")
            )
            numbers[region] = len(marks)
    for i, thing in enumerate(scene.things):
        numbers[thing.mask] = i + 1
    rgb = np.zeros((*numbers.shape, 3), np.uint8)
    rgb[..., 0] = numbers
    write_picture(folder / "panoptic" / name, rgb)
    height, width = scene.segment.shape
    return Record(
        id=f"images/{name}",
        media=f"images/{name}",
        size_wh=(width, height),
        annotations=tuple(marks),
        group=f"scene{index:04d}",
        time_s=time_s,
        maps={task: f"{task}/{name}" for task in ("segment", "panoptic", "depth")},
        source=name,
    )


def write_two_clocks(
    folder: Path, count: int, *, seed: int = 0, size_wh: tuple[int, int] = (160, 120), lag_s: float = 0.013
) -> Reading:
    """Write scenes as two sensors saw them: `rgb` pictures with segments, and 16-bit `depth` pictures.

    The depth sensor runs on a clock of its own, `lag_s` behind; only time says which belong together.
    """
    reading = write_scenes(folder, count, seed=seed, size_wh=size_wh)
    records = []
    for record in reading.records:
        segment = {"segment": record.maps["segment"]}
        records.append(replace(record, annotations=(), maps=segment, sensor="rgb", group="drive"))
        depth = record.maps["depth"]
        behind = (record.time_s or 0.0) + lag_s
        records.append(
            replace(
                record,
                id=depth,
                media=depth,
                annotations=(),
                maps={},
                sensor="depth",
                group="drive",
                time_s=behind,
            )
        )
    return Reading(reading.classes, records, folder)


def mask_box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Hull x1, y1, x2, y2 of a mask that has at least one pixel."""
    ys, xs = np.nonzero(mask)
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)
