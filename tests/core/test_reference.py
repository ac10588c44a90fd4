"""Reference distributions: counts add up, moments are the moments."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest

from sightline.core.errors import PackageError
from sightline.core.observation import Appearance, Moments, Observation, Sample, appearance
from sightline.core.reference import Reference, moments_of
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
    assert value["classes"] == {"a": 1 + 250, "b": 3 + 500}  # a map counts as a thousand marks
    assert json.loads(json.dumps(value)) == value


def test_blur_lowers_sharpness_and_sixteen_bits_read_as_eight() -> None:
    import cv2

    bright, contrast, sharp = appearance(PICTURE)
    blurred = appearance(cv2.GaussianBlur(PICTURE, (7, 7), 2))
    assert blurred.sharpness < sharp and blurred.contrast < contrast
    grey = PICTURE[..., 0]
    assert appearance(grey.astype(np.uint16) * 257) == pytest.approx(appearance(grey), rel=1e-3)
    assert 0 < bright < 255


def detections(count: int, random: np.random.Generator) -> Detections:
    boxes = np.sort(random.uniform(0, 40, (count, 2, 2)), axis=1).reshape(count, 4)
    return Detections(boxes, random.uniform(0, 1, count), random.integers(0, 2, count), ("a", "b"))


def test_the_sample_comes_back_as_it_was() -> None:
    random, reference = np.random.default_rng(3), Reference(("a", "b"))
    seen = []
    for index in range(40):
        found, vector = detections(index % 5, random), random.normal(2, 3, 100)
        reference.add(PICTURE, {"detect": found}, vector, group=f"g{index // 4}")
        seen.append((found, vector))
    value = json.loads(json.dumps(reference.to_json()))
    sample = Sample.from_json(value["sample"], where="here")
    assert len(sample) == 40
    assert sample.objects.tolist() == [i % 5 for i in range(40)]
    assert (
        sample.score.sum(axis=1).tolist() == sample.box_size.sum(axis=1).tolist() == sample.objects.tolist()
    )
    assert sample.classes.sum(axis=0).tolist() == list(value["classes"].values())
    assert sample.group.tolist() == [i // 4 for i in range(40)]
    assert np.allclose(sample.brightness, appearance(PICTURE).brightness)
    moments = moments_of(value)
    assert moments is not None
    again = moments.project(np.stack([vector for _, vector in seen]))
    assert sample.embedding.shape == (40, 64)
    assert np.allclose(sample.embedding, again, atol=0.01)


def test_a_projection_keeps_distances_and_dead_dimensions_do_not_explode() -> None:
    vectors = np.random.default_rng(1).normal(0, 1, (60, 500))
    vectors[:, 0] = 7.0
    moments = Moments(vectors.mean(axis=0), vectors.var(axis=0, ddof=1))
    odd = vectors[:30].copy()
    odd[:, 0] = 7.1
    assert np.isfinite(moments.project(odd)).all() and abs(moments.project(odd)).max() < 15
    small = moments.project(vectors)
    full = (vectors - vectors.mean(axis=0))[:, 1:]
    near = np.linalg.norm(full[:30] - full[30:], axis=1)
    found = np.linalg.norm(small[:30] - small[30:], axis=1)
    assert 0.8 < np.median(found / near) < 1.2
    with pytest.raises(ValueError, match="500"):
        moments.project(np.zeros((1, 3)))


def test_a_long_validation_set_is_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.core.reference.KEPT", 50)
    reference, none = Reference(("a",)), np.zeros(20, np.int64)
    for index in range(1000):
        reference.take(Observation(Appearance(index / 4, 1, 1), -1, none, none, {}))
    sample = Sample.from_json(reference.to_json()["sample"], where="here")
    assert len(sample) == 50
    assert 95 < sample.brightness.mean() < 155


@pytest.mark.parametrize("fault", ["gone", "short", "type", "bomb"])
def test_a_broken_sample_is_refused(fault: str) -> None:
    reference = Reference(("a",))
    reference.add(PICTURE, {})
    value = reference.to_json()["sample"]
    if fault == "gone":
        del value["score"]
    elif fault == "type":
        value["score"]["dtype"] = "O"
    elif fault == "short":
        value["brightness"]["shape"] = [2]
    else:
        value["brightness"]["zlib"] = base64.b64encode(zlib.compress(b"\0" * 10**7)).decode()
    with pytest.raises(PackageError, match="drift reference"):
        Sample.from_json(value, where="here")


def test_a_large_picture_is_looked_at_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    small = np.repeat(np.repeat(PICTURE, 2, axis=0), 2, axis=1)
    monkeypatch.setattr("sightline.core.observation.LOOKED_AT", PICTURE.shape[0] * PICTURE.shape[1])
    assert appearance(small) == pytest.approx(appearance(PICTURE))
