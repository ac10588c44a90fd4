"""Rallies on disk: what a file says is what was drawn."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sightline.core.errors import ContractError, FormatError, UsageError
from sightline.core.frames import FrameReader
from sightline.data.importing import import_dataset
from sightline.simulate.labelled import WatchClip, small, write_videos, write_watch_clip
from sightline.simulate.rallies import simulate_rally

SIZE = (320, 180)


def test_written_points_come_back_through_an_import(tmp_path: Path) -> None:
    write_videos(tmp_path / "labels", 2, frames=5, size_wh=SIZE, fps=60, seed=3)
    dataset, _ = import_dataset(tmp_path / "labels", tmp_path / "set")
    assert len(dataset.records) == 10 and len({r.group for r in dataset.records}) == 2
    truth = [shot for seed in (3, 4) for shot in simulate_rally(seed, frames=5, size_wh=SIZE, **small(SIZE))]
    for record, shot in zip(sorted(dataset.records, key=lambda r: (r.media, r.frame)), truth, strict=True):
        (mark,) = record.annotations
        assert mark.visible is shot.visible and record.time_s == pytest.approx(shot.time_s, abs=1e-4)
        if shot.visible:
            assert mark.point == pytest.approx(shot.point, abs=0.0006)


def test_a_film_keeps_the_colours_it_was_given(tmp_path: Path) -> None:
    write_videos(tmp_path, 1, frames=2, size_wh=SIZE, seed=1)
    shown = FrameReader(tmp_path / "rally000001.mp4").read(0).astype(int)
    drawn = next(simulate_rally(1, frames=2, size_wh=SIZE, **small(SIZE))).pixels
    assert np.abs(shown.mean((0, 1)) - drawn.mean((0, 1))).max() < 2


def test_frames_that_show_nothing_have_no_point(tmp_path: Path) -> None:
    write_videos(tmp_path, 1, frames=240, size_wh=(96, 54), fps=20, seed=5)
    text = (tmp_path / "rally000005_ball.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    gone = [row for row in rows if row["Visibility"] == "0"]
    assert gone and len(gone) < len(rows)
    assert {(row["X"], row["Y"]) for row in gone} == {("0.000", "0.000")}


def test_real_tracks_are_replayed_into_videos(tmp_path: Path) -> None:
    rows = [f"{i},{int(not 4 <= i < 8)},{400 + 9 * i},{200 + 3 * i}" for i in range(20)]
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a_ball.csv").write_text("\n".join(["Frame,Visibility,X,Y", *rows]) + "\n")
    write_videos(tmp_path / "out", 1, frames=24, size_wh=SIZE, replay=tmp_path / "real")
    lines = (tmp_path / "out" / "rally000000_ball.csv").read_text().splitlines()
    shown = [row["Visibility"] for row in csv.DictReader(lines)]
    assert len(shown) == 24 and shown[:6].count("1") >= 4 and set(shown[7:15]) == {"0"}


@pytest.mark.parametrize(("hidden", "rate", "words"), [(0.1, 10.0, "show no shuttle"), (0.2, 7.0, "Mbit/s")])
def test_a_clip_that_is_not_as_stated_is_refused(hidden: float, rate: float, words: str) -> None:
    clip = WatchClip(Path("a.mp4"), Path("a_ball.csv"), 10, hidden, rate * 1e6)
    with pytest.raises(ContractError, match=words):
        clip.check(10_000_000)


def test_a_clip_holds_its_bit_rate_and_hides_enough(shared_data: Path, tmp_path: Path) -> None:
    real = shared_data / "tracknetv3_badminton_test_labels"
    clip = write_watch_clip(
        tmp_path / "a.mp4", replay=real, frames=240, size_wh=(480, 270), bitrate=600_000, seed=1
    )
    assert len(FrameReader(clip.path)) == 240 and clip.hidden >= 0.15
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError):
        write_watch_clip(tmp_path / "b.mp4", replay=tmp_path / "empty", frames=10)


def test_a_part_of_a_film_has_the_whole_films_labels(tmp_path: Path) -> None:
    for name, part in (("whole", None), ("part", 4)):
        write_videos(tmp_path / name, 2, frames=24, size_wh=(192, 108), fps=60, seed=3, part=part)
    begins = set()
    for film in ("rally000003", "rally000004"):
        whole, few = (
            [
                row.split(",")[1:]
                for row in (tmp_path / name / f"{film}_ball.csv").read_text().splitlines()[1:]
            ]
            for name in ("whole", "part")
        )
        assert len(few) == 4
        begins |= {i for i in range(21) if whole[i : i + 4] == few}
    assert len(begins) == 2


def test_more_of_a_film_than_there_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="part 9 of 8 frames; ask for 1 to 8"):
        write_videos(tmp_path, 1, frames=8, size_wh=(192, 108), part=9)
