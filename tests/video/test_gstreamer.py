"""Frames through GStreamer: the same as through FFmpeg, from files and from a real RTSP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.core.errors import MediaError
from sightline.core.picture import Yuv420
from sightline.video.connecting import LiveSource, open_address
from sightline.video.live import WatchOptions, watch
from sightline.video.sources import Fault, Frame, PictureSource, VideoSource
from video.conftest import FRAMES, write_png
from video.test_live import Remembering

pytest.importorskip("gi", reason="PyGObject is not installed (make gstreamer)")


@pytest.fixture(scope="module", autouse=True)
def gst() -> Any:
    from sightline.core.errors import UsageError
    from sightline.video.gstreamer import gst, rank_decoders

    try:
        found = gst()
    except UsageError as error:
        pytest.skip(str(error))
    if not rank_decoders():
        pytest.skip("GStreamer has no decoder for H.264 (make gstreamer)")
    return found


def frames_of(source: Any) -> list[Frame]:
    return [item for item in source if isinstance(item, Frame)]


def test_a_file_gives_the_frames_that_ffmpeg_gives(video: Path) -> None:
    (source,) = open_address(str(video), backend="gstreamer")
    found = frames_of(source)
    assert isinstance(source, LiveSource)
    assert [f.index for f in found] == list(range(FRAMES)) == [*range(source.packets)]
    for ours, theirs in zip(found, VideoSource(video), strict=True):
        assert isinstance(theirs, Frame)
        planes = ours.picture()
        assert isinstance(planes, Yuv420)
        assert np.array_equal(planes.y, luma(theirs))
        assert ours.time_s == pytest.approx(theirs.time_s, abs=1e-6)
        assert np.abs(ours.read().astype(int) - theirs.read()).mean() < 2


def luma(frame: Frame) -> Any:
    picture = frame.picture()
    assert isinstance(picture, Yuv420)
    return picture.y


def test_the_decoder_is_chosen_by_rank_and_named(video: Path) -> None:
    from sightline.video.gstreamer import DECODERS, rank_decoders

    installed = rank_decoders()
    (source,) = open_address(str(video), backend="gstreamer")
    next(iter(source))
    best = next(name for name in DECODERS if name in installed and "265" not in name)
    assert isinstance(source, LiveSource) and source.decoder == f"{best} in GStreamer"


def test_without_hardware_only_software_is_ranked(gst: Any) -> None:
    from sightline.video.gstreamer import rank_decoders

    try:
        assert all(name.startswith("avdec_") for name in rank_decoders(hardware=False))
        assert gst.Registry.get().lookup_feature("avdec_h264").get_rank() > 512
    finally:
        rank_decoders()


def test_pictures_are_read_as_ever_and_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.mp4").write_bytes(b"no video at all" * 99)
    picture, broken = open_address(str(tmp_path / "in"), backend="gstreamer")
    assert isinstance(picture, PictureSource)
    with pytest.raises(MediaError, match=r"b\.mp4: cannot be opened"):
        list(broken)


@pytest.fixture(scope="module")
def rtsp(gst: Any, video: Path) -> Iterator[str]:
    """A real RTSP server with one camera in it."""
    import gi

    try:
        gi.require_version("GstRtspServer", "1.0")
    except ValueError:
        pytest.skip("no RTSP server (Debian: gir1.2-gst-rtsp-server-1.0)")
    from gi.repository import GLib, GstRtspServer

    if gst.ElementFactory.find("x264enc") is None:
        pytest.skip("no x264enc (Debian: gstreamer1.0-plugins-ugly)")
    context = GLib.MainContext.new()
    loop = GLib.MainLoop.new(context, False)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(
        "( videotestsrc is-live=true num-buffers=40 ! video/x-raw,width=160,height=120,framerate=25/1 ! "
        "x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=1 )"
    )
    factory.set_shared(True)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(context)
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    yield f"rtsp://127.0.0.1:{server.get_bound_port()}/camera"
    loop.quit()
    thread.join()


@pytest.mark.parametrize("backend", ["gstreamer", "pyav"])
def test_an_rtsp_camera_is_watched_live(rtsp: str, backend: Any) -> None:
    (source,) = open_address(rtsp, backend=backend)
    options = WatchOptions(queue=3, max_age_s=3600, frames=12)
    tally = watch(Remembering(), source, (), "live", options=options)
    assert tally.answered == 12 and tally.balanced
    assert "h264" in tally.plain()["decoder"]


def test_a_break_is_survived_through_gstreamer(rtsp: str) -> None:
    (source,) = open_address(rtsp, backend="gstreamer", give_up_s=30)
    found: list[Frame | Fault] = []
    for item in source:
        found.append(item)
        if isinstance(source, LiveSource) and source.losses and isinstance(item, Frame):
            break
    assert any(isinstance(item, Fault) and item.kind == "disconnected" for item in found)
    assert isinstance(found[-1], Frame)
