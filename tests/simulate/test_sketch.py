"""Sketched rallies: what is drawn is where the label says."""

from __future__ import annotations

import numpy as np

from sightline.simulate.sketch import sketch_rally


def test_equal_seeds_give_equal_sketches() -> None:
    a, b = (list(sketch_rally(5, frames=4)) for _ in range(2))
    assert all(np.array_equal(x.pixels, y.pixels) and x.point == y.point for x, y in zip(a, b, strict=True))


def test_a_sketched_shuttle_is_bright_at_its_point() -> None:
    frames = [f for seed in range(6) for f in sketch_rally(seed, frames=12, shutter=0.05) if f.visible]
    bright = [f.pixels[int(f.point[1]), int(f.point[0])].mean() > f.pixels.mean() for f in frames]
    assert len(frames) > 30 and np.mean(bright) > 0.9


def test_most_sketches_show_the_shuttle_and_some_do_not() -> None:
    seen = [f.visible for seed in range(8) for f in sketch_rally(seed, frames=30)]
    assert 0.6 < np.mean(seen) < 0.99
