"""Cityscapes' layout: `leftImg8bit/PART/CITY/*_leftImg8bit.png`, `gtFine/PART/CITY/*_gtFine_*.png`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.core.records import Annotation, Rle
from sightline.data.formats.files import partition_of
from sightline.data.formats.masks_layout import VOID, Meaning, Pair

PICTURES, TRUTHS = "leftImg8bit", ("gtFine", "gtCoarse")
# The nineteen classes that the benchmark trains on, by their label id, in the order of their train ids
# (Cordts et al. 2016); every other label id is void there.
CLASSES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
LAST_ID = 33
THINGS = frozenset({24, 25, 26, 27, 28, 31, 32, 33})
NAMES = tuple(CLASSES.values())
BY_ID = {label: index for index, label in enumerate(CLASSES)}
KINDS = ("labelIds", "labelTrainIds", "instanceIds")


def truth_folder(source: Path) -> Path | None:
    """The folder with masks where a source is laid out so."""
    if not (source / PICTURES).is_dir():
        return None
    return next((source / name for name in TRUTHS if (source / name).is_dir()), None)


def meaning_of(mask: Path) -> Meaning:
    """What the values of a mask mean, by its name."""
    if mask.stem.endswith("labelTrainIds"):
        return Meaning(NAMES, {**{i: i for i in range(len(NAMES))}, VOID: VOID}, {})
    values = {label: BY_ID.get(label, VOID) for label in range(LAST_ID + 1)}
    return Meaning(NAMES, {**values, VOID: VOID}, {})


def pairs_of(source: Path, truth: Path) -> list[Pair]:
    """Pictures with the mask of the first kind that is there; the group is the city."""
    pairs = []
    for picture in sorted((source / PICTURES).rglob(f"*_{PICTURES}.*")):
        place = picture.relative_to(source / PICTURES)
        stem = picture.stem.removesuffix(f"_{PICTURES}")
        folder = truth / place.parent
        names = [folder / f"{stem}_{truth.name}_{kind}.png" for kind in KINDS]
        mask = next((path for path in names if path.is_file()), None)
        city = place.parent.name if len(place.parts) > 2 else ""
        pairs.append(Pair(picture, mask, partition_of(place.parts[0]), city))
    return pairs


def instances_path(mask: Path) -> Path | None:
    """The file with the instances that belongs to a mask."""
    stem = next((mask.stem.removesuffix(kind) for kind in KINDS if mask.stem.endswith(kind)), mask.stem)
    path = mask.with_name(f"{stem}instanceIds.png")
    return path if path.is_file() else None


def instances(ids: NDArray[np.uint16], source: str) -> list[Annotation]:
    """Masks of the countable things: `1000 x label id + number`; a bare label id is a crowd."""
    found = []
    for value in np.unique(ids).tolist():
        label = value // 1000 if value >= 1000 else value
        if label not in THINGS:
            continue
        mask = np.asarray(ids == value)
        ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))
        found.append(
            Annotation(
                BY_ID[label], box, mask=Rle.encode(mask), crowd=value < 1000, source=f"{source}: {value}"
            )
        )
    return found
