"""Pictures as work for a batcher: decode, place, and the answer as JSON or as a drawn picture."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.geometry import Matrix
from sightline.core.plain import DIGITS_SCORE, plain_result
from sightline.core.results import ClassScores, Result
from sightline.core.specs import InputSpec
from sightline.draw import draw_results
from sightline.serve.batcher import Ticket
from sightline.serve.engine import Engine
from sightline.serve.observing import Answered, Observer
from sightline.serve.options import Limits
from sightline.serve.pictures import decode, encode
from sightline.serve.refusals import Refused

Array = NDArray[Any]
Plain = dict[str, Any]

# Files of one element: input name -> its file, or the frames of its clip, oldest first.
Files = Mapping[str, Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Wish:
    """How pictures should be answered.

    Attributes:
        request_id: told to the client and to observers.
        top: classes that a classification lists.
        draw: kind of picture to draw results on (`jpeg`, `png`, `webp`), empty for none.
        picture_only: the drawn picture is the whole answer.
        single: the answer is one picture's, not a list.
    """

    request_id: str
    top: int = 5
    draw: str = ""
    picture_only: bool = False
    single: bool = True


class PictureWork:
    """Picture files to results.

    Args:
        engine: whose model reads them.
        elements: checked files, an element for each row.
        wish: how to answer.
        limits: what decoding may cost.
        observer: told of every result.
    """

    def __init__(
        self, engine: Engine, elements: Sequence[Files], wish: Wish, limits: Limits, observer: Observer
    ) -> None:
        self._engine, self._elements, self._wish = engine, elements, wish
        self._limits, self._observer = limits, observer
        self._pictures: list[dict[str, Array]] = []
        self._frames: list[tuple[Matrix, tuple[int, int]]] = []

    @property
    def rows(self) -> int:
        """One a picture."""
        return len(self._elements)

    def read(self, index: int, files: Files) -> dict[str, Array]:
        """Pixels of one element by input name."""
        found = {}
        for name, spec in self._engine.signature.inputs.items():
            where = "picture" if self._wish.single else f"picture {index}"
            found[name] = pixels_of(files[name], spec, self._limits, where=where)
        return found

    def prepare(self, ticket: Ticket) -> dict[str, Array]:
        """Decoded and placed."""
        self._pictures = [self.read(index, files) for index, files in enumerate(self._elements)]
        ticket.lap("decode")
        placed, self._frames = self._engine.predictor.place(self._pictures)
        ticket.lap("place")
        return placed

    def answer(self, outputs: Mapping[str, Array], ticket: Ticket) -> tuple[bytes, str]:
        """Body and media type."""
        plain: list[Plain] = []
        drawn = b""
        for index, (matrix, size_wh) in enumerate(self._frames):
            results = assemble(outputs, index, self._engine.signature, matrix, size_wh)
            self._tell(index, results, outputs)
            row: Plain = {"size_wh": list(size_wh), "results": plain_results(results, self._wish.top)}
            if self._wish.draw:
                drawn = self._draw(index, results)
                row["drawn"] = f"data:image/{self._wish.draw};base64," + base64.b64encode(drawn).decode()
            plain.append(row)
        if self._wish.picture_only:
            return drawn, f"image/{self._wish.draw}"
        return self._json(plain, ticket), "application/json"

    def _json(self, rows: list[Plain], ticket: Ticket) -> bytes:
        head: Plain = {
            "id": self._wish.request_id,
            "model": self._engine.name,
            "version": self._engine.version,
        }
        ms = {stage: round(1000 * seconds, 3) for stage, seconds in ticket.seconds.items()}
        body = {**head, **rows[0]} if self._wish.single else {**head, "pictures": rows}
        return json.dumps({**body, "ms": ms}, ensure_ascii=False, allow_nan=False).encode()

    def _pixels(self, index: int) -> Array:
        """The picture that results are about: the first input, the newest frame of a clip."""
        name, spec = next(iter(self._engine.signature.inputs.items()))
        pixels = self._pictures[index][name]
        return pixels[-1] if spec.frames > 1 else pixels

    def _draw(self, index: int, results: Mapping[str, Result]) -> bytes:
        pixels = self._pixels(index)
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
        return encode(draw_results(rgb, results), self._wish.draw)

    def _tell(self, index: int, results: Mapping[str, Result], outputs: Mapping[str, Array]) -> None:
        engine = self._engine
        self._observer.result(engine.name, results)
        embedding = outputs["embedding"][index] if "embedding" in outputs else None
        files = next(iter(self._elements[index].values()))
        told = Answered(
            engine.name, engine.version, self._wish.request_id, index, bytes(files[-1]), self._pixels(index),
            results, embedding,
        )  # fmt: skip
        self._observer.answered(told)


def pixels_of(files: Sequence[bytes], spec: InputSpec, limits: Limits, *, where: str) -> Array:
    """Pixels of one input: a picture, or its clip's frames stacked.

    Raises:
        Refused: 422, damaged, too few frames, or frames of unlike size.
    """
    if len(files) != spec.frames:
        raise Refused(
            422, "bad_input", f"{where}: needs {spec.frames} frames, oldest first; got {len(files)}"
        )
    frames = [decode(data, spec, limits, where=where) for data in files]
    if len({frame.shape for frame in frames}) > 1:
        shapes = ", ".join(f"{f.shape[1]}x{f.shape[0]}" for f in frames)
        raise Refused(422, "bad_input", f"{where}: frames of one clip differ in size: {shapes}")
    return np.stack(frames) if spec.frames > 1 else frames[0]


def plain_results(results: Mapping[str, Result], top: int) -> Plain:
    """Every task's result as plain values; a classification lists its `top` best classes."""
    return {
        task: _best_classes(result, top) if isinstance(result, ClassScores) else plain_result(result)
        for task, result in results.items()
    }


def _best_classes(result: ClassScores, top: int) -> Plain:
    best = np.argsort(-result.scores, kind="stable")[:top]
    scores = {result.names[i]: round(float(result.scores[i]), DIGITS_SCORE) for i in best.tolist()}
    name, score = next(iter(scores.items()))
    return {"class": name, "score": score, "scores": scores}
