from __future__ import annotations

import hashlib
import http.server
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sightline.core.errors import MediaError, SightlineError, UsageError
from sightline.core.records import Annotation, Record
from sightline.data import fetch_http
from sightline.data.fetch import INDEX, fetch, fetch_all, fetch_reading
from sightline.data.fetch_http import FetchLimits, is_public
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading

NOISE = np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8)
PNG = cv2.imencode(".png", NOISE)[1].tobytes()
JPEG = cv2.imencode(".jpg", NOISE)[1].tobytes()
HERE = FetchLimits(allow_private=True, wait_s=0.0, timeout_s=5.0)


class Web(http.server.ThreadingHTTPServer):
    """A server with one path for every fault; counts requests and keeps the ranges asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.ranges: list[str | None] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested here."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Web

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked[path] += 1
        self.server.ranges.append(self.headers.get("Range"))
        name = path.strip("/").replace("-", "_").partition(".")[0]
        getattr(self, f"at_{name}", self.at_missing)()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for key, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def at_missing(self) -> None:
        self.answer(404)

    def at_ok(self) -> None:
        self.answer(200, PNG)

    def at_photo(self) -> None:
        self.answer(200, JPEG, Content_Type="text/plain")

    def at_page(self) -> None:
        self.answer(200, b"<!DOCTYPE html><title>log in</title>", Content_Type="image/png")

    def at_short(self) -> None:
        self.answer(200, PNG[:-40])

    def at_huge(self) -> None:
        self.answer(200, b"", Content_Length=str(1 << 40))

    def at_endless(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for _ in range(64):
                self.wfile.write(b"8000\r\n" + PNG[:1] * 0x8000 + b"\r\n")
        except OSError:
            pass
        self.close_connection = True

    def at_packed(self) -> None:
        self.answer(200, PNG, Content_Encoding="gzip")

    def at_busy(self) -> None:
        if self.server.asked["/busy"] < 3:
            self.answer(503, Retry_After="7")
        else:
            self.answer(200, PNG)

    def at_down(self) -> None:
        self.answer(500)

    def cut(self, mark: str) -> None:
        """Half of the rest and then silence, unless a range goes on; the first two times."""
        start = 0
        asked = self.headers.get("Range", "")
        if asked and self.headers.get("If-Range") == mark:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        body = PNG[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(PNG) - 1}/{len(PNG)}")
        if mark:
            self.send_header("ETag", mark)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.server.asked[self.path] < 3
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = True

    def at_cut(self) -> None:
        self.cut('"v1"')

    def at_cut_unmarked(self) -> None:
        self.cut("")

    def at_hop(self) -> None:
        self.answer(302, Location="/ok")

    def at_loop(self) -> None:
        self.answer(302, Location="/loop")

    def at_away(self) -> None:
        self.answer(302, Location=f"http://127.0.0.2:{self.server.server_port}/ok")

    def at_file(self) -> None:
        self.answer(302, Location="file:///etc/passwd")

    def at_nowhere(self) -> None:
        self.answer(302)


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def no_sleep(seconds: float) -> None:
    """Tests do not wait."""


def get(url: str, folder: Path, limits: FetchLimits = HERE) -> bytes:
    item = fetch(url, folder, limits, sleep=no_sleep)
    data = (folder / item.file).read_bytes()
    assert item.sha256 == hashlib.sha256(data).hexdigest() and item.bytes == len(data)
    left = [p.name for p in (folder / item.file).parent.iterdir()]
    assert left == [Path(item.file).name]
    return data


def test_a_picture_is_brought_whole_and_known_by_its_hash(web: Web, tmp_path: Path) -> None:
    assert get(f"{web.base}/ok.png", tmp_path) == PNG


def test_what_a_file_is_is_told_by_its_content_not_by_its_name_or_type(web: Web, tmp_path: Path) -> None:
    item = fetch(f"{web.base}/photo?size=1", tmp_path, HERE)
    assert item.file.endswith("-photo.jpg") and (tmp_path / item.file).read_bytes() == JPEG


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("page", "is no picture we read"),
        ("short", "truncated"),
        ("huge", r"has 1099511627776 bytes, the limit is 1073741824"),
        ("packed", "packed"),
        ("missing", "answers 404"),
        ("loop", "redirects more than 5 times"),
        ("file", "only http and https"),
        ("nowhere", "without saying where"),
    ],
)
def test_what_is_refused_is_refused_once_and_leaves_nothing(
    web: Web, tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(MediaError, match=message):
        fetch(f"{web.base}/{path}", tmp_path, HERE, sleep=no_sleep)
    assert web.asked[f"/{path}"] == (6 if path == "loop" else 1)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_file_without_a_length_is_stopped_at_the_limit(web: Web, tmp_path: Path) -> None:
    limits = FetchLimits(allow_private=True, file_bytes=100_000)
    with pytest.raises(MediaError, match="more bytes than the limit of 100000"):
        fetch(f"{web.base}/endless", tmp_path, limits)


def test_a_busy_server_is_asked_again_after_the_wait_it_names(web: Web, tmp_path: Path) -> None:
    waits: list[float] = []
    item = fetch(f"{web.base}/busy", tmp_path, HERE, sleep=waits.append)
    assert (tmp_path / item.file).read_bytes() == PNG
    assert len(waits) == 2 and min(waits) >= 7


def test_tries_end_and_waits_double(web: Web, tmp_path: Path) -> None:
    waits: list[float] = []
    limits = FetchLimits(allow_private=True, attempts=4, wait_s=1.0)
    with pytest.raises(MediaError, match="tried 4 times: answers 500"):
        fetch(f"{web.base}/down", tmp_path, limits, sleep=waits.append)
    assert [round(w, 1) >= 2**i and w < 2**i * 1.2 for i, w in enumerate(waits)] == [True] * 3


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(web: Web, tmp_path: Path) -> None:
    assert get(f"{web.base}/cut", tmp_path) == PNG
    first = len(PNG) // 2
    second = first + (len(PNG) - first) // 2
    assert web.ranges == [None, f"bytes={first}-", f"bytes={second}-"]


def test_a_transfer_of_unmarked_content_starts_anew(web: Web, tmp_path: Path) -> None:
    assert get(f"{web.base}/cut-unmarked", tmp_path) == PNG
    assert web.ranges == [None, None, None]


def test_another_process_goes_on_with_what_the_first_left(web: Web, tmp_path: Path) -> None:
    once = FetchLimits(allow_private=True, attempts=1)
    with pytest.raises(MediaError, match="broke off"):
        fetch(f"{web.base}/cut", tmp_path, once)
    with pytest.raises(MediaError, match="broke off"):
        fetch(f"{web.base}/cut", tmp_path, once)
    assert get(f"{web.base}/cut", tmp_path, once) == PNG
    assert web.ranges[1:] != [None, None]


def test_loopback_is_not_visited_unless_told(web: Web, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"127\.0\.0\.1, which is not a public .*--fetch-private"):
        fetch(f"{web.base}/ok", tmp_path)
    assert not web.asked


PRIVATE = """0.0.0.0 127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 224.0.0.1 ::1 ::
255.255.255.255 fe80::1 fe80::1%eth0 fc00::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1
2002:7f00:1:: 2002:a00:1::"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


def test_a_redirect_is_judged_like_a_first_request(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_http, "is_public", lambda address: address == "127.0.0.1")
    assert get(f"{web.base}/hop", tmp_path, FetchLimits()) == PNG
    with pytest.raises(UsageError, match=r"127\.0\.0\.2, which is not a public address"):
        fetch(f"{web.base}/away", tmp_path)


def test_a_name_that_changes_its_address_gains_nothing(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is judged and connected to; a second, private one is never asked for."""
    answers = iter(["127.0.0.1", "127.0.0.2"])

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(fetch_http, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(fetch_http.socket, "getaddrinfo", look_up)
    monkeypatch.setattr(
        fetch_http.socket, "create_connection", connection_to({"127.0.0.1"}, socket.create_connection)
    )
    item = fetch(f"http://rebind.example:{web.server_port}/ok", tmp_path)
    assert (tmp_path / item.file).read_bytes() == PNG and next(answers) == "127.0.0.2"


def connection_to(allowed: set[str], connect: Any) -> Any:
    def only(address: tuple[str, int], timeout: float | None = None) -> socket.socket:
        assert address[0] in allowed
        sock = socket.socket()
        sock.settimeout(timeout)
        sock.connect(address)
        return sock

    return only


def test_one_private_address_among_several_is_enough_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [(2, 1, 6, "", ("1.1.1.1", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(fetch_http.socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(UsageError, match=r"10\.0\.0\.1"):
        fetch("http://mixed.example/a.png", tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/b.png",
        "http:///a.png",
        "http://u:p@a.example/b.png",
        "http://[::1",
        "http://a:99999/b",
        "file:///a.png",
    ],
)
def test_addresses_of_another_kind_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        fetch(url, tmp_path)


def test_a_step_down_from_https_is_refused() -> None:
    with pytest.raises(MediaError, match="down to http"):
        fetch_http.checked_url("http://a.example/b", fetch_http.checked_url("https://a.example/b"))


def test_names_in_addresses_cannot_climb_out(web: Web, tmp_path: Path) -> None:
    for tail in ("/ok/..%2f..%2f..%2fescape.png", "/ok?x=/../../e.png"):
        try:
            item = fetch(web.base + tail, tmp_path / "in", HERE)
        except SightlineError:
            continue
        assert (tmp_path / "in" / item.file).resolve().is_relative_to(tmp_path / "in")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_many_are_brought_once_and_the_reasons_of_others_are_given(web: Web, tmp_path: Path) -> None:
    urls = [f"{web.base}/ok?{i}" for i in range(5)] + [f"{web.base}/missing", f"{web.base}/ok?0"]
    seen: list[tuple[str, int, int]] = []
    came, failed = fetch_all(urls, tmp_path, HERE, lambda *step: seen.append(step), sleep=no_sleep)
    assert len(came) == 5 and list(failed) == [f"{web.base}/missing"]
    assert seen[-1] == ("fetch", 6, 6) and web.asked["/ok"] == 5
    again, _ = fetch_all(urls, tmp_path, HERE, sleep=no_sleep)
    assert again == came and web.asked["/ok"] == 5
    entries = json.loads((tmp_path / INDEX).read_text())
    assert {e["sha256"] for e in entries} == {hashlib.sha256(PNG).hexdigest()}


def test_the_limit_of_all_files_stops_the_rest(web: Web, tmp_path: Path) -> None:
    limits = FetchLimits(allow_private=True, total_bytes=len(PNG) - 1, workers=1)
    came, failed = fetch_all([f"{web.base}/ok?{i}" for i in range(6)], tmp_path, limits, sleep=no_sleep)
    assert came and len(came) + len(failed) == 6 and len(failed) >= 3
    assert all("limit of" in why for why in failed.values())


def test_an_import_fetches_when_told_and_lists_what_is_missing_when_not(web: Web, tmp_path: Path) -> None:
    value = {"x": 0, "y": 0, "width": 50, "height": 50, "rectanglelabels": ["a"]}
    result = [{"id": "r", "original_width": 90, "original_height": 80, "value": value}]
    names = [f"{web.base}/ok.png", f"{web.base}/missing.png", "here.png"]
    tasks = [
        {"id": i, "data": {"image": n}, "annotations": [{"id": i, "completed_by": 1, "result": result}]}
        for i, n in enumerate(names)
    ]
    (tmp_path / "here.png").write_bytes(PNG)
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    bare, ledger = import_dataset(tmp_path / "export.json", tmp_path / "bare")
    assert any(note.startswith("2 pictures are missing") for note in ledger.notes) and not web.asked
    full, ledger = import_dataset(tmp_path / "export.json", tmp_path / "full", fetch=HERE)
    assert [r.id for r in full.records] == [r.id for r in bare.records]
    for at in (0, 2):
        np.testing.assert_array_equal(full.read(full.records[at])[:, :, ::-1], NOISE)
    assert full.records[1].media == f"{web.base}/missing.png"
    assert any("answers 404" in note for note in ledger.notes)
    assert any(note.startswith("1 of 2 pictures fetched") for note in ledger.notes)


def test_readings_without_addresses_are_left_as_they_are(tmp_path: Path) -> None:
    mark = Annotation(0)
    reading = Reading(
        ("a",), [Record("", "a.png", (1, 1), (mark,)), Record("", "s3://b/c.png", (1, 1))], tmp_path
    )
    ledger = Ledger()
    assert fetch_reading(reading, tmp_path / "out", ledger) is reading
    assert ledger.notes == ["1 pictures are in stores that are not fetched (s3, gs, ftp)"]
