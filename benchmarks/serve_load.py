"""What the benchmarks of the service share: packages, pictures, a server, and a load generator that is cheap.

The load runs on the same cores as the server, so a connection is one `asyncio.Protocol` that writes prepared
bytes and looks for the length of the answer, nothing else.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
SIZE_WH = (640, 480)
REPO = Path(__file__).resolve().parent.parent


def jpegs(count: int = 16, quality: int = 85) -> list[bytes]:
    """Pictures of 640x480 with structure and sensor noise, about 60 kB each."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(count):
        small = random.integers(0, 256, (30, 40, 3), np.uint8)
        picture = cv2.resize(small, SIZE_WH, interpolation=cv2.INTER_CUBIC).astype(np.int16)
        noisy = np.clip(picture + random.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
        found.append(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
    return found


def make_packages(folder: Path) -> dict[str, Path]:
    """EfficientNet-B0 at 224 and a small detector, untrained: speed does not depend on the weights."""
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from sightline.core.specs import InputSpec\n"
        "from sightline.export.writing import package_model\n"
        "from sightline.models.catalogue import build\n"
        "out = Path(sys.argv[1]); torch.manual_seed(0)\n"
        "names = tuple(f'class{i}' for i in range(1000))\n"
        "b0 = build('efficientnet_b0', tasks=('classify',), classes=names,\n"
        "           inputs={'image': InputSpec((224, 224), 'stretch')})\n"
        "package_model(b0.eval(), out / 'b0', name='b0', version='1')\n"
        "yolo = build('yolo-n', tasks=('detect',), classes=names[:80],\n"
        "             inputs={'image': InputSpec((320, 320))})\n"
        "package_model(yolo.eval(), out / 'yolo', name='yolo', version='1')\n"
    )
    if not (folder / "yolo").is_dir():
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=environment())
    return {name: folder / name for name in ("b0", "yolo")}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPO / "src")}


@contextmanager
def server(
    arguments: Sequence[str], log: Path, *, quiet: bool = True
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A service in its own process, ready; its port."""
    code = "import sys; from sightline.cli.main import main; main(['serve', *sys.argv[1:]])"
    command = [sys.executable, "-c", code, "--port", "0", *arguments, *(["--quiet"] if quiet else [])]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, env=environment())
        try:
            yield process, wait_ready(process, log)
        finally:
            process.kill()
            process.wait()


def wait_ready(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port, once every model is warm."""
    port = 0
    while process.poll() is None:
        found = re.search(r'"listening", "address": "[a-z]+://[^"]*:(\d+)"', log.read_text())
        if found:
            port = int(found.group(1))
            if is_ready(port):
                return port
        time.sleep(0.005)
    raise RuntimeError(f"the service ended: {log.read_text()[-2000:]}")


def is_ready(port: int, path: str = "/v2/health/ready") -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Resident memory now, or its peak (`VmHWM`)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+)", text).group(1)) / 1024  # type: ignore[union-attr]


def request_bytes(path: str, body: bytes, kind: str = "image/jpeg", headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Answer:
    """One answer: which request, its status, body, seconds; status 0 where the connection was lost."""

    index: int
    status: int
    body: bytes
    seconds: float
    closing: bool = False


class Connection(asyncio.Protocol):
    """One connection that is asked one thing at a time."""

    def __init__(self, done: Callable[[Connection, Answer], None]) -> None:
        self._done = done
        self._data = b""
        self._need = -1
        self._index = -1
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.open = True

    def ask(self, index: int, data: bytes, began: float | None = None) -> None:
        self._index, self._began = index, began or time.perf_counter()
        self._data, self._need = b"", -1
        self.transport.write(data)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        if self._need < 0:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            found = LENGTH.search(self._data, 0, end + 2)
            self._need = end + 4 + (int(found.group(1)) if found else 0)
            self._head = end
        if len(self._data) >= self._need and self._index >= 0:
            closing = b"connection: close" in self._data[: self._head].lower()
            body = self._data[self._head + 4 : self._need]
            self._finish(int(self._data[9:12]), body, closing)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._index >= 0:
            self._finish(0, b"", True)

    def _finish(self, status: int, body: bytes, closing: bool) -> None:
        answer = Answer(self._index, status, body, time.perf_counter() - self._began, closing)
        self._index = -1
        self._done(self, answer)


@dataclass
class Load:
    """Answers of a load, and how long it took."""

    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.answers) / self.seconds

    def percentile(self, q: float, status: int = 200) -> float:
        times = [answer.seconds for answer in self.answers if answer.status == status]
        return float(np.percentile(times, q)) * 1000 if times else float("inf")

    def statuses(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        for answer in self.answers:
            counts[answer.status] = counts.get(answer.status, 0) + 1
        return counts


async def closed_loop(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """`clients` connections that each ask again as soon as they were answered, for so many seconds."""
    loop = asyncio.get_running_loop()
    load, finished = Load(), loop.create_future()
    began = time.perf_counter()
    state = {"next": 0, "open": clients}

    def ask(connection: Connection) -> None:
        index = state["next"]
        state["next"] += 1
        connection.ask(index, requests[index % len(requests)])

    def done(connection: Connection, answer: Answer) -> None:
        load.answers.append(answer)
        if time.perf_counter() - began < seconds and connection.open and not answer.closing:
            ask(connection)
            return
        state["open"] -= 1
        if not state["open"] and not finished.done():
            finished.set_result(None)

    made = [await loop.create_connection(lambda: Connection(done), "127.0.0.1", port) for _ in range(clients)]
    began = time.perf_counter()
    for _, connection in made:
        ask(connection)
    await finished
    load.seconds = time.perf_counter() - began
    for transport, _ in made:
        transport.close()
    return load


def run(work: Callable[[], object]) -> object:
    """Run a coroutine under uvloop."""
    import uvloop

    return uvloop.run(work())  # type: ignore[arg-type]


def loaded(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """`closed_loop`, in this thread."""
    found = run(lambda: closed_loop(port, requests, clients, seconds))
    assert isinstance(found, Load)
    return found


def same_scores(told: object, known: object, within: float = 1e-4) -> bool:
    """Whether two classifications say the same, but for rounding: several threads sum in another order."""
    one, two = (answer["classify"]["scores"] for answer in (told, known))  # type: ignore[index]
    shared = set(one) & set(two)
    close = all(abs(one[name] - two[name]) <= within for name in shared)
    least = min(min(one.values()), min(two.values()))
    # A class at the end of the list may give way to another one as likely.
    rest = [answer[name] for answer in (one, two) for name in set(answer) - shared]
    return close and all(score - least <= within for score in rest)


def tell(name: str, values: dict[str, float]) -> None:
    print(name, json.dumps({key: round(value, 3) for key, value in values.items()}), flush=True)
