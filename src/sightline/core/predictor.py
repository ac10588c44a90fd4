"""The one predictor: place, infer, assemble. What infers is a function, so that PyTorch, ONNX Runtime
and an engine differ in nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.errors import ModelError
from sightline.core.geometry import Matrix, place, place_track
from sightline.core.picture import Yuv420, size_wh_of
from sightline.core.results import Points, Result
from sightline.core.specs import CENTRE, InputSpec, Signature

Array = NDArray[Any]
# By input name: an array, a `Yuv420`, or for a clip a sequence of either; see `Predictor.predict`.
Inputs = Mapping[str, Any]
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

    def open_stream(self) -> AnyStream:
        """A stateful view for one source of frames."""


class AnyStream(Protocol):
    """One source's frames in order, and the past that answering them needs; fed from one thread."""

    @property
    def ahead(self) -> int:
        """How many moments can usefully be in work at once."""

    def push(self, inputs: Inputs) -> dict[str, Result]:
        """Results for the next moment."""

    def submit(self, inputs: Inputs) -> Future[dict[str, Result]]:
        """As `push`, perhaps answered later; up to `ahead` moments are handed over at once, in order."""

    def close(self) -> None:
        """Free threads and the past; nothing is pushed afterwards."""


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

        A picture is (H, W, 3) uint8 RGB or a `Yuv420`, of any size; a clip is (T, H, W, 3), or a sequence
        of T pictures of one size, oldest first; depth is (H, W) uint16 in millimetres; a track is (T, 3) of
        (x, y, visible) in pixels of the first input. The key `centre` (2,) says where windows of `native`
        inputs are; absent, they are in the middle. Results are in the pixels of the first input.

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
                if spec.pixels == "track":
                    columns[name].append(place_track(_checked_track(element, name, spec), frames[-1][0]))
                    continue
                pictures = _checked(element, name, spec)
                stack, matrix = place_clip(pictures, spec, element.get(CENTRE))
                columns[name].append(stack if spec.frames > 1 else stack[0])
                if index == 0:
                    frames.append((matrix, size_wh_of(pictures[-1])))
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
    """Feeds one source's frames in order; holds the past that a clip or a track needs. One per source and
    thread.
    """

    def __init__(self, predictor: AnyPredictor) -> None:
        self._predictor = predictor
        self._specs = predictor.signature.inputs
        self._past: dict[str, deque[Any]] = {
            name: deque(maxlen=_held(spec)) for name, spec in self._specs.items()
        }

    ahead = 1

    def submit(self, inputs: Inputs) -> Future[dict[str, Result]]:
        """As `push`, perhaps answered later by another thread; a stream that can do so takes up to `ahead`
        moments at once. This one answers before it returns.
        """
        answer: Future[dict[str, Result]] = Future()
        try:
            answer.set_result(self.push(inputs))
        except Exception as error:
            answer.set_exception(error)
        return answer

    def push(self, inputs: Inputs) -> dict[str, Result]:
        """Results for one moment: single frames by input name; clips are made here, and so are tracks that
        are not given, from the answers before.

        The first frames of a stream have no past: the oldest one seen stands in for it, as it does
        in `data.samples` at the start of a video. A track begins with nothing seen.
        """
        element = {name: self._input(name, spec, inputs) for name, spec in self._specs.items()}
        if CENTRE in inputs:
            element[CENTRE] = inputs[CENTRE]
        results = self._predictor.predict([element])[0]
        for name, spec in self._specs.items():
            if spec.pixels == "track":
                self._past[name].append(track_row(results))
        return results

    def close(self) -> None:
        """Forget the past."""
        for past in self._past.values():
            past.clear()

    def _input(self, name: str, spec: InputSpec, inputs: Inputs) -> Any:
        if spec.pixels == "track":
            return inputs[name] if name in inputs else self._track(name, spec)
        return self._clip(name, spec, inputs[name])

    def _track(self, name: str, spec: InputSpec) -> Array:
        past, track = self._past[name], np.zeros((spec.frames, 3), np.float32)
        for row in range(spec.frames):
            age = (spec.frames - row) * spec.stride
            if age <= len(past):
                track[row] = past[-age]
        return track

    def _clip(self, name: str, spec: InputSpec, frame: Array | Yuv420) -> Any:
        if spec.frames == 1:
            return frame
        past = self._past[name]
        past.append(frame)
        ages = [(spec.frames - 1 - i) * spec.stride for i in range(spec.frames)]
        return [past[max(0, len(past) - 1 - age)] for age in ages]


def _held(spec: InputSpec) -> int:
    """Moments of the past that an input reaches back to, this one included where it is read."""
    return spec.frames * spec.stride if spec.pixels == "track" else (spec.frames - 1) * spec.stride + 1


def track_row(results: Mapping[str, Result]) -> Array:
    """The (x, y, visible) that a locator's answer adds to the track of its first class; (3,) f32."""
    points = results.get("locate")
    if not isinstance(points, Points) or not points.seen[0]:
        return np.zeros(3, np.float32)
    return np.array([*points.points[0], 1.0], np.float32)


def place_clip(
    clip: Array | Sequence[Array | Yuv420], spec: InputSpec, centre: Array | tuple[float, float] | None = None
) -> tuple[Array, Matrix]:
    """Every frame of a clip (T, ...) placed the same way."""
    placed = [place(frame, spec, centre) for frame in clip]
    return np.stack([picture for picture, _ in placed]), placed[0][1]


def _checked_track(element: Inputs, name: str, spec: InputSpec) -> Array:
    track: Array = _given(element, name)
    if track.dtype.kind != "f" or track.shape != (spec.frames, 3):
        expected = f"floats {(spec.frames, 3)}: x, y, visible"
        raise ModelError(
            f"is {track.dtype} {track.shape}, the model reads {expected}", where=f"input {name!r}"
        )
    return track


def _checked(element: Inputs, name: str, spec: InputSpec) -> list[Array | Yuv420]:
    """The pictures of an input, one where it is no clip."""
    given = _given(element, name)
    alone = isinstance(given, Yuv420) or spec.frames == 1
    pictures: list[Array | Yuv420] = [given] if alone else list(given)
    if len(pictures) != spec.frames or not all(_fits(picture, spec) for picture in pictures):
        raise ModelError(
            f"is {_described(given)}, the model reads {spec.dtype} like {spec.shape(1)[1:]} at any size",
            where=f"input {name!r}",
        )
    if len({size_wh_of(picture) for picture in pictures}) > 1:
        raise ModelError("holds pictures of several sizes", where=f"input {name!r}")
    return pictures


def _given(element: Inputs, name: str) -> Any:
    if name not in element:
        raise ModelError(f"input {name!r} is missing; given: {', '.join(element) or 'nothing'}")
    return element[name]


def _fits(picture: Array | Yuv420, spec: InputSpec) -> bool:
    """Whether one picture is of the kind the spec reads."""
    if isinstance(picture, Yuv420):
        return spec.pixels != "depth16"
    colour = (3,) if spec.pixels == "rgb8" else ()
    return (
        isinstance(picture, np.ndarray)
        and picture.dtype == spec.dtype
        and picture.ndim == 2 + len(colour)
        and picture.shape[2:] == colour
        and 0 not in picture.shape
    )


def _described(given: Any) -> str:
    if isinstance(given, np.ndarray):
        return f"{given.dtype} {given.shape}"
    if isinstance(given, Yuv420):
        return f"one 4:2:0 frame {given.size_wh}"
    if isinstance(given, Sequence) and given:
        return f"{len(given)} of {_described(given[0])}"
    return type(given).__name__
