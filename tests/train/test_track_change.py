from __future__ import annotations

import numpy as np

from sightline.core.problem import AugmentSection
from sightline.train.augment import generator, perturbed

SIZE_WH = (640, 360)


def changed(track: list[tuple[float, float, float]], index: int = 0, **section: float) -> np.ndarray:
    rows = np.array(track, np.float32)
    return perturbed(rows, SIZE_WH, generator(1, 0, index), AugmentSection(**section))  # type: ignore[arg-type]


def test_hidden_points_stay_hidden_however_a_track_is_changed() -> None:
    found = changed([(0.0, 0.0, 0.0)] * 200, track_noise=5, track_wrong=0.5)
    assert not found.any()


def test_points_tremble_by_the_stated_deviation() -> None:
    found = changed([(300.0, 200.0, 1.0)] * 2000, track_noise=4)
    away = found[:, :2] - (300, 200)
    assert 3.7 < away.std() < 4.3 and abs(away.mean()) < 0.3 and (found[:, 2] == 1).all()


def test_a_share_drops_out_and_a_share_lies_anywhere() -> None:
    found = changed([(300.0, 200.0, 1.0)] * 2000, track_drop=0.2, track_wrong=0.1)
    dropped = found[:, 2] == 0
    assert 0.16 < dropped.mean() < 0.24 and not found[dropped].any()
    wrong = np.hypot(*(found[:, :2] - (300, 200)).T) > 1
    assert 0.07 < (wrong & ~dropped).mean() < 0.13


def test_a_change_is_the_same_for_the_same_element() -> None:
    track = [(300.0, 200.0, 1.0)] * 6
    first = changed(track, 3, track_noise=4, track_drop=0.3)
    assert np.array_equal(first, changed(track, 3, track_noise=4, track_drop=0.3))
    assert not np.array_equal(first, changed(track, 4, track_noise=4, track_drop=0.3))
