"""The modes of a coarse-to-fine locator, played on scripts: what is asked for, and what is answered."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.scripts import VIEW, Truth, play, straight
from sightline.core.errors import PackageError
from sightline.runtime.locating import (
    XY,
    Calibration,
    Coarse,
    Each,
    Fast,
    Fine,
    Outcome,
    Seen,
    Smart,
    corners,
    settings_of,
    turn_degrees,
)


def test_each_frame_alone_takes_both_stages_at_the_coarse_place() -> None:
    outcomes, asked = play(Each(), straight, 3)
    assert asked == ["cf"] * 3
    assert [o.seen.xy for o in outcomes] == [straight(i) for i in range(3)]
    assert all(o.coarse == 1 and o.fine == 1 for o in outcomes)


def test_calibration_reads_three_corners_and_takes_the_vote_of_all_models() -> None:
    outcomes, asked = play(Calibration(), straight, 2, models=2)
    assert asked == ["cvvv"] * 2
    assert outcomes[1].seen == Seen(straight(1), pytest.approx(0.9))
    assert outcomes[1].fine == 6


def test_corners_lie_on_a_circle_over_the_sides_and_inside_the_window() -> None:
    for x, y in corners((500, 250), 0.06, (1920, 1080)):
        assert math.hypot((x - 500) / 1920, (y - 250) / 1080) == pytest.approx(0.06)
        assert abs(x - 500) < 112 and abs(y - 250) < 112


@pytest.mark.parametrize(
    ("scores", "in_sight"),
    [((0.9, 0.9, 0.1), True), ((0.9, 0.1, 0.1), False), ((0.9, 0.9, 0.1, 0.1, 0.1, 0.9), False)],
)
def test_a_vote_needs_more_than_half(scores: tuple[float, ...], in_sight: bool) -> None:
    plan = Calibration().plan(Calibration().start(VIEW), 1)
    assert next(plan) == Coarse()
    ask = plan.send((Seen((500, 250), 0.7),))
    assert isinstance(ask, Fine) and ask.vote
    with pytest.raises(StopIteration) as end:
        plan.send(tuple(Seen((400.0 + i, 200.0), score) for i, score in enumerate(scores)))
    outcome: Outcome = end.value.value
    assert (outcome.seen.score >= 0.5) is in_sight
    if not in_sight:
        assert outcome.seen.xy == (500, 250)


def test_one_corner_that_saw_something_else_does_not_move_the_point() -> None:
    plan = Calibration().plan(Calibration().start(VIEW), 1)
    next(plan)
    plan.send((Seen((500, 250), 0.7),))
    with pytest.raises(StopIteration) as end:
        plan.send((Seen((500, 250), 0.9), Seen((502, 252), 0.9), Seen((590, 300), 0.9)))
    assert end.value.value.seen.xy == (502, 252)


def test_fast_reads_one_window_at_the_last_point_and_calibrates_every_k_frames() -> None:
    outcomes, asked = play(Fast(every=4), straight, 9)
    assert asked == ["cvvv", "f", "f", "f", "cvvv", "f", "f", "f", "cvvv"]
    assert [o.seen.xy for o in outcomes] == [straight(i) for i in range(9)]


def test_fast_looks_where_it_looked_last_even_when_nothing_is_there() -> None:
    outcomes, asked = play(Fast(every=100), lambda i: straight(0) if i == 0 else (900.0, 400.0), 4)
    assert asked == ["cvvv", "f", "f", "f"]
    assert all(o.seen.score < 0.5 and o.seen.xy == straight(0) for o in outcomes[1:])


SLOW = Smart(every=1000)


def test_smart_is_fast_while_all_goes_well() -> None:
    _, asked = play(SLOW, straight, 6)
    assert asked == ["cvvv", *["f"] * 5]


def test_smart_calibrates_a_frame_that_is_newly_invisible() -> None:
    _, asked = play(SLOW, lambda i: straight(i) if i < 3 else None, 5)
    assert asked == ["cvvv", "f", "f", "fcvvv", "f"]


def test_smart_calibrates_after_so_many_invisible_frames_in_a_row() -> None:
    _, asked = play(replace(SLOW, invisible=3), lambda i: straight(i) if i < 2 else None, 6)
    assert asked == ["cvvv", "f", "fcvvv", "f", "fcvvv", "fcvvv"]


def test_smart_calibrates_on_a_jump() -> None:
    _, asked = play(SLOW, lambda i: (200.0 + (i >= 2) * 31, 250.0), 4)
    assert asked == ["cvvv", "f", "fcvvv", "f"]
    _, asked = play(SLOW, lambda i: (200.0 + (i >= 2) * 29, 250.0), 4)
    assert asked == ["cvvv", "f", "f", "f"]


def test_smart_calibrates_on_a_turn() -> None:
    def bent(degrees: float) -> Truth:
        # Steps over the picture's sides: twice as wide as high.
        dx, dy = 10 * math.cos(math.radians(degrees)), 5 * math.sin(math.radians(degrees))
        return lambda i: (200.0 + 10 * min(i, 2) + dx * max(0, i - 2), 250.0 + dy * max(0, i - 2))

    assert play(SLOW, bent(14), 4)[1] == ["cvvv", "f", "f", "f"]
    assert play(SLOW, bent(16), 4)[1] == ["cvvv", "f", "f", "fcvvv"]


def test_smart_withdraws_six_frames_of_which_four_were_calibrations() -> None:
    def leaping(frame: int) -> XY:
        return 200.0 + 40 * frame, 250.0

    outcomes, asked = play(SLOW, leaping, 6)
    assert asked == ["cvvv", *["fcvvv"] * 5]
    assert [o.withdrawn for o in outcomes] == [0, 0, 0, 4, 5, 6]


def test_smart_withdraws_nothing_where_calibrations_are_far_apart() -> None:
    outcomes, _ = play(Smart(every=3), straight, 12)
    assert [o.withdrawn for o in outcomes] == [0] * 12


def test_a_turn_of_no_step_is_no_turn() -> None:
    assert turn_degrees((0, 0), (1, 0)) == 0
    assert turn_degrees((1, 0), (0, 1)) == pytest.approx(90)
    assert turn_degrees((1, 0), (-1, 0)) == pytest.approx(180)


@given(st.floats(-180, 180), st.floats(0.1, 10), st.floats(0.1, 10))
def test_turns_do_not_depend_on_the_lengths_of_the_steps(degrees: float, a: float, b: float) -> None:
    turn = (b * math.cos(math.radians(degrees)), b * math.sin(math.radians(degrees)))
    assert turn_degrees((a, 0.0), turn) == pytest.approx(abs(degrees), abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"evry": 3}, r"no setting 'evry'.*every"), ({"every": "3"}, "number"), ({"every": True}, "number")],
)
def test_settings_that_are_not_a_modes_own_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        settings_of(Fast, settings)
    assert settings_of(Fast, {"every": 3}) == Fast(every=3)
