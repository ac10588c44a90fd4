"""Flight: drag, aim and rallies obey the physics they claim."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.simulate.flight import AERODYNAMIC_LENGTH, GRAVITY, STEP_S, aim, flight, rally


def test_a_falling_shuttle_reaches_its_terminal_speed() -> None:
    path = flight(np.array([0.0, 0.0, 100.0]), np.zeros(3), 6.0)
    speed = -(path[-1, 2] - path[-2, 2]) / STEP_S
    assert speed == pytest.approx(np.sqrt(GRAVITY * AERODYNAMIC_LENGTH), rel=0.01)


@pytest.mark.parametrize("elevation", [12.0, 30.0, 55.0])
def test_an_aimed_shuttle_passes_its_target(elevation: float) -> None:
    start, end = np.array([0.5, 2.0, 1.5]), np.array([-1.0, 11.0, 1.8])
    found = aim(start, end, elevation)
    assert found is not None
    path = flight(start, found[0], found[1] + 0.1)
    assert np.linalg.norm(path - end, axis=1).min() < 0.35


def test_a_target_out_of_reach_is_none() -> None:
    assert aim(np.array([0.0, 0.0, 1.0]), np.array([0.0, 60.0, 1.0]), 10.0) is None


def test_a_rally_is_its_seed_and_stays_above_the_floor() -> None:
    first, strokes = rally(np.random.default_rng(3), 2.0)
    again, _ = rally(np.random.default_rng(3), 2.0)
    assert np.array_equal(first, again)
    assert first[:, 2].min() >= -0.05 and len(strokes) >= 2
    speeds = np.linalg.norm(np.diff(first, axis=0), axis=1) / STEP_S
    assert np.percentile(speeds, 99) < 110
