"""Samples to batches: pictures read, moved and recoloured once, labels moved along, by several processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from sightline.core.errors import ProblemError, SightlineError, TrainingFailed
from sightline.core.geometry import Matrix, compose, invert, place_track, placement, resample
from sightline.core.problem import AugmentSection
from sightline.core.records import Sample
from sightline.core.specs import InputSpec, Task
from sightline.data.samples import read_inputs, track_of
from sightline.models.base import Batch, Tensors
from sightline.train.augment import NO_CHANGE, Draw, Random, draw, generator, perturbed, recolour
from sightline.train.compose import copy_paste, mosaic
from sightline.train.labels import Labeller, Target
from sightline.train.placed import PlacedStore, Seen, seen_whole

Array = NDArray[Any]
Key = tuple[int, int, int]  # epoch, index in the part, earlier uses in that epoch

SMALL_BYTES = 1 << 16  # below this, pickling an array costs less than sharing its memory
WIDE = {"segment": torch.int64, "panoptic": torch.int64}
ROWED = frozenset({"boxes", "labels", "crowd", "masks"})


@dataclass(slots=True)
class Column:
    """One key of the targets for a whole batch: rows one after the other.

    Attributes:
        rows: all rows; an array where small, a tensor in shared memory where large.
        counts: rows of each element, -1 where it lacks the key.
    """

    rows: Array | Tensor
    counts: list[int]


@dataclass(slots=True)
class Packed:
    """A batch between processes: few large tensors instead of many small ones."""

    inputs: Tensors
    columns: dict[str, Column]
    indices: list[int]

    def pin_memory(self) -> Packed:
        """The same with inputs in page-locked memory, for copies to a device."""
        self.inputs = {name: value.pin_memory() for name, value in self.inputs.items()}
        return self

    def unpack(self, device: torch.device | None = None) -> Batch:
        """As models take it, on a device (the CPU unless told)."""
        where = device or torch.device("cpu")
        targets: list[Tensors] = [{} for _ in self.indices]
        for name, column in self.columns.items():
            rows = column.rows if isinstance(column.rows, Tensor) else torch.from_numpy(column.rows)
            rows = rows.to(where, dtype=WIDE.get(name), non_blocking=True)
            parts = iter(torch.split(rows, [c for c in column.counts if c >= 0]))
            for target, count in zip(targets, column.counts, strict=True):
                if count >= 0:
                    target[name] = next(parts) if name in ROWED else next(parts)[0]
        inputs = {name: value.to(where, non_blocking=True) for name, value in self.inputs.items()}
        weights = torch.ones(len(self.indices), device=where)
        return Batch(inputs, targets, weights, torch.tensor(self.indices))


def pack(inputs: Tensors, targets: Sequence[Target], indices: Sequence[int]) -> Packed:
    """Concatenate the targets of a batch by key."""
    columns: dict[str, Column] = {}
    for name in {name: None for target in targets for name in target}:
        found = [t[name] if name in ROWED else t[name][None] for t in targets if name in t]
        rows = np.concatenate(found)
        counts = [(len(t[name]) if name in ROWED else 1) if name in t else -1 for t in targets]
        columns[name] = Column(rows if rows.nbytes < SMALL_BYTES else torch.from_numpy(rows), counts)
    return Packed(inputs, columns, list(indices))


class Pictures:
    """A part of a dataset as training elements; stateless in (seed, epoch, index, repeat).

    Args:
        dataset: a `data.dataset.Dataset`, or one wrapped by a cache.
        samples: the part's samples; `index` counts them.
        inputs: the model's inputs; labels follow the first.
        labeller: makes the targets.
        section: ranges of change; None changes nothing (validation).
        seed: of all that is random.
        compose_until: first epoch without mosaic and copy-paste.
    """

    def __init__(
        self,
        dataset: Any,
        samples: Sequence[Sample],
        inputs: Mapping[str, InputSpec],
        labeller: Labeller,
        *,
        section: AugmentSection | None = None,
        seed: int = 0,
        compose_until: int = 1 << 30,
    ) -> None:
        self.dataset, self.samples, self.inputs, self.labeller = dataset, samples, dict(inputs), labeller
        self.section, self.seed, self.compose_until = section or NO_CHANGE, seed, compose_until
        self._alone = sum(spec.pixels != "track" for spec in self.inputs.values()) == 1
        if self.section.mosaic or self.section.copy_paste:
            _check_composable(self.inputs, labeller.tasks)
        if self.section.still:
            _check_clips(self.inputs)

    def __len__(self) -> int:
        return len(self.samples)

    def element(self, epoch: int, index: int, repeat: int = 0) -> tuple[dict[str, Array], Target]:
        """Placed inputs by name and the target of one element.

        Raises:
            MediaError: a picture cannot be read.
            DatasetError: a label the model needs is absent.
        """
        random, section = generator(self.seed, epoch, index, repeat), self.section
        composes = epoch < self.compose_until
        if composes and section.mosaic and random.random() < section.mosaic:
            name, spec = next(iter(self.inputs.items()))
            others = random.integers(0, len(self.samples), 3)
            sources = [self._source(int(i)) for i in (index, *others)]
            picture, target = mosaic(sources, spec, section, random, self.labeller)
            return {name: picture}, target
        inputs, target = self._single(index, draw(random, section), random)
        if composes and section.copy_paste and random.random() < section.copy_paste:
            return self._pasted(inputs, target, random)
        return inputs, target

    def _single(self, index: int, change: Draw, random: Random) -> tuple[dict[str, Array], Target]:
        sample = self.samples[index]
        pictures = self.seen(sample)
        out: dict[str, Array] = {}
        target: Target | None = None
        first: Array | None = None
        source_wh = (0, 0)
        for name, spec in self.inputs.items():
            if spec.pixels == "track" and first is not None:
                track = track_of(sample.inputs[name])
                if self.section.track_noise or self.section.track_drop or self.section.track_wrong:
                    track = perturbed(track, source_wh, random, self.section)
                # Of a film that has just begun nothing is known; to tell where a still thing was would
                # tell where it is.
                out[name] = place_track(np.zeros_like(track) if change.still else track, first)
                continue
            seen = pictures[name]
            placed_at = placement(seen.source_wh, spec, sample.centre)
            move = change.move.matrix(spec.size_wh)
            # Inputs of several sizes must move alike; a single one is better not resampled for a mere shift.
            matrix = compose(placed_at, on_whole_pixels(move) if self._alone else move)
            there = compose(invert(seen.matrix), matrix)
            frames = [seen.frames[-1]] * spec.frames if change.still else seen.frames
            placed = [_placed(frame, there, spec, change, t) for t, frame in enumerate(frames)]
            out[name] = np.stack(placed) if spec.frames > 1 else placed[0]
            if first is None:
                first, source_wh = matrix, seen.source_wh
                target = self.labeller(sample.target, matrix, spec.size_wh)
        return out, target or {}

    def seen(self, sample: Sample) -> dict[str, Seen]:
        """The pictures of a sample: from a store of placed ones where there is one, else whole."""
        if isinstance(self.dataset, PlacedStore):
            return self.dataset.seen(sample, self.inputs)
        return seen_whole(self.dataset, sample, self.inputs)

    def _source(self, index: int) -> tuple[Array, Any]:
        """The one picture of a sample and its record."""
        sample = self.samples[index]
        (picture,) = read_inputs(self.dataset, sample, self.inputs).values()
        return picture, sample.target

    def _pasted(
        self, inputs: dict[str, Array], target: Target, random: Random
    ) -> tuple[dict[str, Array], Target]:
        (name, spec), other = next(iter(self.inputs.items())), int(random.integers(len(self.samples)))
        picture, target = copy_paste(
            inputs[name], target, self._source(other), spec, self.section, random, self.labeller
        )
        return {name: picture}, target

    def __getitems__(self, keys: Sequence[Key]) -> Packed | SightlineError:
        """One batch. An error of ours is returned, since a worker would wrap it in its traceback."""
        shapes = {name: (spec.shape(len(keys)), spec.dtype) for name, spec in self.inputs.items()}
        inputs = {name: torch.empty(s, dtype=getattr(torch, kind)) for name, (s, kind) in shapes.items()}
        targets: list[Target] = []
        try:
            for row, (epoch, index, repeat) in enumerate(keys):
                placed, target = self.element(epoch, index, repeat)
                for name, value in placed.items():
                    inputs[name][row] = torch.from_numpy(value)
                targets.append(target)
        except SightlineError as error:
            return error
        return pack(inputs, targets, [index for _, index, _ in keys])


def _placed(frame: Array, matrix: Array, spec: InputSpec, change: Draw, place: int) -> Array:
    """One frame on the canvas; all frames of a clip move and colour alike, their noise differs."""
    return recolour(
        resample(frame, matrix, spec),
        Draw(colour=change.colour, noise=change.noise, noise_seed=change.noise_seed + place),
    )


def on_whole_pixels(matrix: Matrix) -> Matrix:
    """A matrix that only mirrors and shifts, with its shift on whole pixels: then nothing is resampled."""
    plain = np.array_equal(np.abs(matrix[:, :2]), np.eye(2))
    return np.column_stack([matrix[:, :2], np.round(matrix[:, 2])]) if plain else matrix


def _check_composable(inputs: Mapping[str, InputSpec], tasks: frozenset[Task]) -> None:
    whole = tasks & {"classify", "locate", "panoptic"}
    single = len(inputs) == 1 and all(spec.frames == 1 for spec in inputs.values())
    if whole or not single:
        what = f"the task {sorted(whole)[0]}" if whole else "clips or several inputs"
        raise ProblemError(
            f"mosaic and copy_paste cannot be used with {what}",
            where="train.augment",
            remedy="set both to 0",
        )


def _check_clips(inputs: Mapping[str, InputSpec]) -> None:
    if all(spec.frames == 1 for spec in inputs.values() if spec.pixels != "track"):
        raise ProblemError(
            "still repeats a clip's current frame, and the model reads single frames",
            where="train.augment",
            remedy="set still to 0, or model.input.frames to 2 or more",
        )


def _as_it_is(packed: Any) -> Any:
    """The loader's collate function: a batch is whole already."""
    return packed


def quiet_worker(_: int) -> None:
    """One thread a worker; the processes are the parallelism."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


class Loader:
    """Batches by key from worker processes that live as long as the loader.

    Args:
        pictures: makes the elements.
        workers: processes; 0 makes the batches in this one.
        pin: page-locked inputs, for a CUDA device.
    """

    def __init__(self, pictures: Pictures, workers: int, *, pin: bool = False) -> None:
        self.pictures, self.workers = pictures, workers
        self._keys: list[list[Key]] = []
        source: Any = pictures
        # Threads of OpenCV would not survive the fork below, and a child would wait for them for ever.
        cv2.setNumThreads(0 if workers else 1)
        self._loader = DataLoader(
            source,
            batch_sampler=_Held(self._keys),
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=quiet_worker,
            persistent_workers=workers > 0,
            prefetch_factor=3 if workers else None,
            multiprocessing_context=_context() if workers else None,
            pin_memory=pin,
            generator=torch.Generator(),  # the global one belongs to the model
        )

    def batches(self, keys: Sequence[Sequence[Key]]) -> Iterator[Packed]:
        """Batches in the order of their keys.

        Raises:
            SightlineError: as `Pictures.element`.
            TrainingFailed: a loader process was killed.
        """
        self._keys[:] = [list(row) for row in keys]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
            found = iter(self._loader)
        try:
            for packed in found:
                if isinstance(packed, SightlineError):
                    raise packed
                yield packed
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise TrainingFailed(
                "a loader process was killed, as systems do when main memory runs out",
                remedy="use fewer train.workers or a smaller train.cache_mb, then resume",
            ) from error


class _Held:
    """A batch sampler over a list that its owner refills."""

    def __init__(self, keys: list[list[Key]]) -> None:
        self.keys = keys

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(list(self.keys))

    def __len__(self) -> int:
        return len(self.keys)


def _context() -> str:
    """Fork where there is one: workers then share the samples and the cache, and start at once."""
    return "fork" if "fork" in torch.multiprocessing.get_all_start_methods() else "spawn"
