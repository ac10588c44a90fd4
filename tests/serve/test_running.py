"""The real server on a real socket: slow and broken clients, draining, swapping, the command itself."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serve.asking import encoded
from serve.graphs import make_package

REPO = Path(__file__).resolve().parents[2]
COMMAND = "import sys; from sightline.cli.main import main; main(['serve', *sys.argv[1:]])"


class Running:
    """A service in a process of its own, ready."""

    def __init__(self, log: Path, *arguments: str, wait: bool = True, **environment: str) -> None:
        self.log = log
        command = [sys.executable, "-c", COMMAND, "--port", "0", *arguments]
        told = {**os.environ, "PYTHONPATH": str(REPO / "src"), **environment}
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stderr=file, env=told)
        if wait:
            while not self.ready():
                assert self.process.poll() is None, log.read_text()
                time.sleep(0.05)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    @property
    def port(self) -> int:
        address = next((str(line["address"]) for line in self.lines() if line["event"] == "listening"), ":0")
        return int(address.rpartition(":")[2])

    def ready(self) -> bool:
        if not self.port:
            return False
        try:
            with self.get("/v2/health/ready") as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        return False

    def json(self, path: str, data: bytes | None = None, **headers: str) -> Any:
        with self.get(path, data, **headers) as answer:
            return json.load(answer)

    def status(self, path: str, data: bytes | None = None, **headers: str) -> int:
        try:
            with self.get(path, data, **headers) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def get(self, path: str, data: bytes | None = None, **headers: str) -> urllib.response.addinfourl:
        named = {"content-type": "application/octet-stream", **headers}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, named)
        return urllib.request.urlopen(request, timeout=100)

    def talk(self, *parts: bytes, wait_s: float = 100, pause_s: float = 0.0) -> bytes:
        """What a connection answers to bytes sent piece by piece, until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as connection:
            found = b""
            try:
                for part in parts:
                    connection.sendall(part)
                    if pause_s and select.select([connection], [], [], pause_s)[0]:
                        break  # it has had enough
                while data := connection.recv(65536):
                    found += data
            except (ConnectionResetError, BrokenPipeError):
                pass
            return found


@contextmanager
def running(log: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    service = Running(log, *arguments, **environment)
    try:
        yield service
    finally:
        service.process.kill()
        service.process.wait()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_package(tmp_path_factory.mktemp("served") / "package", "detect")


@pytest.fixture(scope="module")
def service(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("log") / "log", str(package)) as found:
        yield found


def post(body: bytes, more: str = "", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"POST /predict/detect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}"
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + body


def test_the_command_serves_and_imports_no_torch(service: Running) -> None:
    told = service.json("/predict/detect", encoded())
    assert told["results"]["detect"]
    assert "torch" not in Path(f"/proc/{service.process.pid}/maps").read_text()
    events = [line["event"] for line in service.lines() if line["event"] != "request"]
    assert events[:3] == ["listening", "serving", "ready"]


def test_it_listens_on_this_machine_alone(service: Running) -> None:
    assert next(line for line in service.lines() if line["event"] == "listening")["address"].startswith(  # type: ignore
        "http://127.0.0.1:"
    )


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET / HTTP/1.1\r\nHost x\r\n\r\n", b"400"),
        (b"POST /predict/detect HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
        (
            b"POST /predict/detect HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
            b"400",
        ),
        (b"GET /" + b"a" * 70_000, b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, b"431"),
    ],
)
def test_broken_http_is_refused_in_json(service: Running, sent: bytes, status: bytes) -> None:
    answer = service.talk(sent)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_clients_that_leave_in_the_middle_change_nothing(service: Running) -> None:
    whole = post(encoded())
    for cut in (10, 80, len(whole) - 50, len(whole)):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(whole[:cut])
    assert service.status("/predict/detect", encoded()) == 200
    assert not any(line["event"] == "fault" for line in service.lines())


def test_a_body_over_the_limit_is_refused_without_being_read(service: Running) -> None:
    answer = service.talk(post(b"x" * 1000, length=10**10), wait_s=5)
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.slow
def test_clients_that_send_a_byte_now_and_then_are_cut_off(package: Path, tmp_path: Path) -> None:
    with running(tmp_path / "log", str(package), "--receive-s", "1.5") as found:
        began = time.monotonic()
        head = b"GET / HTTP/1.1\r\nX: " + b"a" * 500
        assert found.talk(*(bytes([b]) for b in head), pause_s=0.1).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 15
        body = [post(b"", length=1000), *([b"x"] * 300)]
        assert found.talk(*body, pause_s=0.1).startswith(b"HTTP/1.1 408")
        assert found.talk(b"", wait_s=10) == b""  # a connection that never says anything is closed
        assert found.status("/predict/detect", encoded()) == 200


def test_told_to_stop_it_answers_what_still_comes_and_exits_cleanly(package: Path, tmp_path: Path) -> None:
    with running(tmp_path / "log", str(package)) as found:
        kept = http.client.HTTPConnection("127.0.0.1", found.port, timeout=100)

        def ask() -> http.client.HTTPResponse:
            kept.request("POST", "/predict/detect", encoded(), {"content-type": "image/png"})
            answer = kept.getresponse()
            assert answer.status == 200 and json.load(answer)["results"]
            return answer

        assert ask().getheader("connection") is None
        found.process.send_signal(signal.SIGTERM)
        while not any(line["event"] == "draining" for line in found.lines()):
            time.sleep(0.01)
        assert found.status("/v2/health/ready") == 503
        assert ask().getheader("connection") == "close"  # it was on its way when the service was told
        kept.close()
        assert found.process.wait(200) == 0


def test_a_replaced_package_is_swapped_in_by_itself(tmp_path: Path) -> None:
    make_package(tmp_path / "1", "detect", version="1")
    make_package(tmp_path / "2", "detect", version="2", seed=5)
    link = tmp_path / "live"
    link.symlink_to("1")
    with running(tmp_path / "log", str(link), "--watch-s", "0.1") as found:
        assert found.json("/predict/detect", encoded())["version"] == "1"
        (tmp_path / "next").symlink_to("2")
        (tmp_path / "next").rename(link)
        end = time.monotonic() + 100
        while found.json("/predict/detect", encoded())["version"] != "2":
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_start_that_cannot_succeed_says_why_and_exits_with_two(package: Path, tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    for arguments, reason in (
        ([str(tmp_path / "nothing")], "cannot be read"),
        ([str(package), "--port", str(taken.getsockname()[1])], "cannot listen"),
        ([str(package), "--tokens", str(tmp_path / "none")], "tokens cannot be read"),
        ([str(package), "--formats", "exe"], "known: jpeg"),
        ([str(package), "--tls-cert", str(tmp_path / "none.pem")], "TLS"),
    ):
        found = Running(tmp_path / "log", *arguments, wait=False)
        assert found.process.wait(60) == 2
        text = found.log.read_text()
        assert "error: " in text and reason in text and "Traceback" not in text
    taken.close()


def test_tokens_come_from_the_environment(package: Path, tmp_path: Path) -> None:
    with running(tmp_path / "log", str(package), SIGHTLINE_TOKENS="ann:correct-horse-battery") as found:
        assert found.status("/models") == 401
        assert found.status("/models", authorization="Bearer correct-horse-battery") == 200
