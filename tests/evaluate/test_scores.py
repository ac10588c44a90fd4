"""Scores: classes agree by name, comparison is paired."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sightline.core.errors import ModelError, UsageError
from sightline.core.records import Annotation, Record
from sightline.core.results import ClassScores, Detections, SemanticMap
from sightline.evaluate.scores import Scores, compare


def no_map(record: Record, task: str) -> Any:
    raise AssertionError("no map is needed")


def labelled(number: int, label: int, group: str = "") -> Record:
    return Record(str(number), "x", (1, 1), (Annotation(label),), group=group)


def test_classes_are_matched_by_name_in_every_kind_of_result() -> None:
    scores = Scores(["classify", "detect"], ("cat", "dog"), answers=("dog", "bird", "cat"))
    assert scores.classes == ("cat", "dog", "bird")
    moved = scores.renumbered(ClassScores(np.array([0.1, 0.2, 0.7]), ("dog", "bird", "cat")))
    assert isinstance(moved, ClassScores) and moved.scores.tolist() == pytest.approx([0.7, 0.1, 0.2])
    boxes = scores.renumbered(
        Detections(np.zeros((2, 4)), np.ones(2), np.array([0, 2]), ("dog", "bird", "cat"))
    )
    assert isinstance(boxes, Detections) and boxes.classes.tolist() == [1, 0]
    pixels = SemanticMap(np.array([[0, 1, 2, 255]], np.uint8), ("dog", "bird", "cat"))
    moved_map = scores.renumbered(pixels)
    assert isinstance(moved_map, SemanticMap) and moved_map.classes.tolist() == [[1, 2, 0, 255]]


def test_no_class_in_common_is_an_error_with_both_lists() -> None:
    with pytest.raises(ModelError, match=r"\['a'\].*\['b'\]"):
        Scores(["detect"], ("b",), answers=("a",))


def test_an_unknown_task_and_an_absent_result_are_named() -> None:
    with pytest.raises(ModelError, match="'smell' has no metrics"):
        Scores(["smell"], ("a",))
    with pytest.raises(ModelError, match="7: gives no result for task 'classify'"):
        Scores(["classify"], ("a",)).add(labelled(7, 0), {}, no_map)


def filled(right: Any, groups: Any) -> Scores:
    scores = Scores(["classify"], ("no", "yes"))
    for number, (ok, group) in enumerate(zip(right, groups, strict=True)):
        row = np.array([0.3, 0.7]) if ok else np.array([0.7, 0.3])
        scores.add(labelled(number, 1, str(group)), {"classify": ClassScores(row, ("no", "yes"))}, no_map)
    return scores


def test_a_small_steady_advantage_is_seen_by_pairing_though_the_intervals_overlap() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(400) < 0.5
    better = hard | (rng.random(400) < 0.06)
    a, b = filled(better, range(400)), filled(hard, range(400))
    one, two = a.estimates(400)[0]["classify.accuracy"], b.estimates(400)[0]["classify.accuracy"]
    assert one.low < two.high
    found = compare(a, b, rounds=400)["classify.accuracy"]
    assert found.better == 1 and found.low > 0 and found.p < 0.05
    assert compare(b, a, rounds=400)["classify.accuracy"].better == -1
    assert compare(a, a, rounds=50)["classify.accuracy"].better == 0


def test_a_lower_error_counts_as_better() -> None:
    groups = range(200)
    right = np.arange(200) % 10 != 0
    worse = np.arange(200) % 2 == 0
    assert compare(filled(right, groups), filled(worse, groups), 100)["classify.nll"].better == 1


def test_different_samples_are_not_compared() -> None:
    a, b = filled([True, False], [0, 1]), filled([True], [0])
    with pytest.raises(UsageError, match="different samples"):
        compare(a, b)
