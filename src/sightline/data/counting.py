"""What a record shows of each class: marks, and pixels where its labels are dense."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError, ModelError
from sightline.core.geometry import fill_polygons
from sightline.core.records import Record

VOID = 255
BACKGROUND = "background"
OUTLINED = ("polygon", "mask")
BATCH = 256

ReadMap = Callable[[Record, str], NDArray[Any]]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shown:
    """What one record shows of each class.

    Attributes:
        marks: annotations (C,), crowds and hidden points left out.
        pixels: pixels (C,) of its dense labels; all 0 where it has none, or where they were not asked for.
    """

    marks: Counts
    pixels: Counts

    @property
    def amounts(self) -> Counts:
        """Marks (C,), where a class that has pixels alone counts once."""
        return np.maximum(self.marks, self.pixels > 0)

    @property
    def labels(self) -> list[int]:
        """Class indices, each as often as `amounts` says."""
        return np.repeat(np.arange(len(self.marks)), self.amounts).tolist()


def shown(dataset: Any, record: Record, *, outlines: bool = False) -> Shown:
    """Count what a record shows.

    Pixels are those of `truth_map`: of a segment map wherever there is one; of polygons and masks where a
    class `background` says that the rest of the picture is labelled too, or where `outlines` asks. A map
    that cannot be read counts nothing here: the audit names it, and training stops at it.

    Args:
        dataset: gives `classes` and `read_map`.
        record: one of its records.
        outlines: count the pixels of polygons and masks in any case.
    """
    count = len(dataset.classes)
    seen = [a.label for a in record.annotations if not a.crowd and a.visible and 0 <= a.label < count]
    marks = np.bincount(np.array(seen, np.int64), minlength=count)
    if not (outlines or dense(dataset, [record])):
        return Shown(marks, np.zeros(count, np.int64))
    try:
        truth = truth_map(record, dataset.read_map, record.size_wh[::-1], dataset.classes)
    except (MediaError, ModelError):
        truth = None
    values = np.zeros(0, np.uint8) if truth is None else truth.ravel()
    pixels = np.bincount(values, minlength=max(count, VOID + 1))[:count]
    pixels[VOID:] = 0
    return Shown(marks, pixels)


def dense(dataset: Any, records: Iterable[Record]) -> bool:
    """Whether a label says of every pixel what it is: a segment map, or a class for what is unmarked."""
    return BACKGROUND in dataset.classes or any("segment" in record.maps for record in records)


def shown_by_all(dataset: Any, records: Iterable[Record], *, outlines: bool = False) -> Iterator[Shown]:
    """`shown` of each record, in order; dense labels are read by several threads."""
    rest = iter(records)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while batch := list(islice(rest, BATCH)):
            spread = pool.map if outlines or dense(dataset, batch) else map
            yield from spread(lambda record: shown(dataset, record, outlines=outlines), batch)


def truth_map(record: Record, read_map: ReadMap, shape_hw: Any, classes: Sequence[str]) -> Any:
    """Class of every pixel (H, W) as labelled, or None where the record holds no such labels.

    From the record's segment map; else from its polygons and masks, later ones on top, where what is unmarked
    is the class `background` if there is one and void if not.

    Raises:
        ModelError: a mask has another shape than `shape_hw`.
    """
    if "segment" in record.maps:
        return np.asarray(read_map(record, "segment"))
    marks = [a for a in record.annotations if a.kind in OUTLINED]
    if not marks:
        return None
    ground = classes.index(BACKGROUND) if BACKGROUND in classes else VOID
    truth = np.full(shape_hw, ground, np.uint8)
    for mark in marks:
        mask = mark.mask.decode() if mark.mask else fill_polygons(mark.polygons, (shape_hw[1], shape_hw[0]))
        if mask.shape != truth.shape:
            raise ModelError(
                f"answers a map of {truth.shape}, the truth is {mask.shape} (H, W)", where=record.id
            )
        truth[mask] = VOID if mark.crowd else mark.label
    return truth
