"""Causes of detection errors, one planted at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.coco_reference import random_pictures
from sightline.core.records import Annotation, Record
from sightline.core.results import Detections
from sightline.evaluate.errors import CAUSES, HIT, SPARE, Errors
from sightline.evaluate.metrics.detect import Detect

NAMES = ("cat", "dog")
CAT, DOG = (0.0, 0.0, 100.0, 100.0), (300.0, 300.0, 400.0, 400.0)


def errors_of(*answers: tuple[tuple[float, float, float, float], float, int], crowd: bool = False) -> Errors:
    """One picture with a cat and a dog, and answers of (box, score, class)."""
    record = Record("1", "x", (640, 480), (Annotation(0, box=CAT, crowd=crowd), Annotation(1, box=DOG)))
    boxes, scores, labels = (np.array(c) for c in zip(*answers, strict=True))
    family = Detect(NAMES)
    family.add(record, Detections(boxes, scores, labels, NAMES), lambda *_: np.zeros(0))
    return family.errors()


def shifted(box: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    return (box[0] + by, box[1], box[2] + by, box[3])


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((CAT, 0.8, 0), "duplicate"),
        ((DOG, 0.8, 0), "class"),
        ((shifted(CAT, 60), 0.8, 0), "localisation"),
        ((shifted(DOG, 60), 0.8, 0), "both"),
        (((500.0, 0.0, 600.0, 50.0), 0.8, 0), "background"),
    ],
)
def test_each_planted_error_gets_its_cause(answer: Any, cause: str) -> None:
    errors = errors_of((CAT, 0.9, 0), answer)
    assert errors.cause.tolist()[0] == HIT
    assert CAUSES[int(errors.cause[1])] == cause
    assert errors.missed.tolist() == [False, cause != "class"]


def test_mending_a_wrong_class_wins_the_object_and_its_price_is_the_gain() -> None:
    errors = errors_of((CAT, 0.9, 0), (DOG, 0.8, 0))
    assert errors.ap50 == pytest.approx(0.5)
    assert errors.price["class"] == pytest.approx(0.5)
    assert errors.price["localisation"] == errors.price["duplicate"] == 0.0


def test_a_false_alarm_above_the_hit_costs_and_a_missed_object_costs_its_class() -> None:
    alarm = (500.0, 0.0, 600.0, 50.0)
    errors = errors_of((alarm, 0.95, 0), (CAT, 0.9, 0))
    assert errors.price["background"] == pytest.approx(0.25)
    # Without the dog there is one class, and it stands at one half.
    assert errors.ap50 == pytest.approx(0.25)
    assert errors.price["missed"] == pytest.approx(0.25)


def test_what_answers_a_crowd_is_no_error() -> None:
    errors = errors_of((CAT, 0.9, 0), (shifted(CAT, 5), 0.8, 0), crowd=True)
    assert errors.cause.tolist() == [SPARE, SPARE]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_prices_stay_in_bounds_and_the_base_is_the_ap50_of_the_metrics(seed: int) -> None:
    records, results = random_pictures(seed, 6, 3)
    family = Detect(("c0", "c1", "c2"))
    for record, result in zip(records, results, strict=True):
        family.add(record, result, lambda *_: np.zeros(0))
    if not any(not a.crowd for r in records for a in r.annotations):
        return
    errors = family.errors()
    assert errors.ap50 == pytest.approx(family.single()["map50"], abs=1e-9)
    for name, price in errors.price.items():
        low = -1.0 if name in ("missed", "false_negatives") else -1e-9
        assert low <= price <= 1 - errors.ap50 + 1e-9, name
    assert (errors.found & errors.missed).sum() == 0
    counted = errors.counts(family.scene().dets, 0.0)
    assert sum(counted.values()) - counted["missed"] == int((errors.cause < HIT).sum())
