from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sightline.core.errors import UsageError
from sightline.core.problem import MineSection
from sightline.core.records import Annotation, Record, Sample
from sightline.core.specs import InputSpec
from sightline.train.mining import Crop, Glance, Mined, MinedSampler, crops_of

SPEC = InputSpec((64, 64), fit="native")
FRAME_WH = (640, 360)


def frame(number: int, point: tuple[float, float] | None) -> Sample:
    mark = Annotation(0, point=point or (0.0, 0.0), visible=point is not None)
    record = Record(f"a.mp4#{number}", "a.mp4", FRAME_WH, (mark,), frame=number)
    return Sample({"clip": (record,)}, record)


def mined(samples: list[Sample], seen: list[Glance], **section: object) -> list[Crop]:
    return crops_of(samples, seen, SPEC, MineSection(**section), seed=1)  # type: ignore[arg-type]


def test_a_crop_stands_where_the_coarse_stage_would_have_put_it() -> None:
    (crop,) = mined([frame(0, (100.0, 90.0))], [Glance((104.0, 85.0), 0.9)])
    assert crop.kind == "found" and crop.sample.centre == (104.0, 85.0)


def test_a_frame_that_the_coarse_stage_missed_gives_the_truth_and_the_mistake() -> None:
    found = mined([frame(0, (100.0, 90.0))], [Glance((400.0, 200.0), 0.9)])
    assert [c.kind for c in found] == ["found", "mistaken"]
    assert [c.sample.centre for c in found] == [(100.0, 90.0), (400.0, 200.0)]


def test_a_hidden_thing_is_looked_for_where_it_was_last_seen_and_where_it_was_claimed() -> None:
    seen = [Glance((101.0, 90.0), 0.9), Glance((300.0, 50.0), 0.6)]
    found = mined([frame(0, (100.0, 90.0)), frame(1, None)], seen)
    hidden = [c for c in found if c.sample.target.frame == 1]
    assert [c.kind for c in hidden] == ["mistaken", "lost"]
    assert hidden[0].sample.centre == (300.0, 50.0)
    assert np.hypot(*np.subtract(hidden[1].sample.centre or (0, 0), (100, 90))) < 64


def test_nothing_is_lost_before_it_was_seen() -> None:
    found = mined([frame(0, None)], [Glance((300.0, 50.0), 0.6)])
    assert [c.kind for c in found] == ["mistaken"]


def test_the_next_best_place_is_background_on_a_share_of_the_frames() -> None:
    frames = [frame(i, (100.0, 90.0)) for i in range(200)]
    seen = [Glance((101.0, 90.0), 0.9, (500.0, 300.0))] * 200
    kinds = [c.kind for c in mined(frames, seen, background=0.25)]
    assert 30 < kinds.count("background") < 70 and kinds.count("found") == 200


def test_random_crops_hold_the_truth_within_their_jitter_and_ask_the_coarse_stage_nothing() -> None:
    frames = [frame(i, (100.0, 90.0)) for i in range(50)] + [frame(50, None)]
    found = mined(frames, [Glance((600.0, 10.0), 1.0)] * 51, crops="random", jitter=0.25)
    assert len(found) == 51 and found[-1].kind == "background"
    away = np.array([np.subtract(c.sample.centre or (0, 0), (100, 90)) for c in found[:-1]])
    assert np.abs(away).max() <= 16 and np.abs(away).max() > 8


def test_crops_of_one_seed_are_the_same() -> None:
    frames = [frame(i, None if i % 3 else (100.0, 90.0)) for i in range(30)]
    seen = [Glance((10.0 * i, 20.0), 0.5, (300.0, 40.0)) for i in range(30)]
    assert mined(frames, seen) == mined(frames, seen)


def pool(count: int) -> list[Crop]:
    return [Crop(replace(frame(i, (50.0, 50.0)), centre=(50.0, 50.0)), "found") for i in range(count)]


def test_crops_of_high_loss_are_drawn_more_often_and_none_is_forgotten(tmp_path: Path) -> None:
    sampler = MinedSampler(pool(100), MineSection(hard=0.5, every=2), 0, tmp_path)
    losses = np.full(100, 0.1, np.float32)
    losses[:10] = 5.0
    expected = sampler.expected(losses)
    assert expected.sum() == pytest.approx(100)
    assert expected[:10].min() > 3 * expected[10:].max() and expected.min() >= 0.5


def test_an_epoch_draws_its_share(tmp_path: Path) -> None:
    sampler = MinedSampler(pool(100), MineSection(), 0, tmp_path, share=0.25)
    assert len(sampler.epoch(0, np.full(100, np.nan, np.float32))) == 25


def test_between_two_minings_the_losses_of_the_first_count(tmp_path: Path) -> None:
    section, before = MineSection(hard=0.9, every=3), np.full(40, 0.1, np.float32)
    before[:4] = 9.0
    after = before[::-1].copy()
    first = MinedSampler(pool(40), section, 0, tmp_path)
    first.epoch(3, before)
    rows = first.epoch(4, after)
    assert np.isin(rows[:, 0], range(4)).mean() > 0.4
    fresh = MinedSampler(pool(40), section, 0, tmp_path)  # as after a restart
    assert np.array_equal(fresh.epoch(4, after), rows)


def test_losses_that_are_gone_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="losses-0000"):
        MinedSampler(pool(4), MineSection(every=3), 0, tmp_path).epoch(1, np.zeros(4, np.float32))


def test_a_moved_crop_changes_the_fingerprint() -> None:
    one = Mined(tuple(pool(3)), (), MineSection())
    other = pool(3)
    other[1] = replace(other[1], sample=replace(other[1].sample, centre=(51.0, 50.0)))
    assert one.fingerprint != Mined(tuple(other), (), MineSection()).fingerprint
    assert one.counts() == {"found": 3, "mistaken": 0, "lost": 0, "background": 0}
