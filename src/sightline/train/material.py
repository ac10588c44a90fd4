"""What a training learns from and is judged by: samples of both parts, and their pictures kept at hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.core.errors import DatasetError
from sightline.core.problem import TrainSection
from sightline.core.records import Sample
from sightline.data.points import looked_for
from sightline.data.samples import samples
from sightline.models.base import Model
from sightline.train.cache import MEGABYTE, Cached
from sightline.train.mining import Crop, Mined
from sightline.train.placed import PlacedStore, fitting, storable

Say = Callable[[str], None]


@dataclass(slots=True)
class Material:
    """The elements of a training, with their pictures.

    Attributes:
        dataset: a `data.dataset.Dataset`, or what keeps its pictures.
        train: what is learned from.
        val: what is judged by.
        crops: why each of `train` was taken, where they were mined.
    """

    dataset: Any
    train: list[Sample]
    val: list[Sample]
    crops: tuple[Crop, ...] = ()


def gathered(
    dataset: Any,
    split: Any,
    model: Model,
    section: TrainSection,
    folder: Path,
    say: Say,
    mined: Mined | None = None,
) -> Material:
    """The samples of a split's parts, or mined crops of them, and their pictures kept as the section asks.

    Frames of videos of which little is used are kept as placed, and filled in here by one pass over every
    video; other pictures are kept as they are read. Where the former do not fit, every n-th is taken.

    Raises:
        DatasetError: a part has no elements.
        MediaError: a video cannot be read.
    """
    if mined is None:
        train, val = (part_samples(dataset, split, part, model, say) for part in ("train", "val"))
        found = Material(dataset, train, val)
    else:
        found = Material(dataset, [c.sample for c in mined.train], list(mined.val), mined.train)
    kind = section.cache
    if kind == "none":
        return found
    inputs = model.signature.inputs
    if not (storable(found.train, inputs) and storable(found.val, inputs)):
        both = (*found.train, *found.val)
        records = [r for sample in both for rows in sample.inputs.values() for r in rows]
        found.dataset = Cached(dataset, records, kind, section.cache_mb, folder)
        return found

    def store() -> PlacedStore:
        parts = [(found.train, section.augment), (found.val, None)]
        return PlacedStore(dataset, parts, inputs, kind, section.cache_mb, folder)

    made = store()
    every = fitting(made.bytes, section.cache_mb)
    if every > 1:
        found.train, found.val = found.train[::every], found.val[::every]
        found.crops = found.crops[::every]
        say(f"1 of {every} samples is used: more pictures do not fit train.cache_mb {section.cache_mb}")
        made = store()
    started = time.monotonic()
    made.fill(threads=2)
    held = f"{len(made.cache)} pictures kept as placed, {made.bytes / MEGABYTE:.0f} MB"
    say(f"videos decoded once in {time.monotonic() - started:.0f} s: {held}")
    found.dataset = made
    return found


def part_samples(dataset: Any, split: Any, part: str, model: Model, say: Say | None = None) -> list[Sample]:
    """Samples of a part; `say` hears of records that are none for want of another sensor's record.

    Raises:
        DatasetError: there are none.
    """
    found = samples(dataset, split.part(part), model.signature.inputs)
    lone: Sequence[str] = found.unpaired
    if lone and say is not None:
        shown = ", ".join(lone[:3]) + (", ..." if len(lone) > 3 else "")
        say(f"{part}: {len(lone)} of {len(lone) + len(found)} records have no partner in time: {shown}")
    if model.signature.tasks == ("locate",):
        known = [sample for sample in found if looked_for(sample.target)]
        if len(known) < len(found) and say is not None:
            say(f"{part}: {len(found) - len(known)} of {len(found)} records nobody looked at are left out")
        found[:] = known
    if not found:
        raise DatasetError(f"part {part!r} of the split has no elements", where=dataset.root)
    return list(found)
