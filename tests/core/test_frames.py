from __future__ import annotations

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from sightline.core.errors import MediaError
from sightline.core.frames import FrameReader, read_frame
from sightline.video.sources import Frame, find_sources


def make_video(path: Path, frames: int, rate: int = 10) -> Path:
    """Frame i is grey of level 10 i."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            pixels = np.full((48, 64, 3), 10 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_frames_are_read_by_number_in_any_order(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 20)
    reader = FrameReader(path)
    assert (len(reader), reader.size_wh, reader.time_s(5)) == (20, (64, 48), pytest.approx(0.5))
    for index in (7, 3, 19, 0, 4):
        assert abs(float(reader.read(index).mean()) - 10 * index) < 4
        assert abs(float(read_frame(path, index).mean()) - 10 * index) < 4
    with pytest.raises(MediaError, match="frame 20 is not one of 20"):
        reader.read(20)


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match=r"a\.mp4"):
        FrameReader(tmp_path / "a.mp4")


def test_frames_before_the_start_of_a_cut_clip_are_not_counted(shared_data: Path) -> None:
    """Its header says 139 frames; 118 lie before its start and are never shown."""
    sets = shared_data / "volleyball_ball_clip" / "example_datasets"
    reader = FrameReader(sets / "video_dataset" / "videos" / "VolleyballShortClip.mp4")
    assert len(reader) == 21
    for index in (0, 10, 20):
        name = sets / "images_dataset" / "images" / "VolleyballShortClip" / f"{index}.png"
        still = cv2.imread(str(name))
        assert still is not None
        difference = np.abs(reader.read(index)[:, :, ::-1].astype(int) - still)
        assert float(difference.mean()) < 4


def filmed_on_its_side(path: Path) -> None:
    """A video, bright on its left, whose file asks players to turn it a quarter clockwise."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        pixels = np.zeros((32, 64, 3), np.uint8)
        pixels[:, :16] = 255
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44  # past the times, the track's number and its layers
    one, back = 1 << 16, (1 << 32) - (1 << 16)
    data[matrix : matrix + 36] = struct.pack(">9I", 0, one, 0, back, 0, 0, 32 << 16, 0, 1 << 30)
    path.write_bytes(data)


def test_a_video_filmed_on_its_side_is_read_upright_by_both_readers(tmp_path: Path) -> None:
    filmed_on_its_side(tmp_path / "side.mp4")
    reader = FrameReader(tmp_path / "side.mp4")
    upright = reader.read(1)
    assert reader.size_wh == (32, 64) and upright.shape == (64, 32, 3)
    assert upright[:12].min() > 200 and upright[20:].max() < 60
    [source] = find_sources([tmp_path / "side.mp4"])
    frames = [frame for frame in source if isinstance(frame, Frame)]
    assert np.array_equal(frames[1].read(), upright)
