"""What a model saw and said on its validation set, as histograms and moments that drift is measured
against. Edges are fixed, so that any two summaries can be compared bin by bin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.results import (
    ClassScores,
    DepthMap,
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
    "sharpness": np.linspace(0, 12, 25),
    "box_size": np.linspace(0, 1, 21),
    "objects": np.array([0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144], float),
}


class Reference:
    """Collects distributions one picture at a time.

    `score` (0..1) and `class` are of the answers, `box_size` is the square root of a box's share of the
    picture, `objects` the number of rows kept, `brightness` the mean grey level (0..255), `sharpness`
    the natural logarithm of 1 + the variance of the Laplacian (Pech-Pacheco et al. 2000); `embedding`
    holds each dimension's mean and variance (Welford 1962, merged one at a time).
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._counts = {name: np.zeros(len(edges) - 1, np.int64) for name, edges in EDGES.items()}
        self._labels = np.zeros(len(classes), np.int64)
        self._pictures = 0
        self._embedded = 0
        self._mean: Array = np.zeros(0)
        self._square: Array = np.zeros(0)

    def add(self, picture: Array, results: Mapping[str, Result], embedding: Array | None = None) -> None:
        """Count one picture (H, W, 3) or (H, W), its results by task, and its embedding (D,)."""
        self._pictures += 1
        brightness, sharpness = appearance(picture)
        self._count("brightness", [brightness])
        self._count("sharpness", [sharpness])
        for result in results.values():
            self._answers(result, picture.shape[0] * picture.shape[1])
        if embedding is not None:
            self._embed(np.asarray(embedding, np.float64))

    def _answers(self, result: Result, pixels: int) -> None:
        if isinstance(result, (Detections, Instances)):
            spans = np.maximum(result.boxes[:, 2:] - result.boxes[:, :2], 0)
            self._count("box_size", np.sqrt(spans.prod(axis=1) / max(pixels, 1)))
            self._count("objects", [len(result)])
            self._rows(result.scores, result.classes)
        elif isinstance(result, PanopticMap):
            self._count("objects", [len(result.scores)])
            self._rows(result.scores, result.classes)
        elif isinstance(result, ClassScores):
            self._rows(result.scores[[result.best]], np.array([result.best]))
        elif isinstance(result, Points):
            self._count("score", result.visible)
        elif isinstance(result, SemanticMap):
            self._labels += np.bincount(result.classes.ravel(), minlength=256)[: len(self._labels)]
        else:
            assert isinstance(result, DepthMap)

    def _rows(self, scores: Array, labels: Array) -> None:
        self._count("score", scores)
        self._labels += np.bincount(labels, minlength=len(self._labels))

    def _count(self, name: str, values: Any) -> None:
        edges = EDGES[name]
        clipped = np.clip(np.asarray(values, np.float64), edges[0], edges[-1])
        self._counts[name] += np.histogram(clipped, edges)[0]

    def _embed(self, vector: Array) -> None:
        if not self._embedded:
            self._mean, self._square = np.zeros_like(vector), np.zeros_like(vector)
        self._embedded += 1
        delta = vector - self._mean
        self._mean = self._mean + delta / self._embedded
        self._square = self._square + delta * (vector - self._mean)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a manifest: edges and counts by name, counts by class, embedding moments."""
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
        return out


def appearance(picture: Array) -> tuple[float, float]:
    """Mean grey level 0..255, and log(1 + variance of the Laplacian), of pixels (H, W[, 3])."""
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    scale = 1.0 if grey.dtype == np.uint8 else 255.0 / 65535.0
    laplacian = cv2.Laplacian(grey, cv2.CV_64F)
    return float(grey.mean()) * scale, float(np.log1p(laplacian.var() * scale * scale))
