"""Motion: the figures of tracks, and that simulated ones are like real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline.simulate.motion import distance, motion, simulated_tracks
from sightline.simulate.replay import SOURCE_FPS, SOURCE_WH, read_tracks


def test_speed_acceleration_and_gaps_are_counted_in_heights_and_thirtieths() -> None:
    points = np.column_stack([np.arange(8.0) ** 2, np.zeros(8)])
    visible = np.array([1, 1, 1, 0, 0, 1, 1, 1], bool)
    found = motion([(points, visible)], 30, (200, 100))
    assert found.speed == pytest.approx([0.01, 0.03, 0.11, 0.13])
    assert found.acceleration == pytest.approx([0.02, 0.02])
    assert found.gap.tolist() == [2] and found.hidden == 0.25


def test_tracks_of_twice_the_rate_have_the_same_motion() -> None:
    points = np.column_stack([np.arange(9.0), np.zeros(9)])
    fast = motion([(points, np.ones(9, bool))], 60, (100, 100))
    assert fast.speed == pytest.approx([0.02] * 4)


def test_the_distance_of_equal_samples_is_0_and_of_separate_ones_1() -> None:
    a = np.arange(5.0)
    assert distance(a, a) == 0 and distance(a, a + 10) == 1
    assert distance(np.array([1.0, 2.0]), np.array([1.0, 3.0])) == 0.5


def test_simulated_shuttles_move_like_real_ones(shared_data: Path) -> None:
    tracks = read_tracks(shared_data / "tracknetv3_badminton_test_labels")
    real = motion([(t.points * SOURCE_WH, t.visible) for t in tracks], SOURCE_FPS, SOURCE_WH)
    played = motion(simulated_tracks(12, 12.0), SOURCE_FPS, SOURCE_WH)
    assert distance(real.speed, played.speed) < 0.15
    assert distance(real.acceleration, played.acceleration) < 0.2
    assert distance(real.gap[real.gap > 5], played.gap[played.gap > 5]) < 0.35
    assert 0.5 < np.median(played.speed) / np.median(real.speed) < 1.5
    assert 0.05 < played.hidden < 0.35
