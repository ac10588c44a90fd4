"""Four times the requests that can be answered, for a minute.

Capacity is measured first, by clients that ask as soon as they are answered. Then requests are sent by
the clock at four times that rate, whatever comes back. Nothing but 200 and 429 may come back; the accepted
ones keep their deadline at p99; the process neither ends nor grows.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from serve_load import (
    Answer,
    Connection,
    Load,
    jpegs,
    loaded,
    make_packages,
    memory_mb,
    request_bytes,
    run,
    server,
    tell,
)

DEADLINE_MS, FACTOR, GROWTH_BAR = 1000, 4, 1.1
CONNECTIONS = 512
SETTLED_S = 10


async def open_loop(
    port: int, requests: list[bytes], rate: float, seconds: float, pid: int
) -> tuple[Load, int, list[float]]:
    """Requests by the clock; those for which no connection was free are counted, not sent."""
    loop = asyncio.get_running_loop()
    load, idle, unsent = Load(), [], 0
    memory: list[float] = []

    def done(connection: Connection, answer: Answer) -> None:
        load.answers.append(answer)
        if connection.open:
            idle.append(connection)

    made = [
        await loop.create_connection(lambda: Connection(done), "127.0.0.1", port) for _ in range(CONNECTIONS)
    ]
    idle += [connection for _, connection in made]
    began = time.perf_counter()
    count, looked = 0, began
    while (now := time.perf_counter()) - began < seconds:
        due = int((now - began) * rate)
        while count < due:
            if idle:
                idle.pop(0).ask(count, requests[count % len(requests)])
            else:
                unsent += 1
            count += 1
        if now - looked >= 1:
            memory.append(memory_mb(pid))
            looked = now
        await asyncio.sleep(0.002)
    load.seconds = time.perf_counter() - began
    await asyncio.sleep(DEADLINE_MS / 1000 + 1)
    for transport, _ in made:
        transport.close()
    return load, unsent, memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--packages", type=Path, help="folder to keep the packages in")
    options = parser.parse_args()
    files = jpegs()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        package = make_packages(options.packages or folder)["b0"]
        requests = [request_bytes("/predict/b0", file) for file in files]
        arguments = [str(package), "--deadline-ms", str(DEADLINE_MS)]
        with server(arguments, folder / "log") as (process, port):
            loaded(port, requests, 16, 2)
            capacity = loaded(port, requests, 16, 5).rate
            rate = FACTOR * capacity
            found = run(lambda: open_loop(port, requests, rate, options.seconds, process.pid))
            assert isinstance(found, tuple)
            load, unsent, memory = found
            after = loaded(port, requests, 16, 3)
            alive = process.poll() is None and set(after.statuses()) == {200}
    statuses = load.statuses()
    others = sum(count for status, count in statuses.items() if status not in (200, 429))
    p99 = load.percentile(99)
    settled = [mb for second, mb in enumerate(memory) if second >= min(SETTLED_S, len(memory) // 2)]
    growth = max(settled[-5:]) / settled[0]
    row = {
        "capacity": capacity, "asked": rate, "sent": load.rate, "unsent": unsent, "mb": settled[-1],
        "p50": load.percentile(50), "p99": p99, "refused_p99": load.percentile(99, 429), "growth": growth,
    }  # fmt: skip
    tell("overload", row | {f"status {status}": count for status, count in statuses.items()})
    print(
        f"overload: {load.rate / capacity:.1f}x capacity for {load.seconds:.0f} s: {statuses.get(200, 0)} "
        f"accepted, p99 {p99:.0f} ms (deadline {DEADLINE_MS}), {statuses.get(429, 0)} refused with 429, "
        f"{others} otherwise, "
        f"memory x{growth:.2f} (bar {GROWTH_BAR}), {'alive' if alive else 'DEAD'}"
    )
    met = alive and not others and p99 <= DEADLINE_MS and growth <= GROWTH_BAR
    return 0 if met and load.rate >= 0.9 * rate else 1


if __name__ == "__main__":
    sys.exit(main())
