"""A small package with a reference, and pictures of its world, untouched and darkened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.tiny_models import TinyModel
from sightline.core.manifest import Manifest
from sightline.core.media import write_picture
from sightline.core.predictor import Inputs
from sightline.core.reference import Reference, observed
from sightline.export.writing import package_model
from sightline.runtime.loading import load

NAME = "fruit"


def pictures(count: int, seed: int, *, light: float = 1.0) -> list[NDArray[Any]]:
    """Blobs of light on a wall, each with a brightness and a grain of its own."""
    random = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        wall = np.full((72, 96, 3), random.normal(120, 14), np.float32)
        for _ in range(int(random.integers(2, 6))):
            at, size = random.integers(8, 64, 2), int(random.integers(4, 12))
            cv2.circle(wall, (int(at[0]), int(at[1])), size, random.uniform(40, 250, 3).tolist(), -1)
        wall += random.normal(0, random.uniform(3, 6), wall.shape)
        out.append(np.clip(wall * light, 0, 255).astype(np.uint8))
    return out


def watched_package(folder: Path, task: Any = "detect", count: int = 60) -> Path:
    """A package that remembers so many pictures."""
    package_model(TinyModel(task).eval(), folder, name=NAME, version="3")
    predictor = load(folder)
    reference = Reference(predictor.signature.classes)

    def items() -> Iterator[tuple[int, str, Inputs]]:
        for index, picture in enumerate(pictures(count, 1)):
            yield index, "", {"image": picture}

    for _, seen, _ in observed(predictor, items()):
        reference.take(seen)
    replace(Manifest.read(folder), reference=reference.to_json()).write(folder)
    return folder


def write_pictures(folder: Path, count: int, seed: int, *, light: float = 1.0) -> Path:
    """The same pictures as PNG files."""
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures(count, seed, light=light)):
        write_picture(folder / f"{index:03d}.png", picture)
    return folder
