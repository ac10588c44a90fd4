"""Hot swaps and a stop under load: no request may be lost, none answered wrong.

Thirty-two clients ask without a pause while the package is replaced again and again by two versions whose
answers differ; every answer must be the one of the version that it names. Then the process is told to stop
while the clients go on: each goes to a second process, as behind a balancer, once it is told that its
connection closes. A request is lost when its connection ends without an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from serve_load import (
    REPO,
    Answer,
    Connection,
    environment,
    jpegs,
    request_bytes,
    run,
    same_scores,
    server,
    tell,
)

CLIENTS, LEAST = 32, 2000


def make_versions(folder: Path) -> list[Path]:
    """Two versions of a small detector with other weights."""
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from sightline.core.specs import InputSpec\n"
        "from sightline.export.writing import package_model\n"
        "from sightline.models.catalogue import build\n"
        "for seed in (1, 2):\n"
        "    torch.manual_seed(seed)\n"
        "    model = build('mobilenetv3_small_100', tasks=('classify',), classes=tuple('abcdefgh'),\n"
        "                  inputs={'image': InputSpec((96, 96), 'stretch')})\n"
        "    package_model(model.eval(), Path(sys.argv[1]) / str(seed), name='m', version=str(seed))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=environment(), cwd=REPO)
    return [folder / "1", folder / "2"]


def put(source: Path, place: Path) -> None:
    """A package in the place of another: written beside it, then renamed."""
    part, old = place.with_name(".part"), place.with_name(".old")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    if place.exists():
        place.rename(old)
    part.rename(place)
    shutil.rmtree(old, ignore_errors=True)


class Clients:
    """Clients that never pause; each moves to the next port when its connection is closed."""

    def __init__(self, ports: Sequence[int], requests: Sequence[bytes]) -> None:
        self._ports, self._requests = list(ports), requests
        self.answers: list[Answer] = []
        self._at: dict[Connection, int] = {}
        self._moving: set[asyncio.Task[None]] = set()
        self.running = True
        self._count = 0
        self.moved = 0

    async def start(self) -> None:
        for _ in range(CLIENTS):
            await self._open(0)

    async def _open(self, which: int) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self._done), "127.0.0.1", self._ports[which]
        )
        self._at[connection] = which
        self._ask(connection)

    def _ask(self, connection: Connection) -> None:
        connection.ask(self._count, self._requests[self._count % len(self._requests)])
        self._count += 1

    def _done(self, connection: Connection, answer: Answer) -> None:
        self.answers.append(answer)
        if not self.running:
            return
        if connection.open and not answer.closing:
            self._ask(connection)
            return
        self.moved += 1
        which = min(self._at.pop(connection) + 1, len(self._ports) - 1)
        task = asyncio.get_running_loop().create_task(self._open(which))
        self._moving.add(task)
        task.add_done_callback(self._moving.discard)

    async def stop(self) -> None:
        self.running = False
        await asyncio.sleep(1)


async def expected(port: int, requests: Sequence[bytes]) -> dict[int, object]:
    """What each picture is answered with, asked one by one."""
    found: dict[int, object] = {}
    ready: asyncio.Queue[Answer] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(lambda _, a: ready.put_nowait(a)), "127.0.0.1", port
    )
    for index, request in enumerate(requests):
        connection.ask(index, request)
        found[index] = json.loads((await ready.get()).body)["results"]
    return found


def judge(
    answers: Sequence[Answer], known: dict[str, dict[int, object]], count: int
) -> tuple[int, int, dict[str, int]]:
    """Lost and wrong answers, and how many each version gave."""
    lost = wrong = 0
    by: dict[str, int] = {}
    for answer in answers:
        if answer.status == 0:
            lost += 1
            continue
        told = json.loads(answer.body) if answer.status == 200 else {}
        version = str(told.get("version"))
        by[version] = by.get(version, 0) + 1
        wrong += version not in known or not same_scores(
            told["results"], known[version][answer.index % count]
        )
    return lost, wrong, by


async def measure(
    place: Path, versions: list[Path], ports: list[int], pid: int, swaps: int
) -> tuple[Clients, Clients]:
    requests = [request_bytes("/predict/m", file) for file in jpegs()]
    swapping = Clients([ports[0]], requests)
    await swapping.start()
    for index in range(swaps):
        await asyncio.sleep(1.2)
        await asyncio.get_running_loop().run_in_executor(None, put, versions[(index + 1) % 2], place)
    await asyncio.sleep(1.2)
    await swapping.stop()
    stopping = Clients(ports, requests)
    await stopping.start()
    await asyncio.sleep(1.5)
    os.kill(pid, signal.SIGTERM)
    await asyncio.sleep(3)
    await stopping.stop()
    return swapping, stopping


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=8)
    options = parser.parse_args()
    requests = [request_bytes("/predict/m", file) for file in jpegs()]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        versions = make_versions(folder)
        known: dict[str, dict[int, object]] = {}
        for source in versions:
            with server([str(source)], folder / f"{source.name}.log") as (_, port):
                known[source.name] = run(lambda p=port: expected(p, requests))  # type: ignore[assignment, misc]
        differ = sum(not same_scores(known["1"][i], known["2"][i]) for i in range(len(requests)))
        assert differ == len(requests), "the two versions must answer differently"
        place = folder / "live"
        put(versions[0], place)
        live = [str(place), "--watch-s", "0.2", "--deadline-ms", "10000"]
        with (
            server(live, folder / "a.log") as (first, port),
            server([str(versions[0]), "--deadline-ms", "10000"], folder / "b.log") as (_, second),
        ):
            began = time.perf_counter()
            found = run(lambda: measure(place, versions, [port, second], first.pid, options.swaps))
            assert isinstance(found, tuple)
            code = first.wait(30)
            seconds = time.perf_counter() - began
        swapped = (folder / "a.log").read_text().count('"swapped"')
    lost = wrong = total = 0
    for name, clients in zip(("swap", "stop"), found, strict=True):
        one, two, by = judge(clients.answers, known, len(requests))
        tell(name, {"answers": len(clients.answers), "lost": one, "wrong": two, "moved": clients.moved, **by})
        lost, wrong, total = lost + one, wrong + two, total + len(clients.answers)
    print(
        f"swap: {swapped} swaps and a stop (exit {code}) in {seconds:.0f} s: {lost} lost and {wrong} wrong "
        f"of {total} answers (bar 0 of >= {LEAST})"
    )
    met = not lost and not wrong and total >= LEAST and swapped >= options.swaps and code == 0
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
