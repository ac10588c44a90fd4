"""Flight and play: drag, aim and rallies obey the physics they claim."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.simulate.flight import AERODYNAMIC_LENGTH, GRAVITY, NET_Y, STEP_S, aim, flight
from sightline.simulate.play import rally

PUBLISHED_TERMINAL = 6.8  # Peastrel, Lynch and Armenti 1980


def test_a_falling_shuttle_reaches_the_published_terminal_speed() -> None:
    path = flight(np.array([0.0, 0.0, 100.0]), np.zeros(3), 6.0)
    speed = -(path[-1, 2] - path[-2, 2]) / STEP_S
    assert speed == pytest.approx(np.sqrt(GRAVITY * AERODYNAMIC_LENGTH), rel=0.01)
    assert speed == pytest.approx(PUBLISHED_TERMINAL, rel=0.02)


def test_speed_falls_by_a_factor_e_over_one_aerodynamic_length() -> None:
    path = flight(np.array([0.0, 0.0, 50.0]), np.array([0.0, 80.0, 0.0]), 0.3)
    speeds = np.linalg.norm(np.diff(path, axis=0), axis=1) / STEP_S
    there = int(np.searchsorted(path[:, 1], AERODYNAMIC_LENGTH))
    assert speeds[there] == pytest.approx(80 / np.e, rel=0.02)


@pytest.mark.parametrize("elevation", [12.0, 30.0, 55.0])
def test_an_aimed_shuttle_passes_its_target(elevation: float) -> None:
    start, end = np.array([0.5, 2.0, 1.5]), np.array([-1.0, 11.0, 1.8])
    found = aim(start, end, elevation)
    assert found is not None
    path = flight(start, found[0], found[1] + 0.1)
    assert np.linalg.norm(path - end, axis=1).min() < 0.06


def test_a_target_out_of_reach_is_none() -> None:
    assert aim(np.array([0.0, 0.0, 1.0]), np.array([0.0, 60.0, 1.0]), 10.0) is None


def test_a_rally_is_its_seed_stays_above_the_floor_and_changes_sides() -> None:
    first, again = (rally(np.random.default_rng(3), 8.0) for _ in range(2))
    assert np.array_equal(first.path, again.path, equal_nan=True)
    assert np.nanmin(first.path[:, 2]) >= -0.05 and len(first.strokes) >= 4
    for stroke in first.strokes:
        assert (first.path[stroke.step, 1] > NET_Y) == bool(stroke.side)


def test_smashes_are_as_fast_as_players_hit_them() -> None:
    plays = [rally(np.random.default_rng(seed), 40.0) for seed in range(3)]
    smashes = [
        np.linalg.norm(play.path[s.step + 2] - play.path[s.step + 1]) / STEP_S
        for play in plays
        for s in play.strokes
        if s.name == "smash" and s.step + 2 < len(play.path)
    ]
    # Men's smashes in matches leave the racket at 60 to 110 m/s, others' from about 40.
    assert len(smashes) > 4 and 35 < np.median(smashes) < 95 and max(smashes) <= 116
