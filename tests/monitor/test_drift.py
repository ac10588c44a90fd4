"""Drift: what moved is found and named, what did not is left alone at the stated rate."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.worlds import CLASSES, baseline, window, world
from sightline.core.errors import PackageError, UsageError
from sightline.core.manifest import Manifest
from sightline.core.observation import observe, stack
from sightline.core.reference import Reference
from sightline.core.results import ClassScores
from sightline.monitor.drift import Baseline, compare
from sightline.monitor.report import DriftReport

BASE = baseline(world(120, 1))


@pytest.mark.parametrize(
    ("moved", "statistic", "words"),
    [
        ({"bright": 0.75}, "brightness", "pictures are 2[3-7]% darker"),
        ({"blur": 1.4}, "sharpness", "blurrier: fine detail at (half|49% of|50% of) its usual strength"),
        (
            {"shares": (0.8, 0.12, 0.025)},
            "classes",
            "class plate at (a third|a quarter|..%) of its usual share",
        ),
        ({"shares": (0.8, 0.12, 0.0)}, "classes", r"class plate is gone \(usually [5-9]\.\d% of all\)$"),
        ({"rate": 6}, "objects", r"fewer objects in a picture \([56]\.\d, usually 1[12]\.\d\)"),
        ({"score": 0.2}, "score", "scores are lower"),
        ({"shift": 0.5}, "embedding", "look different to the model"),
        ({"rate": 0}, "score", "nothing is found any more"),
    ],
)
def test_what_moved_is_found_and_named(moved: dict[str, float], statistic: str, words: str) -> None:
    report = compare(BASE, window(BASE, world(64, 2, **moved)))
    assert report.drifted and report.row(statistic).drifted
    assert report.row(statistic).size >= report.row(statistic).limit
    assert any(re.search(words, said) for said in report.sentences), report.sentences


def test_windows_of_the_same_world_are_flagged_no_oftener_than_stated() -> None:
    pool, random, flagged, windows = window(BASE, world(1000, 3)), np.random.default_rng(0), 0, 150
    for index in range(windows):
        rows = random.choice(len(pool), 110, replace=False)
        base = replace(BASE, sample=pool.take(rows[:60]))
        flagged += compare(base, pool.take(rows[60:]), alpha=0.2, rounds=99, seed=index).drifted
    # A binomial of 150 at 0.1 (half of 0.2): 4 standard deviations over it would be a fault of the method.
    assert 3 < flagged < 15 + 4 * (150 * 0.1 * 0.9) ** 0.5


def test_frames_of_alike_groups_are_not_taken_as_independent() -> None:
    flagged_alone, flagged_in_groups = 0, 0
    for seed in range(8):
        base = replace(BASE, sample=window(BASE, world(320, 100 + seed, group=8)))
        seen = window(BASE, world(64, 500 + seed, group=8))
        flagged_in_groups += compare(base, seen, alpha=0.1, rounds=99).drifted
        alone = replace(base, sample=replace(base.sample, group=np.arange(320)))
        flagged_alone += compare(alone, seen, alpha=0.1, rounds=99).drifted
    assert flagged_in_groups <= 2 < flagged_alone


def test_a_reference_of_few_groups_says_so() -> None:
    base = baseline(world(120, 5, group=30))
    assert "4 groups only" in compare(base, window(base, world(40, 6))).notes[0]


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 5))
def test_the_order_of_the_pictures_does_not_matter(random: object, seed: int) -> None:
    seen = world(40, seed)
    shuffled = list(seen)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (compare(BASE, window(BASE, s), alpha=0.1, rounds=99) for s in (seen, shuffled))
    for row in first.rows:
        other = second.row(row.statistic)
        assert other.size == pytest.approx(row.size, abs=1e-5)
        assert (other.was, other.now) == (pytest.approx(row.was), pytest.approx(row.now))


def test_the_reference_itself_has_not_drifted() -> None:
    report = compare(BASE, BASE.sample)
    assert not report.drifted and not report.sentences
    assert all(row.size < 1e-3 for row in report.rows)


def test_less_contrast_is_not_told_as_blur_too() -> None:
    dim = [
        replace(
            seen,
            look=seen.look._replace(contrast=seen.look.contrast * 0.7, sharpness=seen.look.sharpness - 0.7),
        )
        for seen in world(64, 4)
        if seen.look
    ]
    report = compare(BASE, window(BASE, dim))
    assert report.row("sharpness").drifted and report.row("contrast").drifted
    assert [said.split()[0] for said in report.sentences] == ["contrast"]


def test_what_is_the_same_in_all_pictures_cannot_drift() -> None:
    alike = [replace(seen, objects=10) for seen in world(100, 7)]
    base = baseline(alike[:60])
    report = compare(base, window(base, alike[60:]), rounds=199)
    assert not report.drifted
    assert report.row("objects").size == pytest.approx(0, abs=1e-6) and report.row("objects").p == 1


def test_a_report_comes_back_from_json() -> None:
    report = compare(BASE, window(BASE, world(40, 2, bright=0.7)), source="cam")
    value = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert value["drifted"] is True and value["sentences"] == list(report.sentences)
    assert DriftReport.from_json(value) == report


def test_answers_alone_are_compared_without_pictures() -> None:
    seen = [
        observe(None, {"classify": ClassScores([0.2, 0.7, 0.1], CLASSES)}, size_wh=(64, 48))
        for _ in range(30)
    ]
    report = compare(BASE, stack(seen, 3, BASE.moments))
    assert {row.statistic for row in report.rows} == {"score", "box_size", "classes"}
    assert sum("was not compared" in note for note in report.notes) == 5
    assert "class white" in " ".join(report.sentences)


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(UsageError, match="19 pictures are too few"):
        compare(BASE, window(BASE, world(19, 1)))
    with pytest.raises(UsageError, match=r"cannot show a rate of 0\.001"):
        compare(BASE, window(BASE, world(20, 1)), alpha=0.001, rounds=999)


def test_a_package_without_a_usable_reference_is_refused() -> None:
    with pytest.raises(PackageError, match="holds no reference"):
        Baseline.of(Manifest("cells", "1", {}))
    reference = Reference(CLASSES)
    for seen in world(12, 1):
        reference.take(seen)
    with pytest.raises(PackageError, match="holds 12 pictures, drift needs 30"):
        Baseline.of(Manifest("cells", "1", {}, reference=reference.to_json()))
