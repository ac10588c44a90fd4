"""`track` on scripts: where it looks, when it calls for the coarse stage, and how it comes back."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.scripts import VIEW, play, straight
from sightline.runtime.following import Followed, Motion, Track
from sightline.runtime.locating import XY, Coarse, Fine, Outcome, Seen, View

NEVER = 10_000


def track(**settings: float) -> Track:
    plain = {"check_every": 0, "lost_every": 1, "fall": 0.0, "drag": 0.0, "rest_every": 0}
    return Track(**(plain | settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("lag", [1, 2])
def test_what_moves_steadily_is_found_once_and_then_read_in_one_window_a_frame(lag: int) -> None:
    outcomes, asked = play(track(lag=lag), straight, 8)
    assert asked == ["cf"] * lag + ["f"] * (8 - lag)
    assert [o.seen.xy for o in outcomes] == [straight(i) for i in range(8)]


def test_the_window_lies_where_the_motion_leads_and_not_at_the_last_point() -> None:
    mode = track(lag=1)
    state = mode.start(VIEW)
    for i in range(4):
        plan = mode.plan(state, 1)
        try:
            ask = next(plan)
            while True:
                if isinstance(ask, Fine) and i >= 2:
                    assert ask.centres[0] == pytest.approx((200.0 + 40 * i, 250.0))
                ask = plan.send((Seen((200.0 + 40 * i, 250.0), 0.9),))
        except StopIteration as end:
            state = mode.after(state, end.value)


def test_what_leaps_out_of_its_window_is_found_by_the_coarse_stage_in_the_same_frame() -> None:
    outcomes, asked = play(track(lag=1), lambda i: straight(i) if i < 4 else (700.0, 100.0), 6)
    assert asked == ["cf", "f", "f", "f", "fcf", "f"]
    assert outcomes[4].seen.xy == (700.0, 100.0)
    assert outcomes[5].seen.score > 0.5


def test_an_answer_near_the_windows_edge_is_read_again_about_itself() -> None:
    outcomes, asked = play(track(lag=1), lambda i: (200.0 + (i == 3) * 105, 250.0), 4)
    assert asked == ["cf", "f", "f", "ff"]
    assert outcomes[3].seen.xy == (305.0, 250.0)


def test_what_is_gone_is_expected_for_a_while_and_then_looked_for_at_a_bounded_rate() -> None:
    mode = track(lag=1, patience=3, lost_every=4)
    outcomes, asked = play(mode, lambda i: straight(i) if i < 4 else None, 20)
    assert asked[4:8] == ["fc"] * 4
    assert asked[8:] == ["c", "", "", ""] * 3
    assert all(o.seen.score < 0.5 for o in outcomes[4:])


def test_doubt_can_be_answered_at_a_bounded_rate_too() -> None:
    _, asked = play(track(lag=1, patience=6, doubt_every=2), lambda i: straight(i) if i < 4 else None, 8)
    assert asked[4:] == ["fc", "f", "fc", "f"]


def test_a_short_occlusion_is_bridged_by_the_prediction() -> None:
    mode = track(lag=1, patience=4, doubt_every=NEVER)
    outcomes, asked = play(mode, lambda i: None if i in (5, 6) else straight(i), 10)
    assert asked[5:] == ["f"] * 5
    assert [o.seen.score > 0.5 for o in outcomes[5:]] == [False, False, True, True, True]


def test_it_is_found_again_where_it_comes_back() -> None:
    def gone(frame: int) -> XY | None:
        return straight(0) if frame < 2 else None if frame < 12 else (800.0, 400.0)

    outcomes, _ = play(track(lag=1, lost_every=2), gone, 16)
    assert [o.seen.score > 0.5 for o in outcomes[12:]] == [True] * 4


def test_a_check_by_the_coarse_stage_leaves_something_false_that_was_followed() -> None:
    mode = track(lag=1, check_every=5)
    state, frames = mode.start(VIEW), []
    for _ in range(12):
        plan = mode.plan(state, 1)
        try:
            ask = next(plan)
            while True:
                if isinstance(ask, Coarse):
                    reply = Seen((800.0, 400.0), 0.9)
                else:
                    true = math.dist(ask.centres[0], (800, 400)) < 112
                    reply = Seen((800.0, 400.0), 0.9) if true else Seen((200.0, 250.0), 0.6)
                ask = plan.send((reply,))
        except StopIteration as end:
            frames.append(end.value)
            state = mode.after(state, end.value)
        if len(frames) == 1:
            state = mode.after(mode.start(VIEW), type(frames[0])(Seen((200.0, 250.0), 0.6)))
    assert [frame.seen.xy[0] for frame in frames[1:6]] == [200.0] * 4 + [800.0]
    assert [frame.coarse for frame in frames[1:]] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]


def test_what_flies_out_is_expected_at_the_edge_of_the_picture() -> None:
    mode = track(lag=1, doubt_every=NEVER)
    state = mode.start(VIEW)
    for y in (90.0, 10.0):
        state = mode.after(state, type(play(mode, straight, 1)[0][0])(Seen((500.0, y), 0.9)))
    assert next(mode.plan(state, 1)) == Fine(((500.0, 0.0),))


@given(st.floats(-500, 500), st.floats(-500, 500), st.integers(1, 30))
def test_drag_slows_and_never_turns_a_motion(vx: float, vy: float, frames: int) -> None:
    moved = Motion((0.0, 0.0), (vx, vy)).after(frames, 0.01, 0.0)
    assert math.hypot(*moved.velocity) <= math.hypot(vx, vy) + 1e-9
    assert moved.velocity[0] * vx >= 0 and moved.velocity[1] * vy >= 0


@given(st.floats(0, 0.05), st.floats(-1, 1), st.integers(1, 9), st.integers(1, 9))
def test_two_predictions_in_a_row_are_one_of_their_sum(drag: float, fall: float, a: int, b: int) -> None:
    start = Motion((10.0, 20.0), (30.0, -40.0))
    assert start.after(a, drag, fall).after(b, drag, fall) == start.after(a + b, drag, fall)


def test_one_answer_sets_the_velocity_where_it_was_unknown() -> None:
    corrected = Motion((100.0, 100.0)).after(2, 0.0, 0.0).corrected((120.0, 90.0), 2, 1.0)
    assert corrected == Motion((120.0, 90.0), (10.0, -5.0))


def asked_of(mode: Track, coarse: Seen, fine: dict[int, Seen], frames: int) -> tuple[list[str], list[float]]:
    """What `mode` asks where the coarse stage always says the same and the fine one as scripted by frame,
    from frame 0 on about (300, 200): `c`, `f` there, `r` elsewhere; and the scores of its answers.
    """
    state, asked, scores = mode.start(VIEW), [], []
    for frame in range(frames):
        plan, letters = mode.plan(state, 1), ""
        try:
            ask = next(plan)
            while True:
                if isinstance(ask, Coarse):
                    letters, reply = letters + "c", coarse
                else:
                    (centre,) = ask.centres
                    there = math.dist(centre, (300, 200)) < 20
                    letters += "f" if there else "r"
                    reply = fine.get(frame, Seen(centre, 0.05)) if there else Seen(centre, 0.05)
                ask = plan.send((reply,))
        except StopIteration as end:
            state = mode.after(state, end.value)
            scores.append(end.value.seen.score)
        asked.append(letters)
    return asked, scores


HERE, NOTHING = Seen((300.0, 200.0), 0.9), Seen((500.0, 250.0), 0.1)


def resting(**settings: float) -> tuple[list[str], list[float]]:
    """Found at 0 to 2, unseen by the fine stage until 12 and by the coarse one for good."""
    fine = {frame: HERE for frame in range(20) if not 3 <= frame < 12}
    mode = track(lag=1, patience=2, lost_every=2, **settings)

    class Begun(Track):
        """Found already."""

        def start(self, view: View) -> Followed:
            return Followed(view, Motion(HERE.xy), 0, False, 0, HERE.xy)

    return asked_of(Begun(**asdict(mode)), NOTHING, fine, 20)


def test_what_came_to_rest_is_looked_for_where_it_was_while_the_coarse_stage_is_silent() -> None:
    asked, scores = resting(rest_every=2)
    assert asked[:3] == ["f"] * 3 and asked[3:6] == ["fc"] * 3
    assert asked[6:12] == ["", "cf", "", "c", "", "cf"]  # frames 8 and 12 of the film: every second look
    assert asked[12:16] == ["", "c", "", "cf"] and scores[15:] == [0.9] * 5 and asked[16:] == ["f"] * 4


def test_without_such_looks_what_rests_is_never_found_again() -> None:
    asked, scores = resting(rest_every=0)
    assert not any("f" in letters for letters in asked[6:]) and max(scores[6:]) < 0.5


def test_a_place_that_was_not_sure_is_not_returned_to() -> None:
    unsure = {0: Seen((300.0, 200.0), 0.6)}
    mode = track(lag=1, patience=1, rest_every=1)
    asked, _ = asked_of(mode, Seen((300.0, 200.0), 0.1), unsure, 8)
    assert not any("f" in letters for letters in asked)


def test_an_answer_off_the_motion_is_checked_by_the_coarse_stage_unless_it_had_looked() -> None:
    mode = track(lag=1)
    moving = Followed(VIEW, Motion((300.0, 200.0), (10.0, 0.0)), 0, True, 5)
    cases = ((20, False, False), (60, False, True), (60, True, False), (200, False, True))
    for away, calibrated, doubted in cases:
        after = mode.after(moving, Outcome(Seen((310.0 + away, 200.0), 0.9), calibrated=calibrated))
        assert after.doubted is doubted
        plan = mode.plan(after, 1)
        next(plan)
        try:
            follows: object = plan.send((Seen((310.0 + away, 200.0), 0.9),))
        except StopIteration:
            follows = None
        assert isinstance(follows, Coarse) is doubted
    assert not track(lag=1, doubt=0).after(moving, Outcome(Seen((370.0, 200.0), 0.9))).doubted
