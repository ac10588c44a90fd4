"""The two stages of a coarse-to-fine locator, run over frames that are kept as they came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.errors import ModelError
from sightline.core.geometry import Matrix, place, place_track
from sightline.core.picture import Picture, size_wh_of
from sightline.core.predictor import Predictor
from sightline.core.results import IN_SIGHT, Points, Result
from sightline.core.specs import InputSpec, Signature
from sightline.runtime.locating import XY, Coarse, Fine, Seen, View

Array = NDArray[Any]


class Kept:
    """A frame as it came, and as the coarse stage reads it once somebody asked; never placed twice."""

    __slots__ = ("_placed", "picture")

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self._placed: tuple[Array, Matrix] | None = None

    def placed(self, spec: InputSpec) -> tuple[Array, Matrix]:
        """The whole frame in the coarse stage's pixels, and the matrix that did it."""
        if self._placed is None:
            self._placed = place(self.picture, spec)
        return self._placed


class Stages:
    """A coarse stage and one or more fine ones.

    Args:
        coarse: locates one point in whole frames; reads one input.
        fines: locate it in a window (`native` fit); read one input of pixels, and a track if they want.

    Raises:
        ModelError: a stage that answers something else, or inputs that cannot be one clip.
    """

    def __init__(self, coarse: Predictor, fines: Sequence[Predictor]) -> None:
        self.coarse, self.fines = coarse, tuple(fines)
        every = (coarse, *self.fines)
        for stage in every:
            _check(stage.signature)
        if not self.fines or any(pixel_input(one.signature)[1].fit != "native" for one in self.fines):
            raise ModelError("the fine stage must read a window of the frame: fit `native`")
        if pixel_input(coarse.signature)[1].fit == "native" or len(coarse.signature.inputs) > 1:
            raise ModelError("the coarse stage must read whole frames and nothing else")
        specs = [pixel_input(stage.signature)[1] for stage in every]
        if len({spec.stride for spec in specs if spec.frames > 1}) > 1:
            raise ModelError(f"stages read clips of different strides: {[spec.stride for spec in specs]}")
        self.frames, self.stride = max(spec.frames for spec in specs), max(spec.stride for spec in specs)
        tracks = [track_input(one.signature) for one in self.fines]
        self.past = max((spec.frames * spec.stride for _, spec in filter(None, tracks)), default=0)

    @property
    def least(self) -> float:
        """Probability from which on a point counts as in sight."""
        return self.fines[0].signature.thresholds.get("locate", IN_SIGHT)

    def view(self, size_wh: tuple[int, int]) -> View:
        """What a mode must know of pictures of one size."""
        return View(size_wh, pixel_input(self.fines[0].signature)[1].size_wh, self.least)

    def ask(self, ask: Coarse | Fine, clip: Sequence[Kept], track: Array) -> tuple[Seen, ...]:
        """Run what a mode asks for over a clip, oldest first and `frames` long.

        `track` holds past (x, y, visible) rows in source pixels, oldest first and `past` long.
        """
        if isinstance(ask, Coarse):
            return (self._coarse(clip),)
        models = self.fines if ask.vote else self.fines[:1]
        seen = [self._fine(model, clip, ask.centres, track) for model in models]
        return tuple(by_model[i] for i in range(len(ask.centres)) for by_model in seen)

    def _coarse(self, clip: Sequence[Kept]) -> Seen:
        name, spec = pixel_input(self.coarse.signature)
        placed = [kept.placed(spec) for kept in clip[-spec.frames :]]
        outputs = self.coarse.infer({name: _stacked([pixels for pixels, _ in placed], spec)[None]})
        return self._seen(self.coarse, outputs, 0, placed[-1][1], size_wh_of(clip[-1].picture))

    def _fine(
        self, model: Predictor, clip: Sequence[Kept], centres: Sequence[XY], track: Array
    ) -> list[Seen]:
        name, spec = pixel_input(model.signature)
        pictures = [kept.picture for kept in clip[-spec.frames :]]
        windows = [[place(picture, spec, centre) for picture in pictures] for centre in centres]
        matrices = [window[-1][1] for window in windows]
        stack = np.stack([_stacked([pixels for pixels, _ in window], spec) for window in windows])
        inputs = {name: stack} | self._tracks(model, track, matrices)
        size_wh = size_wh_of(pictures[-1])
        found: list[Seen] = []
        for start in range(0, len(centres), model.batch):
            rows = slice(start, start + model.batch)
            outputs = model.infer({key: value[rows] for key, value in inputs.items()})
            part = matrices[rows]
            found += [self._seen(model, outputs, i, matrix, size_wh) for i, matrix in enumerate(part)]
        return found

    def _tracks(self, model: Predictor, track: Array, matrices: Sequence[Matrix]) -> dict[str, Array]:
        found = track_input(model.signature)
        if found is None:
            return {}
        name, spec = found
        rows = track[len(track) - spec.frames * spec.stride :: spec.stride]
        return {name: np.stack([place_track(rows, matrix) for matrix in matrices])}

    def _seen(
        self,
        model: Predictor,
        outputs: Mapping[str, Array],
        index: int,
        matrix: Matrix,
        size_wh: tuple[int, int],
    ) -> Seen:
        return seen_of(assemble(outputs, index, model.signature, matrix, size_wh))


def pixel_input(signature: Signature) -> tuple[str, InputSpec]:
    """Name and spec of the input that shows pictures; the first one does."""
    return next(iter(signature.inputs.items()))


def track_input(signature: Signature) -> tuple[str, InputSpec] | None:
    """Name and spec of the input that takes past points, where there is one."""
    return next((item for item in signature.inputs.items() if item[1].pixels == "track"), None)


def seen_of(results: Mapping[str, Result]) -> Seen:
    """The one point of a locator's answer."""
    points = results["locate"]
    assert isinstance(points, Points)
    x, y = points.points[0].tolist()
    return Seen((x, y), float(points.visible[0]))


def _stacked(pictures: list[Array], spec: InputSpec) -> Array:
    return np.stack(pictures) if spec.frames > 1 else pictures[0]


def _check(signature: Signature) -> None:
    """Hold a stage to what both must be: locators of one class that read colour and at most a track."""
    if signature.tasks != ("locate",) or len(signature.classes) != 1:
        raise ModelError(
            f"a stage answers {', '.join(signature.tasks)} for {len(signature.classes)} classes; "
            "each must locate one"
        )
    kinds = [spec.pixels for spec in signature.inputs.values()]
    if kinds not in (["rgb8"], ["rgb8", "track"]):
        raise ModelError(f"a stage reads {', '.join(kinds)}; it may read rgb8, and a track after it")
