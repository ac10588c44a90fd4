"""The one predictor: place, infer, assemble. What infers is a function, so that PyTorch, ONNX Runtime
and an engine differ in nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.errors import ModelError
from sightline.core.geometry import Matrix, place
from sightline.core.results import Result
from sightline.core.specs import InputSpec, Signature

Array = NDArray[Any]
Inputs = Mapping[str, Array]
# Tasks scored over all thresholds at once: a row cut off for deployment would be missed in the score.
RANKED = ("detect", "instances")

Infer = Callable[[dict[str, Array]], Mapping[str, Array]]


class AnyPredictor(Protocol):
    """What evaluation, video and service ask of a predictor, local or remote."""

    @property
    def signature(self) -> Signature:
        """Tasks, classes and inputs."""

    def predict(self, batch: Sequence[Inputs]) -> list[dict[str, Result]]:
        """Results by task for each element of the batch."""

    def open_stream(self) -> Stream:
        """A stateful view for one source of frames."""


class Predictor:
    """A model as a function from source pictures to results; stateless, immutable, thread-safe.

    Args:
        signature: what the model reads and answers.
        infer: batched placed inputs by name -> decoded tensors named `task.field` (and `embedding`).
        batch: the largest batch handed to `infer` at once.
    """

    __slots__ = ("batch", "infer", "signature")

    def __init__(self, signature: Signature, infer: Infer, *, batch: int = 8) -> None:
        self.signature, self.infer, self.batch = signature, infer, batch

    def predict(self, batch: Sequence[Inputs]) -> list[dict[str, Result]]:
        """Results by task for each element; an element names every input of the signature.

        A picture is (H, W, 3) uint8 RGB of any size, a clip (T, H, W, 3) oldest first, depth (H, W)
        uint16 in millimetres. Results are in the pixels of the first input.

        Raises:
            ModelError: an input is absent, or its shape or type is not what the spec says.
        """
        results: list[dict[str, Result]] = []
        for start in range(0, len(batch), self.batch):
            placed, frames = self.place(batch[start : start + self.batch])
            outputs = self.infer(placed)
            results += [
                assemble(outputs, i, self.signature, matrix, size_wh)
                for i, (matrix, size_wh) in enumerate(frames)
            ]
        return results

    def place(self, batch: Sequence[Inputs]) -> tuple[dict[str, Array], list[tuple[Matrix, tuple[int, int]]]]:
        """Stacked placed inputs, and for each element the matrix and source size of its first input."""
        columns: dict[str, list[Array]] = {name: [] for name in self.signature.inputs}
        frames: list[tuple[Matrix, tuple[int, int]]] = []
        for element in batch:
            for index, (name, spec) in enumerate(self.signature.inputs.items()):
                picture = _checked(element, name, spec)
                stack, matrix = place_clip(picture, spec) if spec.frames > 1 else place(picture, spec)
                columns[name].append(stack)
                if index == 0:
                    height, width = picture.shape[-3:-1] if spec.pixels == "rgb8" else picture.shape[-2:]
                    frames.append((matrix, (width, height)))
        return {name: np.stack(rows) for name, rows in columns.items()}, frames

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Predictor:
        """The same model keeping rows by other thresholds; an empty mapping keeps every row."""
        signature = replace(self.signature, thresholds=dict(thresholds))
        return Predictor(signature, self.infer, batch=self.batch)

    def for_scoring(self) -> Predictor:
        """The same model keeping every row of the tasks whose metrics rank rows by score (mAP)."""
        kept = {t: v for t, v in self.signature.thresholds.items() if t not in RANKED}
        return self.with_thresholds(kept)

    def open_stream(self) -> Stream:
        """A stream that keeps the last frames where an input is a clip."""
        return Stream(self)


class Stream:
    """Feeds one source's frames in order; holds the past that a clip needs. One per source and thread."""

    def __init__(self, predictor: AnyPredictor) -> None:
        self._predictor = predictor
        self._specs = predictor.signature.inputs
        self._past: dict[str, deque[Array]] = {
            name: deque(maxlen=(spec.frames - 1) * spec.stride + 1) for name, spec in self._specs.items()
        }

    def push(self, inputs: Inputs) -> dict[str, Result]:
        """Results for one moment: single frames by input name; clips are made here.

        The first frames of a stream have no past: the oldest one seen stands in for it, as it does
        in `data.samples` at the start of a video.
        """
        element = {name: self._clip(name, spec, inputs[name]) for name, spec in self._specs.items()}
        return self._predictor.predict([element])[0]

    def _clip(self, name: str, spec: InputSpec, frame: Array) -> Array:
        if spec.frames == 1:
            return frame
        past = self._past[name]
        past.append(frame)
        ages = [(spec.frames - 1 - i) * spec.stride for i in range(spec.frames)]
        return np.stack([past[max(0, len(past) - 1 - age)] for age in ages])


def place_clip(clip: Array, spec: InputSpec) -> tuple[Array, Matrix]:
    """Every frame of a clip (T, ...) placed the same way."""
    placed = [place(frame, spec) for frame in clip]
    return np.stack([picture for picture, _ in placed]), placed[0][1]


def _checked(element: Inputs, name: str, spec: InputSpec) -> Array:
    if name not in element:
        raise ModelError(f"input {name!r} is missing; given: {', '.join(element) or 'nothing'}")
    picture = element[name]
    colour = 3 if spec.pixels == "rgb8" else None
    dims = 2 + (colour is not None) + (spec.frames > 1)
    wrong = (
        picture.dtype != spec.dtype
        or picture.ndim != dims
        or (colour is not None and picture.shape[-1] != colour)
        or (spec.frames > 1 and picture.shape[0] != spec.frames)
        or 0 in picture.shape
    )
    if wrong:
        want = spec.shape(1)[1:]
        raise ModelError(
            f"is {picture.dtype} {picture.shape}, the model reads {spec.dtype} like {want} at any size",
            where=f"input {name!r}",
        )
    return picture
