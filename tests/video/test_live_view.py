"""The page in the browser: what it serves, to whom, and that nobody waits for it."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from sightline.core.errors import UsageError
from sightline.core.results import Points
from sightline.video.live import watch
from sightline.video.live_view import LiveView
from sightline.video.pipeline import Prediction
from sightline.video.sources import VideoSource
from sightline.video.tally import Tally
from video.test_live import Remembering


def shown(index: int = 0, grey: int = 40) -> Prediction:
    points = Points(np.array([[50.0, 40.0]], np.float32), np.ones(1, np.float32), ("shuttle",))
    pixels = np.full((200, 400, 3), grey, np.uint8)
    return Prediction(
        "camera",
        index,
        index / 60,
        (400, 200),
        {"locate": points},
        pixels=pixels,
        captured_at=1.0,
        age_s=0.012,
    )


def get(view: LiveView, path: str, host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(view.address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_the_newest_frame_is_served_drawn_and_scaled() -> None:
    with LiveView(0, width=100) as view:
        assert get(view, "/frame.jpg")[0] == 503
        view.write(shown(0, grey=0))
        view.write(shown(1, grey=200))
        status, headers, data = get(view, "/frame.jpg")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert status == 200 and headers["Content-Type"] == "image/jpeg"
    assert picture is not None and picture.shape == (50, 100, 3)
    assert np.abs(picture[-5:, -5:].astype(int) - 200).max() < 10
    assert np.abs(picture[2:18, 4:21].astype(int) - 200).max() > 40  # the ring around the point


def test_the_state_holds_the_counts_and_the_age_of_the_answer() -> None:
    tally = Tally(captured=9, answered=5, dropped=4, decoders={"camera": "h264 in software"})
    with LiveView(0) as view:
        view.follow(tally)
        view.write(shown(3))
        state = json.loads(get(view, "/state.json")[2])
    assert (state["dropped"], state["age_ms"], state["source"]) == (4, 12.0, "camera")
    assert state["decoder"] == "h264 in software"


def test_the_page_loads_nothing_from_elsewhere_and_forbids_it() -> None:
    with LiveView(0) as view:
        status, headers, page = get(view, "/")
        assert get(view, "/other")[0] == 404
        assert get(view, "/../live.py")[0] == 404
    assert status == 200
    assert b"/stream.mjpeg" in page and b"://" not in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(("host", "status"), [("evil.example", 403), ("localhost:1", 200), ("[::1]", 200)])
def test_on_the_loopback_only_its_own_names_are_answered(host: str, status: int) -> None:
    with LiveView(0) as view:
        assert get(view, "/state.json", host)[0] == status


def test_a_viewer_gets_a_stream_of_pictures_and_too_many_viewers_are_turned_away() -> None:
    with LiveView(0, viewers=1, fps=1000) as view:
        parts = urlsplit(view.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
        connection.request("GET", "/stream.mjpeg")
        answer = connection.getresponse()
        assert answer.getheader("Content-Type", "").startswith("multipart/x-mixed-replace; boundary=")
        for index in range(3):
            view.write(shown(index))
            assert answer.readline().startswith(b"--")
            head = [answer.readline() for _ in range(3)]
            size = int(head[1].split(b":")[1])
            assert answer.read(size).startswith(b"\xff\xd8")
            assert answer.readline() == b"\r\n"
        assert get(view, "/stream.mjpeg")[0] == 503
        connection.close()


def test_a_port_that_is_taken_is_said() -> None:
    with LiveView(0) as view, pytest.raises(UsageError, match="cannot listen"):
        LiveView(urlsplit(view.address).port or 0)


def test_watch_feeds_the_view_and_closes_it(video: Path) -> None:
    view = LiveView(0)
    states = []
    watch(
        Remembering(), VideoSource(video), [view], on_answer=lambda _: states.append(view.state()["answered"])
    )
    assert states[-1] == 23
    with pytest.raises(OSError):
        get(view, "/")
