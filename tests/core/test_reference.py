"""Reference distributions: counts add up, moments are the moments."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sightline.core.reference import Reference, appearance
from sightline.core.results import ClassScores, DepthMap, Detections, Points, SemanticMap

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (40, 60, 3)).astype(np.uint8)


def test_embedding_moments_are_mean_and_variance() -> None:
    reference, vectors = Reference(()), RANDOM.normal(3, 2, (50, 4))
    for vector in vectors:
        reference.add(PICTURE, {}, vector)
    found = reference.to_json()["embedding"]
    assert np.allclose(found["mean"], vectors.mean(axis=0), rtol=1e-4)
    assert np.allclose(found["variance"], vectors.var(axis=0, ddof=1), rtol=1e-4)


def test_every_row_is_counted_once() -> None:
    reference = Reference(("a", "b"))
    boxes = np.array([[0, 0, 30, 20], [0, 0, 60, 40], [5, 5, 6, 6]])
    reference.add(PICTURE, {"detect": Detections(boxes, [0.9, 1.0, 0.0], [0, 1, 1], ("a", "b"))})
    reference.add(PICTURE, {"classify": ClassScores([0.2, 0.8], ("a", "b"))})
    reference.add(PICTURE, {"locate": Points([[1, 1]], [0.5], ("a",))})
    reference.add(PICTURE, {"segment": SemanticMap([[0, 255], [1, 1]], ("a", "b"))})
    reference.add(PICTURE, {"depth": DepthMap(np.ones((2, 2)))})
    value = reference.to_json()
    assert value["pictures"] == 5
    assert sum(value["histograms"]["score"]["counts"]) == 5
    assert sum(value["histograms"]["box_size"]["counts"]) == 3
    assert sum(value["histograms"]["brightness"]["counts"]) == 5
    assert value["classes"] == {"a": 2, "b": 5}
    assert json.loads(json.dumps(value)) == value


def test_blur_lowers_sharpness_and_sixteen_bits_read_as_eight() -> None:
    import cv2

    bright, sharp = appearance(PICTURE)
    assert appearance(cv2.GaussianBlur(PICTURE, (7, 7), 2))[1] < sharp
    grey = PICTURE[..., 0]
    assert appearance(grey.astype(np.uint16) * 257) == pytest.approx(appearance(grey), rel=1e-3)
    assert 0 < bright < 255
