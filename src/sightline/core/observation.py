"""What drift looks at, of one picture and of many: appearance, answers and embedding, packed small."""

from __future__ import annotations

import base64
import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import PackageError
from sightline.core.results import (
    ClassScores,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)

Array = NDArray[Any]

# Each histogram's edges; values beyond the ends count in the first and last bin.
EDGES: dict[str, Array] = {
    "score": np.linspace(0, 1, 21),
    "brightness": np.linspace(0, 255, 18),
    "contrast": np.linspace(0, 128, 17),
    "sharpness": np.linspace(0, 12, 25),
    "box_size": np.linspace(0, 1, 21),
    "objects": np.array([0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144], float),
}
# One value a picture, and several.
SCALARS = ("brightness", "contrast", "sharpness", "objects")
POOLED = ("score", "box_size")

# Embeddings are compared in so many dimensions, whatever a model's own number is.
PROJECTED = 64
# Of a larger picture every second pixel each way is looked at, or every third...
LOOKED_AT = 4_000_000
# A dense map counts as so many marks, shared out by area.
MAP_MARKS = 1000


class Appearance(NamedTuple):
    """How a picture looks.

    Attributes:
        brightness: mean grey level, 0..255.
        contrast: standard deviation of the grey levels.
        sharpness: log(1 + variance of the Laplacian) (Pech-Pacheco et al. 2000).
    """

    brightness: float
    contrast: float
    sharpness: float


def appearance(picture: Array) -> Appearance:
    """How pixels (H, W, 3) or (H, W) look; 16 bits are read as 8, more than `LOOKED_AT` pixels in steps."""
    step = math.ceil(math.sqrt(max(1, picture.shape[0] * picture.shape[1]) / LOOKED_AT))
    picture = np.ascontiguousarray(picture[::step, ::step])
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    eight = grey.dtype == np.uint8
    scale = 1.0 if eight else 255.0 / 65535.0
    mean, deviation = cv2.meanStdDev(grey)
    _, edge = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S if eight else cv2.CV_64F))
    return Appearance(
        float(mean[0, 0]) * scale,
        float(deviation[0, 0]) * scale,
        float(np.log1p((float(edge[0, 0]) * scale) ** 2)),
    )


@dataclass(frozen=True, slots=True)
class Observation:
    """One picture, as drift sees it.

    Attributes:
        look: how it looks; None where only the answers are known.
        objects: rows kept; -1 for a task without rows.
        score: counts of scores by bin (20,).
        box_size: counts of boxes by the square root of their share of the picture (20,).
        classes: marks by class index.
        embedding: the model's (D,), or None.
        group: video, session or burst it belongs to: pictures of one group are alike.
    """

    look: Appearance | None
    objects: int
    score: Array
    box_size: Array
    classes: Mapping[int, int]
    embedding: Array | None = None
    group: str = ""


def observe(
    picture: Array | None,
    results: Mapping[str, Result],
    embedding: Array | None = None,
    *,
    size_wh: tuple[int, int] = (1, 1),
    group: str = "",
) -> Observation:
    """Observe one picture (H, W, 3) or (H, W), its results by task, and its embedding (D,).

    Without the picture, `size_wh` says how large it was.
    """
    pixels = size_wh[0] * size_wh[1] if picture is None else picture.shape[0] * picture.shape[1]
    seen = _Answers()
    for result in results.values():
        seen.add(result, pixels)
    vector = None if embedding is None else np.asarray(embedding, np.float64).ravel()
    look = None if picture is None else appearance(picture)
    return Observation(look, seen.objects, seen.score, seen.box_size, seen.classes, vector, group)


class _Answers:
    """Counts the rows of one picture's results."""

    def __init__(self) -> None:
        self.objects = -1
        self.score, self.box_size = (binned(name, []) for name in POOLED)
        self.classes: dict[int, int] = {}

    def add(self, result: Result, pixels: int) -> None:
        if isinstance(result, (Detections, Instances)):
            spans = np.maximum(result.boxes[:, 2:] - result.boxes[:, :2], 0)
            self.box_size = self.box_size + binned("box_size", np.sqrt(spans.prod(axis=1) / max(pixels, 1)))
            self._rows(result.scores, result.classes)
        elif isinstance(result, PanopticMap):
            self._rows(result.scores, result.classes)
        elif isinstance(result, ClassScores):
            self.score = self.score + binned("score", result.scores[[result.best]])
            self._label(np.array([result.best]))
        elif isinstance(result, Points):
            self.score = self.score + binned("score", result.visible)
        elif isinstance(result, SemanticMap):
            counts = np.bincount(result.classes.ravel(), minlength=256)[: len(result.names)]
            shares = np.rint(counts / max(1, result.classes.size) * MAP_MARKS)
            shares = np.maximum(shares, counts > 0).astype(np.int64)
            self._label(np.repeat(np.arange(len(shares)), shares))

    def _rows(self, scores: Array, labels: Array) -> None:
        self.objects = max(self.objects, 0) + len(scores)
        self.score = self.score + binned("score", scores)
        self._label(labels)

    def _label(self, labels: Array) -> None:
        for index, count in zip(*np.unique(labels, return_counts=True), strict=True):
            self.classes[int(index)] = self.classes.get(int(index), 0) + int(count)


def binned(name: str, values: Any) -> Array:
    """Counts of values in the bins of `EDGES[name]`."""
    edges = EDGES[name]
    clipped = np.clip(np.asarray(values, np.float64), edges[0], edges[-1])
    return np.asarray(np.histogram(clipped, edges)[0], np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """N pictures, column by column.

    Attributes:
        brightness: (N,) f32, NaN where there was no picture; so `contrast` and `sharpness`.
        objects: (N,) f32, NaN for a task without rows.
        score: (N, 20) u16; so `box_size`.
        classes: (N, C) u16, marks by class.
        embedding: (N, D) f16, centred, scaled and projected; D is 0 where the model has none.
        group: (N,) i32: pictures with one number are of one group.
    """

    brightness: Array
    contrast: Array
    sharpness: Array
    objects: Array
    score: Array
    box_size: Array
    classes: Array
    embedding: Array
    group: Array

    def __len__(self) -> int:
        return len(self.group)

    def take(self, rows: Any) -> Sample:
        """Some of the pictures."""
        return Sample(*(getattr(self, f.name)[rows] for f in fields(self)))

    def to_json(self) -> dict[str, Any]:
        """Plain values: each column as its type, shape and compressed bytes."""
        return {f.name: _packed(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, where: object) -> Sample:
        """Read what `to_json` wrote.

        Raises:
            PackageError: a column is absent or broken, or the columns are of several lengths.
        """
        try:
            columns = [_unpacked(value[f.name]) for f in fields(cls)]
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise PackageError(f"drift reference cannot be read ({error!r})", where=where) from error
        if len({len(column) for column in columns}) != 1:
            raise PackageError("drift reference has columns of several lengths", where=where)
        return cls(*columns)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean (D,) and variance (D,) of a model's embedding over its reference."""

    mean: Array
    variance: Array

    def project(self, embedding: Array) -> Array:
        """Centre embeddings (N, D), scale them by one number, bring them to at most `PROJECTED` dimensions.

        One number, since a scale a dimension would fit the reference closer than anything that comes later.
        A projection with random signs keeps distances (Achlioptas 2003); the signs come from a hash, so
        that they are the same everywhere and need not be stored.

        Raises:
            ValueError: the embeddings are of another length.
        """
        if embedding.shape[1] != len(self.mean):
            raise ValueError(f"embedding of {embedding.shape[1]} values, the reference has {len(self.mean)}")
        scale = np.sqrt(max(float(self.variance.mean()), 1e-12))
        standard = np.nan_to_num((embedding - self.mean) / scale, nan=0.0, posinf=1e4, neginf=-1e4)
        if len(self.mean) <= PROJECTED:
            return np.asarray(standard, np.float32)
        return np.asarray(standard @ _signs(len(self.mean)) / np.sqrt(PROJECTED), np.float32)


def stack(observations: Sequence[Observation], classes: int, moments: Moments | None) -> Sample:
    """Observations as columns; embeddings are left out where the reference has no moments of them."""
    n = len(observations)
    looks = np.array([o.look or (np.nan,) * 3 for o in observations], np.float32).reshape(n, 3)
    objects = np.array([o.objects if o.objects >= 0 else np.nan for o in observations], np.float32)
    marks = np.zeros((n, classes), np.uint16)
    for row, observation in enumerate(observations):
        for index, count in observation.classes.items():
            marks[row, index] = min(count, 65535)
    vectors = [o.embedding for o in observations if o.embedding is not None]
    embedding = np.zeros((n, 0), np.float16)
    if moments is not None and n and len(vectors) == n:
        embedding = moments.project(np.stack(vectors)).astype(np.float16)
    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(o.group or f"\0{i}", len(numbers)) for i, o in enumerate(observations)]
    score, box_size = (
        np.array([getattr(o, name) for o in observations]).reshape(n, -1).clip(0, 65535).astype(np.uint16)
        for name in POOLED
    )
    brightness, contrast, sharpness = looks.T
    group = np.array(groups, np.int32)
    return Sample(brightness, contrast, sharpness, objects, score, box_size, marks, embedding, group)


def _signs(dimensions: int) -> Array:
    """A matrix (D, PROJECTED) of +1 and -1."""
    digest = hashlib.shake_256(b"sightline embedding projection").digest(dimensions * PROJECTED // 8)
    bits = np.unpackbits(np.frombuffer(digest, np.uint8)).reshape(dimensions, PROJECTED)
    return bits.astype(np.float32) * 2 - 1


def _packed(array: Array) -> dict[str, Any]:
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    body = base64.b64encode(zlib.compress(little.tobytes(), 9)).decode()
    return {"dtype": little.dtype.str, "shape": list(little.shape), "zlib": body}


def _unpacked(value: Mapping[str, Any]) -> Array:
    dtype, shape = np.dtype(value["dtype"]), tuple(int(n) for n in value["shape"])
    if dtype.kind not in "fiu":
        raise ValueError(f"type {dtype}")
    size = int(np.prod(shape)) * dtype.itemsize
    unpack = zlib.decompressobj()
    body = unpack.decompress(base64.b64decode(value["zlib"], validate=True), size + 1)
    return np.frombuffer(body, dtype).reshape(shape)
