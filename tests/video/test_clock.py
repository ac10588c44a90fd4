"""Time lines, paced recordings and ages."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.video.clock import JUMP_S, Ages, Paced, Timeline
from sightline.video.sources import Fault, Frame

STEPS = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(-1e6, 1e6)), st.floats(0, 10), st.booleans()), max_size=40
)


@settings(deadline=None)
@given(STEPS)
def test_time_never_runs_backwards(steps: list[tuple[float | None, float, bool]]) -> None:
    line, arrived, times = Timeline(), 100.0, [0.0]
    for stamp, wait, fresh in steps:
        arrived += wait
        times.append(line.seconds(stamp, arrived, fresh=fresh))
    assert all(a <= b for a, b in pairwise(times))
    assert all(map(math.isfinite, times))


def test_a_clock_that_runs_well_is_followed_also_through_a_stall() -> None:
    line = Timeline()
    stamps = [7.0, 7.04, 7.08, 7.12]
    arrivals = [0.0, 0.05, 5.0, 5.01]  # the network held the third one back
    times = [line.seconds(s, a) for s, a in zip(stamps, arrivals, strict=True)]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12])
    assert line.jumps == 0


@pytest.mark.parametrize("jump", [-3600.0, JUMP_S + 0.1, 1e5])
def test_a_jump_is_counted_and_bridged_by_the_time_of_arrival(jump: float) -> None:
    line = Timeline()
    assert line.seconds(10.0, 50.0) == 0
    assert line.seconds(10.04 + jump, 50.05) == pytest.approx(0.05)
    assert line.seconds(10.08 + jump, 50.09) == pytest.approx(0.09)
    assert line.jumps == 1


def test_a_new_connection_starts_its_clock_where_it_likes() -> None:
    line = Timeline()
    line.seconds(500.0, 0.0)
    assert line.seconds(0.0, 3.0, fresh=True) == pytest.approx(3.0)
    assert line.seconds(0.04, 3.1) == pytest.approx(3.04)
    assert line.jumps == 0


class Recording:
    name, length, rate, decoder = "film", 4, 100.0, "by hand"

    def __iter__(self) -> Iterator[Frame | Fault]:
        for index in range(4):
            yield Frame("film", index, None, lambda: np.zeros((2, 2, 3), np.uint8))
        yield Fault("film", 4, "over")


def test_a_paced_recording_is_stamped_with_the_moments_its_frames_are_due() -> None:
    paced = Paced(Recording())
    items = list(paced)
    captured = [item.captured_s for item in items if isinstance(item, Frame)]
    assert np.diff([c for c in captured if c is not None]) == pytest.approx([0.01] * 3)
    assert isinstance(items[-1], Fault)
    assert (paced.name, paced.length, paced.rate, paced.decoder) == ("film", 4, 100.0, "by hand")


def test_a_paced_recording_stops_when_it_is_told() -> None:
    stop = threading.Event()
    stop.set()
    paced = Paced(Recording())
    paced.heed(stop)
    assert len(list(paced)) == 1


@settings(deadline=None)
@given(st.lists(st.floats(0, 9.9), min_size=1, max_size=200), st.floats(1, 100))
def test_percentiles_are_those_of_the_values_within_a_step(values: list[float], share: float) -> None:
    ages = Ages()
    for value in values:
        ages.add(value)
    exact = float(np.percentile(values, share, method="inverted_cdf"))
    assert exact - 1e-9 <= ages.percentile(share) <= exact + 0.0001 + 1e-9
    assert len(ages) == len(values)


def test_ages_beyond_the_last_step_are_the_longest_and_none_is_not_a_number() -> None:
    ages = Ages()
    assert math.isnan(ages.percentile(50))
    for value in (0.001, 30.0, 40.0):
        ages.add(value)
    assert ages.percentile(99) == 40.0
