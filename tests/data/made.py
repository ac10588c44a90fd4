"""Small datasets made for tests: textured pictures that look like nothing but themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.media import write_picture
from sightline.core.records import Record
from sightline.data.dataset import Dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading
from sightline.data.writing import write_dataset


def texture(seed: int, width: int = 96, height: int = 72) -> NDArray[np.uint8]:
    """A picture of blobs, its own for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    fine = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    large: Any = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    small: Any = cv2.resize(fine, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.addWeighted(large, 0.6, small, 0.4, 0), np.uint8)


def make_dataset(
    folder: Path,
    records: Sequence[Record],
    classes: Sequence[str] = ("ball", "cup"),
    pictures: Mapping[str, NDArray[np.uint8] | bytes | None] | None = None,
    ledger: Ledger | None = None,
) -> Dataset:
    """Write a dataset whose media are textures, or what `pictures` gives by name (None: no file)."""
    media = folder / "source"
    given = dict(pictures or {})
    for number, name in enumerate(dict.fromkeys(r.media for r in records)):
        content = given.get(name, texture(1000 + number)) if name in given else texture(1000 + number)
        if content is None:
            continue
        path = media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write_picture(path, content)
    media.mkdir(parents=True, exist_ok=True)
    reading = Reading(tuple(classes), list(records), media)
    return write_dataset(folder / "dataset", reading, ledger or Ledger(), media="link")
