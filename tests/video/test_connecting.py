"""Addresses of live sources, and streams from real servers on this machine."""

from __future__ import annotations

import io
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sightline.core.errors import MediaError, UsageError
from sightline.core.picture import Yuv420
from sightline.video import connecting
from sightline.video.connecting import Backoff, LiveSource, is_live, open_address, without_password
from sightline.video.decoding import AvConnection, AvOptions
from sightline.video.sources import Fault, Frame, PictureSource, VideoSource
from video.conftest import FRAMES, write_png


def to_ts(video: Path, target: Path) -> Path:
    """The same packets as an MPEG transport stream."""
    with av.open(str(video)) as source, av.open(str(target), "w", format="mpegts") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


@pytest.fixture(scope="module")
def transport(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_ts(video, tmp_path_factory.mktemp("ts") / "square.ts")


class Broadcast(ThreadingHTTPServer):
    """Serves a transport stream to as many connections as it is told, then refuses."""

    daemon_threads = True

    def __init__(self, data: bytes, times: int) -> None:
        self.data, self.times = data, times
        super().__init__(("127.0.0.1", 0), _Sends)

    @property
    def address(self) -> str:
        return f"http://someone:secret@127.0.0.1:{self.server_address[1]}/live.ts?key=hidden"


class _Sends(BaseHTTPRequestHandler):
    server: Broadcast

    def do_GET(self) -> None:
        self.server.times -= 1
        if self.server.times < 0:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        self.wfile.write(self.server.data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def test_a_transport_stream_over_http_is_sought_again_when_it_breaks(transport: Path) -> None:
    with Broadcast(transport.read_bytes(), 2) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        (source,) = open_address(server.address, give_up_s=0.3)
        items = list(source)
        server.shutdown()
    frames = [item for item in items if isinstance(item, Frame)]
    faults = [item for item in items if isinstance(item, Fault)]
    assert isinstance(source, LiveSource) and source.losses == 2
    assert len(frames) == source.decoded == source.packets == 2 * FRAMES
    assert [f.index for f in frames] == list(range(2 * FRAMES))
    assert [f.kind for f in faults] == ["disconnected", "disconnected", "end"]
    assert isinstance(frames[0].picture(), Yuv420)
    assert all("secret" not in item.source + getattr(item, "reason", "") for item in items)
    assert "hidden" not in source.name


def test_frames_hold_the_pixels_that_a_file_gives(video: Path) -> None:
    connection = AvConnection(str(video), "film", AvOptions(hardware=False))
    for live, filed in zip(connection.frames(), VideoSource(video), strict=True):
        assert isinstance(live, Frame) and isinstance(filed, Frame)
        assert np.array_equal(live.read(), filed.read())
        assert live.time_s == filed.time_s
    assert connection.packets == connection.decoded == FRAMES
    assert connection.finite and connection.rate == 25
    assert "h264 in software" in connection.decoder
    connection.close()


def test_standard_input_is_read_to_its_end(transport: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe:
        buffer = io.BytesIO(transport.read_bytes())

    monkeypatch.setattr(sys, "stdin", Pipe())
    (source,) = open_address("-")
    assert sum(isinstance(item, Frame) for item in source) == FRAMES
    assert source.name == "standard input"


def test_what_decodes_is_said_also_where_hardware_was_sought(video: Path) -> None:
    (source,) = open_address(str(video), hardware=True)
    next(iter(source))
    assert isinstance(source, VideoSource)
    assert source.decoder.startswith("h264 ")
    assert "software" not in source.decoder or "(" in source.decoder


def test_a_camera_is_opened_as_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[Any, ...]] = []

    def fake(*arguments: Any) -> Any:
        opened.append(arguments)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(connecting, "AvConnection", fake)
    for text in ("camera:2", "/dev/video2"):
        (source,) = open_address(text, options={"video_size": "1280x720"})
        with pytest.raises(MediaError, match=r"/dev/video2: cannot be opened \(Permission denied\)"):
            next(iter(source))
    address, name, given = opened[0]
    assert (address, name, given.format) == ("/dev/video2", "/dev/video2", "v4l2")
    assert given.options == {"video_size": "1280x720"}


def test_files_folders_and_globs_are_the_sources_of_predict(video: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png")
    (tmp_path / "b.mp4").write_bytes(video.read_bytes())
    assert [type(s) for s in open_address(str(tmp_path))] == [PictureSource, VideoSource]
    assert [type(s) for s in open_address(str(tmp_path / "*.png"))] == [PictureSource]


@pytest.mark.parametrize(
    ("text", "live"),
    [
        ("rtsp://a/b", True),
        ("camera:0", True),
        ("/dev/video11", True),
        ("a.mp4", False),
        ("-", True),
        ("7", False),
    ],
)
def test_cameras_addresses_and_standard_input_are_no_files(text: str, live: bool) -> None:
    assert is_live(text) == live


def test_a_file_may_be_called_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_png(tmp_path / "camera:0")
    assert not is_live("camera:0")


def test_an_unknown_scheme_and_a_dead_address_are_errors() -> None:
    with pytest.raises(UsageError, match="no source reads gopher://") as caught:
        open_address("gopher://me:pass@host/x")
    assert "pass" not in str(caught.value)
    (source,) = open_address("http://u:pw@127.0.0.1:9/x.ts")
    with pytest.raises(MediaError, match="cannot be opened") as refused:
        next(iter(source))
    assert "pw" not in str(refused.value)


def test_a_file_without_video_is_an_error(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    with pytest.raises(MediaError, match="holds no video stream"):
        AvConnection(str(tmp_path / "a.wav"), "sound")


def test_waiting_doubles_up_to_its_limit() -> None:
    backoff = Backoff(0.1, 2.0)
    assert [backoff(n) for n in (1, 2, 3, 5, 6, 500)] == [0.1, 0.2, 0.4, 1.6, 2.0, 2.0]


def test_names_hold_no_secrets() -> None:
    address = "rtsp://user:p%40ss@camera.example:554/stream?token=abc#part"
    assert without_password(address) == "rtsp://camera.example:554/stream"
