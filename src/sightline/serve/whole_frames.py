"""A locator of two stages as the batcher runs it.

Its second network reads where the first one looked, so there is no tensor that could be placed beforehand: a
row is a whole picture with what is asked of it, and the answer is already in the pixels of that picture.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.geometry import Matrix
from sightline.core.picture import size_wh_of
from sightline.core.predictor import Inputs
from sightline.core.results import Points
from sightline.runtime.coarse_to_fine import CLIP, CoarseToFine
from sightline.runtime.locating_stream import LocatingStream

Array = NDArray[Any]
OUTPUTS = ("locate.points", "locate.visible")
WARM_WH = (1920, 1080)
# Of a row and its picture: nothing was moved.
SAME: Matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


class Row(Protocol):
    """One question."""

    def ask(self, locator: CoarseToFine) -> Points:
        """The answer, in pixels of the picture."""


class Alone:
    """A clip that is answered by itself."""

    def __init__(self, element: Inputs) -> None:
        self._element = element

    def ask(self, locator: CoarseToFine) -> Points:
        """By both stages."""
        return _points(locator.predict([self._element])[0])


class Film:
    """The past of one connection: the frames it brought, in order, through one stream."""

    def __init__(self, locator: CoarseToFine) -> None:
        self.locator = locator
        self._stream: LocatingStream = locator.open_stream()
        # A frame that was given up may still be in work when the next one comes.
        self._turn = threading.Lock()

    def push(self, picture: Array) -> Points:
        """The answer for the next frame."""
        with self._turn:
            return _points(self._stream.push({CLIP: picture}))

    def close(self) -> None:
        """Let go of the past."""
        self._stream.close()


class Next:
    """The next frame of a film."""

    def __init__(self, film: Film, picture: Array) -> None:
        self._film, self._picture = film, picture

    def ask(self, locator: CoarseToFine) -> Points:
        """By the stages that the mode asks, of the predictor that the film was opened with."""
        return self._film.push(self._picture)


class WholeFrames:
    """What `Engine` asks of a predictor, over rows that are questions.

    Args:
        locator: the package's two stages.
    """

    batch = 1  # on a processor, frames side by side are faster than frames in one call

    def __init__(self, locator: CoarseToFine) -> None:
        # The batcher has the threads; a stream needs none of its own.
        stages = locator.stages
        self.locator = CoarseToFine(stages.coarse, stages.fines, locator.pipeline, workers=1)
        self.signature = locator.signature

    def place(self, batch: Sequence[Inputs]) -> tuple[dict[str, Array], list[tuple[Matrix, tuple[int, int]]]]:
        """Elements as rows, each with the size of its picture."""
        spec = self.signature.inputs[CLIP]
        sizes = [size_wh_of(e[CLIP][-1] if spec.frames > 1 else e[CLIP]) for e in batch]
        return rows_of([Alone(element) for element in batch]), [(SAME, size) for size in sizes]

    def infer(self, placed: Mapping[str, Array]) -> dict[str, Array]:
        """Points (N, 1, 2) and visibilities (N, 1) of N rows."""
        found = [row.ask(self.locator) for row in placed[CLIP]]
        values = ([p.points for p in found], [p.visible for p in found])
        return {name: np.stack(value) for name, value in zip(OUTPUTS, values, strict=True)}

    def blank(self, rows: int) -> dict[str, Array]:
        """Grey clips in full HD, for warming up."""
        spec = self.signature.inputs[CLIP]
        grey = np.full((*WARM_WH[::-1], 3), 128, np.uint8)
        return rows_of([Alone({CLIP: [grey] * spec.frames if spec.frames > 1 else grey})] * rows)


def rows_of(questions: Sequence[Row]) -> dict[str, Array]:
    """Questions in the shape that the batcher joins and cuts."""
    held = np.empty(len(questions), object)
    held[:] = questions
    return {CLIP: held}


def _points(results: Mapping[str, object]) -> Points:
    found = results["locate"]
    assert isinstance(found, Points)
    return found
