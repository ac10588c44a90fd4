"""The live view: a page with the newest drawn frame (MJPEG over HTTP) and what the stream counts."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import cv2
import numpy as np

from sightline.core.errors import UsageError
from sightline.core.picture import as_rgb, size_wh_of
from sightline.draw import draw_results
from sightline.video.pipeline import Prediction
from sightline.video.tally import Tally
from sightline.video.trail import Trails

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BOUNDARY = "sightline-frame"
_QUALITY = 80
_SECURITY = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'",
}


class LiveView:
    """A sink that serves what it is given to browsers; drawing costs nothing while nobody looks.

    Each viewer gets the newest frame when it has sent the one before, so a slow one skips and delays
    nobody. On a loopback address, requests under another host's name are refused (DNS rebinding).

    Args:
        port: to listen on; 0 takes a free one.
        host: address to bind; others than the loopback show the pictures to whoever reaches them.
        fps: pictures a second at most.
        width: pictures are scaled down to this width.
        viewers: streams served at once.

    Raises:
        UsageError: the address cannot be bound.
    """

    needs_pixels = True

    def __init__(
        self,
        port: int = 8090,
        host: str = "127.0.0.1",
        *,
        fps: float = 20,
        width: int = 960,
        viewers: int = 8,
    ) -> None:
        self.host, self.fps, self._width = host, fps, width
        self.places = threading.Semaphore(viewers)
        self._changed = threading.Condition()
        self._drawing = threading.Lock()
        self._newest: tuple[int, Prediction, Any] | None = None
        self._drawn: tuple[int, bytes] = (0, b"")
        self._trails, self._tally, self.closed = Trails(), Tally(), False
        try:
            self._server = _Server((host, port), self)
        except OSError as error:
            raise UsageError(f"cannot listen ({error.strerror})", where=f"{host}:{port}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._server.server_address[1]}/"

    def follow(self, tally: Tally) -> None:
        """Show these counts."""
        self._tally = tally

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def write(self, prediction: Prediction) -> None:
        """Take one prediction; a fault leaves the last picture standing."""
        if prediction.pixels is None or prediction.results is None:
            return
        trails = self._trails.push(prediction.results)
        with self._changed:
            count = self._newest[0] + 1 if self._newest else 1
            self._newest = (count, prediction, trails)
            self._changed.notify_all()

    def jpeg(self, after: int, wait_s: float = 1.0) -> tuple[int, bytes] | None:
        """The newest drawn frame and its number, once that is above `after`; None where none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or (self._newest or (0,))[0] > after, wait_s)
            newest = self._newest
        if self.closed or newest is None or newest[0] <= after:
            return None
        with self._drawing:  # one viewer draws for all
            if self._drawn[0] < newest[0]:
                self._drawn = (newest[0], self._encoded(newest[1], newest[2]))
            return self._drawn

    def _encoded(self, prediction: Prediction, trails: Any) -> bytes:
        assert prediction.pixels is not None and prediction.results is not None
        scale = min(1.0, self._width / size_wh_of(prediction.pixels)[0])
        drawn = draw_results(as_rgb(prediction.pixels), prediction.results, trails=trails, scale=scale)
        options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        done, data = cv2.imencode(".jpg", np.ascontiguousarray(drawn[:, :, ::-1]), options)
        if not done:
            raise RuntimeError("a drawn frame could not be encoded as JPEG")
        return data.tobytes()

    def state(self) -> dict[str, Any]:
        """What the page shows beside the picture."""
        newest = self._newest[1] if self._newest else None
        return {
            **self._tally.plain(),
            "source": newest.source if newest else "",
            "time_s": newest.time_s if newest else None,
            "size_wh": newest.size_wh if newest else None,
            "age_ms": round(newest.age_s * 1000, 1) if newest and newest.age_s is not None else None,
        }

    def knows(self, host: str) -> bool:
        """Whether a request may come under this `Host`."""
        name = urlsplit(f"//{host}").hostname
        return self.host not in LOOPBACK or name in LOOPBACK


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], view: LiveView) -> None:
        self.view = view
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "sightline", ""
    timeout = 10
    pages: ClassVar[dict[str, str]] = {
        "/": "_page",
        "/state.json": "_state",
        "/frame.jpg": "_frame",
        "/stream.mjpeg": "_stream",
    }

    def do_GET(self) -> None:
        """Answer one request."""
        name = self.pages.get(urlsplit(self.path).path)
        if not self.server.view.knows(self.headers.get("Host", "")):
            self.send_error(403, "this host name is not mine")
        elif name is None:
            self.send_error(404)
        else:
            try:
                getattr(self, name)()
            except OSError:  # the viewer left, or is too slow
                self.close_connection = True

    def _page(self) -> None:
        self._whole("text/html; charset=utf-8", Path(__file__).with_name("live_view.html").read_bytes())

    def _state(self) -> None:
        self._whole("application/json", json.dumps(self.server.view.state(), allow_nan=False).encode())

    def _frame(self) -> None:
        found = self.server.view.jpeg(0)
        if found is None:
            self.send_error(503, "no frame yet")
        else:
            self._whole("image/jpeg", found[1])

    def _stream(self) -> None:
        view = self.server.view
        if not view.places.acquire(blocking=False):
            self.send_error(503, "too many viewers")
            return
        try:
            self._head(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            last, pause = 0, threading.Event()
            while not view.closed:
                found = view.jpeg(last)
                if found is None:
                    continue
                last, data = found
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                pause.wait(1 / view.fps)
        finally:
            view.places.release()

    def _whole(self, kind: str, data: bytes) -> None:
        self._head(kind, len(data))
        self.wfile.write(data)

    def _head(self, kind: str, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in _SECURITY.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to the live line."""
