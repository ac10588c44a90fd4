"""Ten thousand hostile requests among good ones: every good one is answered right, and memory stays.

Two runs of the same good requests against the same service, each in a process of its own: one clean, one
with the hostile ones among them from other connections. Hostile are decompression bombs, truncated and
polyglot files, pictures a million pixels wide, wrong content types, empty bodies, malformed tensors, unknown
models, bad tokens, path tricks, gzip bombs, lies about lengths, broken HTTP, clients that leave in the middle
and clients that send a byte now and then. Each that is answered must get a 4xx. Memory is the peak of the
resident set (VmHWM).
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import io
import json
import os
import random
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from serve_load import (
    Answer,
    Connection,
    Load,
    jpegs,
    make_packages,
    memory_mb,
    request_bytes,
    run,
    same_scores,
    server,
    tell,
)

MEMORY_BAR = 1.3
TOKEN = "a-token-of-the-benchmark"
AUTH = f"Authorization: Bearer {TOKEN}\r\n"
LOITERERS, HOSTILE_CLIENTS, GOOD_CLIENTS = 32, 16, 4


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def a_zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("run.js", "alert(1)")
    return made.getvalue()


def hostile_requests(files: list[bytes]) -> list[bytes]:
    """One of each kind that gets an answer."""
    jpeg, predict = files[0], "/predict/b0"
    bomb = gzip.compress(bytes(100_000_000))
    bodies = [
        png(1_000_000, 1),
        png(1, 1_000_000),
        png(60_000, 60_000),
        png(6000, 6000, bytes(1000)),
        png(0, 0),
        png(500, 500, b"short"),
        jpeg[: len(jpeg) // 2],
        jpeg[:100],
        jpeg + a_zip(),
        png(8, 8) + a_zip(),
        b"",
        b"\0" * 1000,
        b"GIF89a" + bytes(100),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        os.urandom(50_000),
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 30_000, 30_000) + bytes(100),
        b"\xff\xd8\xff\xc2\x00\x11\x08" + struct.pack(">HH", 65_000, 65_000) + bytes(200),
        b"RIFF\xff\xff\xff\x7fWEBPVP8X" + bytes(100),
    ]
    found = [request_bytes(predict, body, "application/octet-stream", AUTH) for body in bodies]
    found += [
        request_bytes(predict, jpeg, kind, AUTH) for kind in ("text/plain", "image/png", "video/mp4", "x")
    ]
    found += [request_bytes(path, jpeg, headers=AUTH) for path in PATHS]
    found += [
        request_bytes(predict, jpeg, headers=f"Authorization: {value}\r\n")
        for value in ("Bearer x", "Basic !", "")
    ]
    found += [request_bytes(predict, text, "application/json", AUTH) for text in JSON]
    found.append(request_bytes(predict, bomb, headers=AUTH + "Content-Encoding: gzip\r\n"))
    found.append(request_bytes(predict, bomb[:5000], headers=AUTH + "Content-Encoding: gzip\r\n"))
    found.append(request_bytes(predict, jpeg, headers=AUTH + "Content-Encoding: br\r\n"))
    found.append(request_bytes(predict, jpeg, "multipart/form-data; boundary=x", AUTH))
    found += [request_bytes("/v2/models/b0/infer", text, "application/json", AUTH) for text in TENSORS]
    huge = AUTH + "Inference-Header-Content-Length: 999999\r\n"
    found.append(request_bytes("/v2/models/b0/infer", b"{}", headers=huge))
    found.append(b"POST /predict/b0 HTTP/1.1\r\n" + AUTH.encode() + b"Content-Length: 99999999999\r\n\r\n")
    return found


PATHS = (
    "/predict/nothing",
    "/predict/../../etc/passwd",
    "/predict/..%2f..%2fetc%2fpasswd",
    "/predict/%00",
    "/predict/",
    "/predict/b0/versions/99",
    "/v2/models/..%2f..%2f/infer",
    "/%2e%2e/etc/passwd",
    "/predict/" + "a" * 3000,
)
JSON = (
    b"{",
    b"[" * 200_000,
    b'{"picture": "/etc/passwd"}',
    b'{"picture": "http://169.254.169.254/latest"}',
    b"null",
    b'{"pictures": [' + b"0," * 100_000 + b"0]}",
    b'{"picture": ' + b"9" * 100_000 + b"}",
    b'{"picture": NaN}',
)


def tensor(**changes: object) -> bytes:
    given = {"name": "image", "shape": [1, 224, 224, 3], "datatype": "UINT8", "data": [1, 2, 3]} | changes
    return json.dumps({"inputs": [given]}).encode()


TENSORS = (
    tensor(),
    tensor(shape=[1, 1 << 40]),
    tensor(shape=[-1, 224, 224, 3]),
    tensor(datatype="FP32"),
    tensor(name="x"),
    tensor(data=["x" * 10_000] * 300),
    tensor(data=[[[[[[1]]]]]]),
    tensor(shape=[60, 224, 224, 3]),
    b'{"inputs": 5}',
    tensor(parameters={"binary_data_size": 1 << 50}),
    tensor(data=[0.5] * 150_528),
    tensor(shape=None),
)

BROKEN = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    b"GET / HTTP/9.9\r\n\r\n",
    b"\r\n\r\n\r\n" + bytes(50),
    b"POST /predict/b0 HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /predict/b0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /predict/b0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n",
    b"GET /" + b"a" * 100_000,
    b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000,
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
)


class Swarm:
    """Clients that send hostile requests until there are none left."""

    def __init__(self, port: int, requests: list[bytes], count: int) -> None:
        self._port, self._requests, self._left = port, requests, count
        self.statuses: dict[int, int] = {}
        self.sent = 0

    def _next(self) -> bool:
        self._left -= 1
        self.sent += self._left >= 0
        return self._left >= 0

    def _count(self, status: int) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1

    async def answered(self) -> None:
        """Requests that get an answer, on a connection that is kept while the service keeps it."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Answer] = asyncio.Queue()
        connection: Connection | None = None
        while self._next():
            if connection is None or not connection.open:
                _, connection = await loop.create_connection(
                    lambda: Connection(lambda _, found: queue.put_nowait(found)), "127.0.0.1", self._port
                )
            connection.ask(0, self._requests[self.sent % len(self._requests)])
            answer = await queue.get()
            self._count(answer.status)
            if answer.closing or answer.status == 413:
                connection.transport.close()  # type: ignore[attr-defined]
                connection = None

    async def broken(self) -> None:
        """Broken HTTP, and connections that end in the middle of a request."""
        while self._next():
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                if self.sent % 2:
                    writer.write(BROKEN[self.sent // 2 % len(BROKEN)])
                    writer.write_eof()
                    line = await asyncio.wait_for(reader.read(64), 15)
                    self._count(int(line[9:12]) if line.startswith(b"HTTP/1.1 ") else 0)
                else:
                    whole = self._requests[0][:40] + request_bytes("/predict/b0", bytes(60_000), headers=AUTH)
                    writer.write(whole[40 : 40 + random.randint(1, 50_000)])
                    await asyncio.sleep(0)
                    self._count(0)
            except (TimeoutError, OSError):
                self._count(0)
            finally:
                writer.close()

    async def loiter(self, stop: asyncio.Event) -> None:
        """A byte now and then, until the service has had enough, again and again."""
        text = b"POST /predict/b0 HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 1000
        while not stop.is_set():
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                for byte in text:
                    writer.write(bytes([byte]))
                    await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(stop.wait())), 1)
            except (TimeoutError, OSError):
                await asyncio.sleep(0.5)
            finally:
                writer.close()


async def good_loop(port: int, requests: list[bytes], count: int, until: Callable[[], bool]) -> Load:
    """Good requests from a few clients, at least `count` and until told."""
    loop = asyncio.get_running_loop()
    load, finished = Load(), loop.create_future()
    state = {"next": 0, "open": GOOD_CLIENTS}

    def done(connection: Connection, answer: Answer) -> None:
        load.answers.append(answer)
        if state["next"] < count or not until():
            connection.ask(state["next"], requests[state["next"] % len(requests)])
            state["next"] += 1
            return
        state["open"] -= 1
        if not state["open"]:
            finished.set_result(None)

    for _ in range(GOOD_CLIENTS):
        _, connection = await loop.create_connection(lambda: Connection(done), "127.0.0.1", port)
        connection.ask(state["next"], requests[state["next"] % len(requests)])
        state["next"] += 1
    await finished
    return load


async def clean(port: int, good: list[bytes], count: int) -> Load:
    return await good_loop(port, good, count, lambda: True)


async def mixed(
    port: int, good: list[bytes], bad: list[bytes], count: int, hostile: int
) -> tuple[Load, Swarm]:
    swarm, stop = Swarm(port, bad, hostile), asyncio.Event()
    loiterers = [asyncio.ensure_future(swarm.loiter(stop)) for _ in range(LOITERERS)]
    workers = [asyncio.ensure_future(swarm.answered()) for _ in range(HOSTILE_CLIENTS)]
    workers += [asyncio.ensure_future(swarm.broken()) for _ in range(4)]
    load = await good_loop(port, good, count, lambda: all(worker.done() for worker in workers))
    await asyncio.gather(*workers)
    stop.set()
    for loiterer in loiterers:
        loiterer.cancel()
    return load, swarm


def wrong(load: Load, known: dict[int, object], count: int) -> int:
    """Good requests that were not answered as they are when nothing else goes on."""
    return sum(
        answer.status != 200
        or not same_scores(json.loads(answer.body)["results"], known[answer.index % count])
        for answer in load.answers
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hostile", type=int, default=10_000)
    parser.add_argument("--good", type=int, default=1000)
    parser.add_argument("--packages", type=Path, help="folder to keep the packages in")
    options = parser.parse_args()
    files = jpegs()
    good = [request_bytes("/predict/b0", file, headers=AUTH) for file in files]
    bad = hostile_requests(files)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "tokens").write_text(f"benchmark:{TOKEN}\n")
        package = make_packages(options.packages or folder)["b0"]
        arguments = [str(package), "--tokens", str(folder / "tokens"), "--deadline-ms", "20000"]
        with server(arguments, folder / "clean.log") as (process, port):
            first = run(lambda: clean(port, good, options.good))
            assert isinstance(first, Load)
            calm_mb = memory_mb(process.pid, "VmHWM")
        known = {a.index: json.loads(a.body)["results"] for a in first.answers if a.index < len(good)}
        with server(arguments, folder / "mixed.log") as (process, port):
            found = run(lambda: mixed(port, good, bad, options.good, options.hostile))
            assert isinstance(found, tuple)
            load, swarm = found
            peak_mb = memory_mb(process.pid, "VmHWM")
            alive = process.poll() is None
        faults = (folder / "mixed.log").read_text().count('"event": "fault"')
    missed = wrong(first, known, len(good)) + wrong(load, known, len(good))
    odd = {status: n for status, n in swarm.statuses.items() if status and not 400 <= status < 500}
    tell(
        "hostile",
        {"calm_mb": calm_mb, "peak_mb": peak_mb, "good": len(load.answers), "p99": load.percentile(99)},
    )
    print("answers to hostile requests:", dict(sorted(swarm.statuses.items())))
    ratio = peak_mb / calm_mb
    print(
        f"hostile: {swarm.sent} hostile among {len(load.answers)} good requests: {missed} good ones wrong, "
        f"{sum(odd.values())} hostile ones not refused with a 4xx, {faults} faults, memory x{ratio:.2f} "
        f"(bar {MEMORY_BAR}), {'alive' if alive else 'DEAD'}"
    )
    met = alive and not missed and not odd and not faults and ratio <= MEMORY_BAR
    return 0 if met and swarm.sent >= options.hostile else 1


if __name__ == "__main__":
    sys.exit(main())
