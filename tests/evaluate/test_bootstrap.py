"""Intervals: they cover what they promise, follow groups, and repeat by their seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sightline.core.records import Annotation, Record
from sightline.core.results import ClassScores
from sightline.evaluate.bootstrap import draws, interval, resampled
from sightline.evaluate.metrics.classify import Classify

NAMES = ("no", "yes")


def no_map(record: Record, task: str) -> Any:
    raise AssertionError("labels need no map")


def right_or_wrong(right: Any) -> Classify:
    family = Classify(NAMES)
    for number, ok in enumerate(right):
        scores = np.array([0.3, 0.7]) if ok else np.array([0.7, 0.3])
        family.add(Record(str(number), "x", (1, 1), (Annotation(1),)), ClassScores(scores, NAMES), no_map)
    return family


def test_the_interval_covers_a_known_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        family = right_or_wrong(rng.random(150) < 0.7)
        groups = [str(i) for i in range(150)]
        low, high = interval(resampled(family, groups, 200, trial)["accuracy"])
        covered += bool(low <= 0.7 <= high)
    assert 0.90 <= covered / 200 <= 0.985


def test_whole_groups_are_drawn_and_widen_the_interval() -> None:
    # Ten videos, all frames of one alike: there is ten samples' worth of evidence, not a thousand.
    right = np.repeat(np.arange(10) % 2 == 0, 100)
    family = right_or_wrong(right)
    alone = interval(resampled(family, [str(i) for i in range(1000)], 300, 0)["accuracy"])
    grouped = interval(resampled(family, [str(i // 100) for i in range(1000)], 300, 0)["accuracy"])
    assert grouped[1] - grouped[0] > 5 * (alone[1] - alone[0])


def test_each_draw_takes_as_many_groups_as_there_are_and_gives_members_one_weight() -> None:
    groups = ["a", "a", "b", "c", "c", "c"]
    weights = np.concatenate(list(draws(groups, 300, seed=1)), axis=1)
    assert weights.shape == (6, 300)
    assert (weights[0] == weights[1]).all() and (weights[3] == weights[5]).all()
    assert (weights[[0, 2, 3]].sum(axis=0) == 3).all()


def test_equal_seeds_give_equal_rounds_and_another_seed_others() -> None:
    groups = [str(i) for i in range(50)]
    one, same, other = (np.concatenate(list(draws(groups, 20, seed=s)), axis=1) for s in (4, 4, 5))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_an_interval_leaves_out_rounds_without_the_figure() -> None:
    low, high = interval(np.array([[1.0, np.nan, 1.0], [np.nan, np.nan, np.nan]]))
    assert low[0] == high[0] == 1.0
    assert np.isnan(low[1]) and np.isnan(high[1])


def test_a_thousand_rounds_agree_with_the_normal_approximation() -> None:
    family = right_or_wrong(np.arange(400) % 4 != 0)
    low, high = interval(resampled(family, [str(i) for i in range(400)], 1000, 0)["accuracy"])
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
