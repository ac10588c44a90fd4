"""Replays: the shuttle is where the real one was, and nowhere where nobody saw it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline.core.errors import FormatError
from sightline.simulate.replay import (
    RealTrack,
    draw_track,
    join,
    read_tracks,
    replay_rally,
    sample,
    steadied,
    strokes_of,
)

SMALL = (480, 270)


def flown(count: int = 30, hidden: slice = slice(12, 18)) -> RealTrack:
    """A curve with one break, part of it hidden."""
    time = np.arange(count) / 30
    x = 0.4 + 0.3 * np.abs(time - 0.5)
    points = np.column_stack([x, 0.3 + 0.4 * (time - 0.5) ** 2])
    visible = np.ones(count, bool)
    visible[hidden] = False
    return RealTrack("made", points, visible, 30.0)


def test_tracks_are_read_with_pixel_centres_and_without_points_at_the_origin(tmp_path: Path) -> None:
    (tmp_path / "a_ball.csv").write_text("Frame,Visibility,X,Y\n0,1,639,359\n1,1,0,0\n2,0,0,0\n3,1,0,719\n")
    (track,) = read_tracks(tmp_path)
    assert track.visible.tolist() == [True, False, False, True]
    assert track.points[0] == pytest.approx([639.5 / 1280, 359.5 / 720])
    assert track.points[3] == pytest.approx([0.5 / 1280, 719.5 / 720])


def test_a_replay_shows_the_shuttle_where_the_track_had_it_and_hides_it_where_it_had_not() -> None:
    track = flown()
    shots = list(replay_rally(track, 4, size_wh=SMALL))
    assert len(shots) == 59
    still = shots[::2]
    drift = [np.subtract(s.point, track.points[i] * SMALL) for i, s in enumerate(still) if s.visible]
    assert len(drift) > 20
    assert np.abs(drift).max() < 1.5  # the camera's sway at this size
    for index, shot in enumerate(shots):
        if not (track.visible[index // 2] and track.visible[(index + 1) // 2]):
            assert not shot.visible


def test_a_frame_between_two_is_visible_where_both_are() -> None:
    track = flown()
    points, seen = sample(track, np.arange(59) / 60, 60)
    assert seen[::2].tolist() == track.visible.tolist()
    assert seen[1::2].tolist() == (track.visible[1:] & track.visible[:-1]).tolist()
    assert points[::2][track.visible] == pytest.approx(track.points[track.visible], abs=0.005)


def test_a_spline_through_a_parabola_is_the_parabola() -> None:
    track = flown(hidden=slice(0, 0))
    times = np.arange(4, 9, 0.25) / 30
    points, _ = sample(track, times, 120)
    assert points[:, 1] == pytest.approx(0.3 + 0.4 * (times - 0.5) ** 2, abs=1e-9)


def test_the_tremor_of_marks_is_taken_out_and_strokes_are_kept() -> None:
    clean = flown(hidden=slice(0, 0))
    marked = clean.points + np.random.default_rng(0).normal(0, 0.001, clean.points.shape)
    out = steadied(RealTrack("marked", marked, clean.visible, 30.0))
    calm = np.r_[4:12, 19:26]
    assert np.std((out - clean.points)[calm]) < 0.85 * np.std((marked - clean.points)[calm])
    points = np.column_stack([np.abs(np.arange(30) - 15) / 30, np.full(30, 0.5)])
    sharp = RealTrack("sharp", points, clean.visible, 30.0)
    assert np.array_equal(steadied(sharp)[15], points[15])


def test_strokes_are_where_the_motion_breaks() -> None:
    assert 15 in strokes_of(flown(hidden=slice(0, 0))) and len(strokes_of(flown(hidden=slice(0, 0)))) == 3


def test_joined_tracks_have_a_pause_without_a_shuttle_between_them() -> None:
    track = join([flown(hidden=slice(0, 0))] * 2, 70)
    assert len(track) == 70 and not track.visible[30:45].any() and track.visible[45:].all()
    with pytest.raises(FormatError, match="0 tracks"):
        draw_track(np.random.default_rng(0), [], 1.0)


def test_the_real_tracks_are_read(shared_data: Path) -> None:
    tracks = read_tracks(shared_data / "tracknetv3_badminton_test_labels")
    assert len(tracks) == 29 and sum(len(t) for t in tracks) == 12_656
    hidden = 1 - np.concatenate([t.visible for t in tracks]).mean()
    assert hidden == pytest.approx(0.156, abs=0.001)
