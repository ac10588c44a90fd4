from __future__ import annotations

import numpy as np
import pytest

from sightline.core.records import Annotation, Record
from sightline.core.results import Points
from sightline.evaluate.metrics.tracks import SPEED_PX, Tracks

FRAME_WH = (640, 360)


def tracks(
    truth: list[tuple[float, float] | None],
    answers: list[tuple[float, float] | None],
    media: str = "a.mp4",
    into: Tracks | None = None,
) -> Tracks:
    """Frames of one film: None in the truth is hidden, None in the answers is silence."""
    out = into or Tracks()
    for number, (true, answer) in enumerate(zip(truth, answers, strict=True)):
        mark = Annotation(0, point=true or (0.0, 0.0), visible=true is not None)
        record = Record(f"{media}#{number}", media, FRAME_WH, (mark,), frame=number, group=media)
        points = np.array([answer or (0.0, 0.0)], np.float32)
        out.add(record, Points(points, np.array([answer is not None], np.float32), ("ball",)), 0.5)
    return out


def line(count: int, step: float = 4.0) -> list[tuple[float, float] | None]:
    return [(10.0 + step * i, 50.0) for i in range(count)]


def values(found: Tracks) -> dict[str, float]:
    return {name: float(value[0]) for name, value in found.columns().values().items()}


def test_right_answers_hit_everything_and_do_not_tremble() -> None:
    found = values(tracks(line(10), line(10)))
    assert found["f1"] == found["within_8px"] == found["visible_f1"] == 1
    assert found["median_px"] == found["mean_px"] == found["jumps"] == found["miss_rate"] == 0
    assert found["jitter_px"] == pytest.approx(0, abs=1e-6) and found["truth_bend_px"] == pytest.approx(0)


def test_an_answer_nine_pixels_off_is_both_false_and_missed() -> None:
    answers = line(10)
    answers[4] = (10.0 + 16, 59.0)
    found = values(tracks(line(10), answers))
    assert found["within_8px"] == pytest.approx(0.9) and found["f1"] == pytest.approx(0.9)
    assert found["visible_f1"] == 1


def test_silence_is_missed_and_an_answer_where_nothing_is_seen_is_false() -> None:
    truth, answers = line(10), line(10)
    answers[2], truth[7] = None, None
    found = values(tracks(truth, answers))
    assert found["miss_rate"] == pytest.approx(1 / 9) and found["false_alarms"] == 1
    assert found["f1"] == pytest.approx(2 * 8 / (9 + 9))


def test_a_leap_counts_once_however_long_it_lasts_and_not_into_the_mean() -> None:
    answers = line(1000, 0.1)
    for i in (*range(100, 105), *range(500, 502)):
        answers[i] = (600.0, 300.0)
    found = values(tracks(line(1000, 0.1), answers))
    assert found["jumps"] == pytest.approx(2) and found["mean_px"] == pytest.approx(0, abs=1e-4)


def test_trembling_is_the_second_difference_of_the_error() -> None:
    answers = [(x + (1.0 if i % 2 else -1.0), y) for i, (x, y) in enumerate(p for p in line(20) if p)]
    assert values(tracks(line(20), list(answers)))["jitter_px"] == pytest.approx(4.0, rel=1e-5)


def test_films_do_not_run_into_each_other() -> None:
    both = tracks(line(3), line(3))
    tracks([(500.0, 300.0)] * 3, [(500.0, 300.0)] * 3, "b.mp4", both)
    columns = both.columns()
    assert np.isfinite(columns.trembling).sum() == 2 and np.isnan(columns.speed[3])


def test_frames_that_nobody_looked_at_are_not_counted() -> None:
    found = tracks(line(5), line(5))
    bare = Record("a.mp4#5", "a.mp4", FRAME_WH, (), frame=5, group="a.mp4")
    found.add(bare, Points(np.zeros((1, 2), np.float32), np.ones(1, np.float32), ("ball",)), 0.5)
    assert len(found.columns().seen) == 5 and values(found)["f1"] == 1


def test_bins_by_speed_hold_every_frame_in_sight_that_follows_one() -> None:
    columns = tracks(line(11, 6.0), line(11, 6.0)).columns()
    rows = list(columns.binned(columns.speed, SPEED_PX, rounds=10))
    assert [(row["from"], row["frames"]) for row in rows] == [(5.0, 10)]
    assert rows[0]["within_8px"].value == 1


def test_intervals_come_from_films() -> None:
    both = tracks(line(6), line(6))
    tracks(line(6), [None] * 6, "b.mp4", both)
    estimate = both.columns().estimates(200)["within_8px"]
    assert (
        estimate.value == pytest.approx(0.5) and (estimate.low, estimate.high) == (0, 1) and estimate.n == 2
    )
