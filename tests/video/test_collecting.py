"""Collecting into a folder: what is kept, what is told, and what a killed process leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sightline.core.errors import DatasetError, UsageError
from sightline.core.media import read_picture
from sightline.data.importing import import_dataset
from sightline.runtime.loading import load
from sightline.video.choosing import Every, Motion, Unsure
from sightline.video.collecting import Session, Wanted, collect
from sightline.video.collection import read_lines
from sightline.video.sources import Fault, Frame, find_sources
from video.conftest import FRAMES, write_png, write_video


def kept(folder: Path) -> list[dict[str, Any]]:
    return read_lines(folder)[0]


def balanced(session: Session) -> bool:
    told = session.kept + sum(session.passed_over.values()) + session.unreadable
    return session.looked_at == told == sum(s["looked_at"] for s in session.sources)


class Live:
    """A source that never ends and tells no length."""

    name, length, rate = "rtsp://camera/one", None, 10.0

    def __iter__(self) -> Iterator[Frame | Fault]:
        picture = np.zeros((48, 64, 3), np.uint8)
        index = 0
        while True:
            yield Frame(self.name, index, index / 10, lambda: picture)
            index += 1


def test_frames_are_kept_with_their_place_and_reason_and_everything_is_counted(
    video: Path, tmp_path: Path
) -> None:
    out = tmp_path / "c"
    session = collect(find_sources([video]), out, Wanted([Every(10)]))
    assert (session.looked_at, session.kept, dict(session.why)) == (FRAMES, 3, {"every": 3})
    assert balanced(session)
    lines = kept(out)
    assert [line["index"] for line in lines] == [0, 10, 20]
    assert [line["time_s"] for line in lines] == pytest.approx([0, 0.4, 0.8])
    picture = read_picture(out / "media" / lines[1]["media"])
    assert picture.shape == (120, 160, 3) and picture[35, 40, 0] > 200 > picture[35, 100, 0]
    ledger = json.loads((out / "collected.json").read_text())
    assert ledger["sessions"] == [session.to_json()]
    media = [p for p in (out / "media").rglob("*") if p.is_file()]
    assert ledger["bytes"] == sum(p.stat().st_size for p in media) and len(media) == 3


def test_png_frames_lose_nothing(video: Path, tmp_path: Path) -> None:
    collect(find_sources([video]), tmp_path / "c", Wanted([Every(20)], suffix=".png"))
    line = kept(tmp_path / "c")[1]
    with av.open(str(video)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    found = read_picture(tmp_path / "c" / "media" / line["media"])
    assert np.array_equal(found, frames[line["index"]])


def test_pictures_are_kept_as_the_files_they_are_and_damaged_ones_are_told(tmp_path: Path) -> None:
    good = write_png(tmp_path / "in" / "sub" / "a b.png", 1)
    write_png(tmp_path / "in" / "b.png", 2).write_bytes(b"\x89PNG\r\n\x1a\nno")
    session = collect(find_sources([tmp_path / "in"]), tmp_path / "c", Wanted([Every(1)]))
    assert (session.kept, session.unreadable) == (1, 1) and balanced(session)
    assert session.faults[0][0].endswith("b.png")
    assert (tmp_path / "c" / "media" / "sub" / "a b.png").read_bytes() == good.read_bytes()


def test_clips_start_before_what_they_were_kept_for_and_no_frame_is_in_two(
    video: Path, tmp_path: Path
) -> None:
    session = collect(
        find_sources([video]), tmp_path / "c", Wanted([Motion(0.05)], clip_s=0.4), on_frame=None
    )
    lines = kept(tmp_path / "c")
    assert session.kept == len(lines) >= 1 and balanced(session)
    frames: list[int] = []
    for line in lines:
        with av.open(str(tmp_path / "c" / "media" / line["media"])) as container:
            times = [float(f.time or 0) for f in container.decode(video=0)]
        assert len(times) == line["frames"]
        assert np.diff(times) == pytest.approx(np.full(len(times) - 1, 0.04), abs=1e-3)
        frames += range(line["index"], line["index"] + line["frames"])
    assert lines[0]["frames"] == 10
    assert len(set(frames)) == len(frames)


def test_the_budget_is_never_exceeded_and_ends_the_session(video: Path, tmp_path: Path) -> None:
    for number, wanted in enumerate(
        (Wanted([Every(1)], budget=60_000), Wanted([Every(1)], 0.2, budget=9000))
    ):
        out = tmp_path / str(number)
        session = collect(find_sources([video]), out, wanted)
        size = sum(p.stat().st_size for p in (out / "media").rglob("*") if p.is_file())
        assert size == session.bytes <= wanted.budget
        assert "budget" in session.ended and balanced(session)
        assert len(kept(out)) == session.kept and not list(out.rglob("*part*"))


def test_a_gap_keeps_frames_apart_and_a_limit_ends_the_session(video: Path, tmp_path: Path) -> None:
    session = collect(find_sources([video]), tmp_path / "c", Wanted([Every(1)], gap_s=0.2, limit=3))
    assert [line["index"] for line in kept(tmp_path / "c")] == [0, 5, 10]
    assert session.ended == "3 are kept" and balanced(session)


def test_a_live_source_ends_when_it_is_told_to(tmp_path: Path) -> None:
    seen: list[int] = []
    session = collect(
        [Live()],
        tmp_path / "c",
        Wanted([Every(4)]),
        stop=lambda: len(seen) == 9,
        on_frame=lambda s: seen.append(s.looked_at),
    )
    assert session.ended == "stopped by hand" and session.kept == 3 and balanced(session)
    assert kept(tmp_path / "c")[0]["media"].startswith("one/")


def test_a_model_s_guesses_go_with_the_frames_it_doubts(detector: Path, video: Path, tmp_path: Path) -> None:
    rule = Unsure(load(detector), 0.1)
    wanted = Wanted([rule], limit=2, classes=("apple", "pear", "plum"))
    collect(find_sources([video]), tmp_path / "c", wanted)
    tasks = json.loads((tmp_path / "c" / "tasks.json").read_text())
    assert len(tasks) == 2
    (guess,) = tasks[0]["predictions"]
    assert {r["type"] for r in guess["result"]} == {"rectanglelabels"}
    assert guess["score"] == min(r["score"] for r in guess["result"])
    assert tasks[0]["data"]["why"] == "unsure"


def test_what_is_kept_can_be_imported_with_group_and_time(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    collect(find_sources([video]), out, Wanted([Every(10)], classes=("shuttle",), tasks=("locate",)))
    dataset, ledger = import_dataset(out, tmp_path / "d")
    assert [r.frame for r in dataset.records] == [0, 10, 20]
    assert {r.group for r in dataset.records} == {"square"} and dataset.classes == ("shuttle",)
    assert [r.time_s for r in dataset.records] == pytest.approx([0, 0.4, 0.8])
    assert ledger.kept("picture") == 3


def test_a_clip_is_imported_as_its_frames(video: Path, tmp_path: Path) -> None:
    collect(find_sources([video]), tmp_path / "c", Wanted([Every(12)], clip_s=0.2))
    dataset, _ = import_dataset(tmp_path / "c", tmp_path / "d")
    assert len(dataset.records) == sum(line["frames"] for line in kept(tmp_path / "c")) == 10
    assert {r.group for r in dataset.records} == {"square"}
    later = [r.time_s for r in dataset.records][5:]
    assert later == pytest.approx([0.44 + 0.04 * i for i in range(5)], abs=1e-3)
    assert dataset.read(dataset.records[7]).shape == (120, 160, 3)


def test_a_collection_is_added_to_only_when_asked(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    collect(find_sources([video]), out, Wanted([Every(20)]))
    with pytest.raises(UsageError, match="--add"):
        collect(find_sources([video]), out, Wanted([Every(20)]))
    collect(find_sources([video]), out, Wanted([Every(20)]), add=True)
    lines = kept(out)
    assert len({line["media"] for line in lines}) == 4 and lines[2]["group"] == "square-2"
    assert len(json.loads((out / "collected.json").read_text())["sessions"]) == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "work.txt").write_text("mine")
    with pytest.raises(UsageError, match="no collection"):
        collect(find_sources([video]), tmp_path / "other", Wanted([Every(20)]))


def test_a_line_cut_short_is_left_out_and_a_broken_one_is_an_error(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    collect(find_sources([video]), out, Wanted([Every(10)]))
    path = out / "collected.jsonl"
    text = path.read_text()
    path.write_text(text[:-20])
    dataset, ledger = import_dataset(out, tmp_path / "d")
    assert len(dataset.records) == 2 and any("cut short" in note for note in ledger.notes)
    collect(find_sources([video]), out, Wanted([Every(20)]), add=True)
    assert len(kept(out)) == 4
    path.write_text("{}\n" + text)
    with pytest.raises(DatasetError, match=r"collected\.jsonl:1"):
        read_lines(out)


def test_a_killed_process_leaves_whole_files_and_a_collection_to_go_on_with(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", 200)
    words = [sys.executable, "-c", "from sightline.cli.main import main; main()", "collect", str(film)]
    words += ["--out", str(tmp_path / "c"), "--every", "1", "--png"]
    process = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": "src"}, stdout=subprocess.DEVNULL)
    lines = tmp_path / "c" / "collected.jsonl"
    end = time.monotonic() + 60
    while time.monotonic() < end and not (lines.is_file() and lines.read_bytes().count(b"\n") >= 5):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found, _ = read_lines(tmp_path / "c")
    assert len(found) >= 5
    for line in found:
        assert read_picture(tmp_path / "c" / "media" / line["media"]).shape == (120, 160, 3)
    collect(find_sources([film]), tmp_path / "c", Wanted([Every(50)]), add=True)
    assert not list((tmp_path / "c").rglob("*.part"))
    assert len(kept(tmp_path / "c")) == len(found) + 4
