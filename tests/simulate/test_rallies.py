"""Rallies: what is drawn is where the label says."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sightline.core.media import read_picture
from sightline.simulate.labelled import small, write_rallies
from sightline.simulate.rallies import simulate_rally

SMALL = (384, 216)


def test_equal_seeds_give_equal_frames() -> None:
    a = list(simulate_rally(5, frames=4, size_wh=SMALL))
    b = list(simulate_rally(5, frames=4, size_wh=SMALL))
    assert all(np.array_equal(x.pixels, y.pixels) and x.point == y.point for x, y in zip(a, b, strict=True))


def test_other_seeds_are_other_halls() -> None:
    pictures = [next(simulate_rally(seed, frames=1, size_wh=SMALL)).pixels for seed in range(4)]
    apart = [np.abs(a.astype(int) - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(apart) > 8


def test_a_part_of_a_rally_is_the_same_to_the_pixel_as_in_the_whole() -> None:
    whole = list(simulate_rally(5, frames=12, size_wh=SMALL))
    part = list(simulate_rally(5, frames=12, size_wh=SMALL, only=range(7, 10)))
    assert len(part) == 3
    for a, b in zip(part, whole[7:10], strict=True):
        assert np.array_equal(a.pixels, b.pixels) and (a.point, a.time_s) == (b.point, b.time_s)


def test_a_visible_shuttle_is_bright_at_its_point() -> None:
    shots = [
        list(simulate_rally(seed, frames=12, fps=30, size_wh=SMALL, **small(SMALL) | {"shutter": 0.05}))
        for seed in range(6)
    ]
    frames = [f for shot in shots for f in shot if f.visible]
    bright = [f.pixels[int(f.point[1]), int(f.point[0])].mean() > f.pixels.mean() for f in frames]
    assert len(frames) > 30 and np.mean(bright) > 0.85


def test_most_frames_show_the_shuttle_and_some_do_not() -> None:
    seen = [
        f.visible for seed in range(4) for f in simulate_rally(seed, frames=90, fps=10, size_wh=(192, 108))
    ]
    assert 0.5 < np.mean(seen) < 0.97


@pytest.mark.parametrize("seed", [1, 2])
def test_a_full_size_rally_moves_by_its_stated_speed(seed: int) -> None:
    shots = list(simulate_rally(seed, frames=8, size_wh=(1920, 1080)))
    assert shots[0].pixels.shape == (1080, 1920, 3)
    for now, then in pairwise(shots):
        if now.visible and then.visible:
            moved = np.hypot(*np.subtract(then.point, now.point))
            assert moved == pytest.approx(now.speed_px, abs=4)  # the camera sways
            assert 0 <= now.blur_px <= max(now.speed_px, 1) * 1.2


def test_rallies_are_written_as_a_label_studio_export(tmp_path: Path) -> None:
    export = write_rallies(tmp_path, 2, frames=3, size_wh=(192, 108))
    tasks = json.loads(export.read_text())
    assert len(tasks) == 6
    pictures = sorted((tmp_path / "frames").iterdir())
    assert len(pictures) == 6 and read_picture(pictures[0]).shape == (108, 192, 3)
