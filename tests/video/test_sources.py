"""Sources: every file once, in order, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline.core.errors import UsageError
from sightline.core.frames import FrameReader
from sightline.video.sources import Fault, Frame, VideoSource, find_sources
from video.conftest import FRAMES, write_png, write_video

ODD = ["a b.png", "[1].png", "ж.png", "line\nbreak.png", "*.png", "ü?.PNG"]


def names(inputs: list[str | Path]) -> list[str]:
    return [source.name for source in find_sources(inputs)]


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_exists_is_that_file_however_odd(tmp_path: Path, name: str) -> None:
    write_png(tmp_path / name)
    write_png(tmp_path / "1.png")
    assert names([tmp_path / name]) == [str(tmp_path / name)]
    ((frame,),) = find_sources([tmp_path / name])
    assert isinstance(frame, Frame)
    assert frame.read().shape == (50, 70, 3)


def test_folders_are_searched_to_the_bottom_and_nothing_comes_twice(tmp_path: Path) -> None:
    write_png(tmp_path / "b" / "2.png")
    write_png(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    write_video(tmp_path / "c.mp4", 2)
    everything = [str(tmp_path / n) for n in ("a.png", "b/2.png", "c.mp4")]
    assert names([tmp_path]) == everything
    assert names([tmp_path / "b" / "2.png", tmp_path, str(tmp_path / "*.png")])[1:] == [
        everything[0],
        everything[2],
    ]
    assert names([str(tmp_path / "**" / "*.png")]) == everything[:2]


def test_an_input_that_names_nothing_is_refused(tmp_path: Path) -> None:
    for nothing in (tmp_path, tmp_path / "absent.png", tmp_path / "*.jpg"):
        with pytest.raises(UsageError, match="names no picture or video"):
            find_sources([nothing])


def test_a_video_gives_every_frame_with_its_time_as_the_reader_does(video: Path) -> None:
    frames = list(VideoSource(video))
    reader = FrameReader(video)
    assert len(frames) == len(reader) == FRAMES
    for index, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert frame.index == index
        assert frame.time_s == pytest.approx(reader.time_s(index))
        assert np.array_equal(frame.read(), reader.read(index))
    source = VideoSource(video)
    assert (source.length, source.rate) == (FRAMES, 25.0)


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\0" * 1000])
def test_what_is_no_video_is_a_fault_not_a_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    (fault,) = VideoSource(path)
    assert isinstance(fault, Fault)
    assert "cannot be read as video" in fault.reason


def test_a_video_cut_short_gives_what_is_there(tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.mkv")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames = [item for item in VideoSource(path) if isinstance(item, Frame)]
    assert 0 < len(frames) < FRAMES
