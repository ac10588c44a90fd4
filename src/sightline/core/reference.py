"""What a model saw and said on its validation set, as histograms, moments and a sample that drift is
measured against. Edges are fixed, so that any two summaries can be compared bin by bin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.observation import EDGES, POOLED, Moments, Observation, binned, observe, stack
from sightline.core.predictor import Inputs, Predictor, Stream
from sightline.core.results import Result

Array = NDArray[Any]
Key = TypeVar("Key")

# Pictures whose own observations are kept: enough to see a shift of a quarter of a standard deviation.
KEPT = 512
SEED = 20261
CHUNK = 8


class Reference:
    """Collects distributions one picture at a time.

    `score` (0..1) and `class` are of the answers, `box_size` is the square root of a box's share of the
    picture, `objects` the number of rows kept, `brightness`, `contrast` and `sharpness` as in
    `observation.Appearance`; `embedding` holds each dimension's mean and variance (Welford 1962, merged one
    at a time). Of at most `KEPT` pictures, drawn evenly (Vitter 1985, algorithm R), the observations
    themselves are kept: resampling them tells how far two windows of one world lie apart.
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._counts = {name: np.zeros(len(edges) - 1, np.int64) for name, edges in EDGES.items()}
        self._labels = np.zeros(len(classes), np.int64)
        self._pictures = 0
        self._embedded = 0
        self._mean: Array = np.zeros(0)
        self._square: Array = np.zeros(0)
        self._kept: list[Observation] = []
        self._random = np.random.default_rng(SEED)

    def add(
        self,
        picture: Array,
        results: Mapping[str, Result],
        embedding: Array | None = None,
        *,
        group: str = "",
    ) -> None:
        """Count one picture (H, W, 3) or (H, W), its results by task, and its embedding (D,)."""
        self.take(observe(picture, results, embedding, group=group))

    def take(self, seen: Observation) -> None:
        """Count one picture that was observed already."""
        self._pictures += 1
        for name, value in (seen.look._asdict() if seen.look else {}).items():
            self._counts[name] += binned(name, [value])
        if seen.objects >= 0:
            self._counts["objects"] += binned("objects", [seen.objects])
        for name in POOLED:
            self._counts[name] += getattr(seen, name)
        for index, count in seen.classes.items():
            self._labels[index] += count
        if seen.embedding is not None:
            self._embed(seen.embedding)
        self._keep(seen)

    def _keep(self, seen: Observation) -> None:
        if len(self._kept) < KEPT:
            self._kept.append(seen)
            return
        at = int(self._random.integers(self._pictures))
        if at < KEPT:
            self._kept[at] = seen

    def _embed(self, vector: Array) -> None:
        if not self._embedded:
            self._mean, self._square = np.zeros_like(vector), np.zeros_like(vector)
        self._embedded += 1
        delta = vector - self._mean
        self._mean = self._mean + delta / self._embedded
        self._square = self._square + delta * (vector - self._mean)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a manifest: edges and counts, counts by class, embedding moments, the sample."""
        histograms = {
            name: {"edges": EDGES[name].round(6).tolist(), "counts": counts.tolist()}
            for name, counts in self._counts.items()
            if counts.any()
        }
        out: dict[str, Any] = {
            "pictures": self._pictures,
            "histograms": histograms,
            "classes": dict(zip(self._classes, self._labels.tolist(), strict=True)),
        }
        if self._embedded:
            variance = self._square / max(1, self._embedded - 1)
            out["embedding"] = {
                "count": self._embedded,
                "mean": [float(f"{v:.6g}") for v in self._mean],
                "variance": [float(f"{v:.6g}") for v in variance],
            }
        out["sample"] = stack(self._kept, len(self._classes), moments_of(out)).to_json()
        return out


def moments_of(reference: Mapping[str, Any]) -> Moments | None:
    """Embedding moments of a manifest's reference, or None where the model has no embedding."""
    found = reference.get("embedding")
    if not found:
        return None
    return Moments(np.asarray(found["mean"], np.float64), np.asarray(found["variance"], np.float64))


def observed(
    predictor: Predictor, items: Iterable[tuple[Key, str, Inputs]]
) -> Iterator[tuple[Key, Observation, dict[str, Result]]]:
    """Predict and observe each item (key, group, pictures by input name).

    What is looked at is the first input; of a clip, its newest frame.
    """
    chunk: list[tuple[Key, str, Inputs]] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield from _observed(predictor, chunk)
            chunk = []
    if chunk:
        yield from _observed(predictor, chunk)


def _observed(
    predictor: Predictor, chunk: list[tuple[Key, str, Inputs]]
) -> Iterator[tuple[Key, Observation, dict[str, Result]]]:
    first, spec = next(iter(predictor.signature.inputs.items()))
    placed, frames = predictor.place([inputs for _, _, inputs in chunk])
    outputs = predictor.infer(placed)
    for index, ((key, group, inputs), (matrix, size_wh)) in enumerate(zip(chunk, frames, strict=True)):
        results = assemble(outputs, index, predictor.signature, matrix, size_wh)
        picture = inputs[first][-1] if spec.frames > 1 else inputs[first]
        embedding = outputs["embedding"][index] if "embedding" in outputs else None
        yield key, observe(picture, results, embedding, group=group), results


class Observing:
    """A predictor that hands an observation of every element it answers to `take`; see `AnyPredictor`."""

    def __init__(self, predictor: Predictor, take: Callable[[Observation], None], group: str = "") -> None:
        self._predictor, self._take, self._group = predictor, take, group
        self.signature = predictor.signature

    def predict(self, batch: Sequence[Inputs]) -> list[dict[str, Result]]:
        """Results by task for each element; `take` is called for each before."""
        answers = []
        for _, seen, results in observed(self._predictor, (((), self._group, inputs) for inputs in batch)):
            self._take(seen)
            answers.append(results)
        return answers

    def open_stream(self) -> Stream:
        """A stream that is observed."""
        return Stream(self)
