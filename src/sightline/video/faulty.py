"""A live source that fails on purpose, the same way each time: what every live source must be lived with.

A recording is played over and over as if it came from a camera; a `FaultPlan` says at which packets the
connection breaks, what arrives damaged, when the camera's clock jumps and how unevenly packets come.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av

from sightline.core.predictor import AnyPredictor, AnyStream, Inputs
from sightline.core.results import Result
from sightline.core.specs import Signature
from sightline.video.decoding import AvConnection, AvOptions
from sightline.video.sources import Fault, Frame


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong, by the number of the packet, counted from 0 over all connections.

    Attributes:
        packets: after so many the source ends.
        fps: packets a second; None gives them as fast as they are taken.
        disconnects: before these packets the connection breaks.
        refusals: so many tries to connect fail after each break.
        corrupt: these packets arrive as noise.
        jumps: from these packets on the source's clock is off by so many more seconds.
        jitter_s: each packet comes late by 0 to this, drawn by `seed`.
        seed: of noise and jitter.
    """

    packets: int
    fps: float | None = None
    disconnects: frozenset[int] = frozenset()
    refusals: int = 0
    corrupt: frozenset[int] = frozenset()
    jumps: Mapping[int, float] = field(default_factory=dict)
    jitter_s: float = 0.0
    seed: int = 0

    @classmethod
    def scattered(
        cls, packets: int, *, disconnects: int, corrupt: int, jumps: int, seed: int = 0, **rest: Any
    ) -> FaultPlan:
        """Faults at places drawn by the seed, none at the first packet and no two at one."""
        chance = random.Random(seed)
        places = chance.sample(range(1, packets), disconnects + corrupt + jumps)
        moved = places[disconnects + corrupt :]
        return cls(
            packets,
            disconnects=frozenset(places[:disconnects]),
            corrupt=frozenset(places[disconnects : disconnects + corrupt]),
            jumps={at: chance.choice((-1, 1)) * chance.uniform(5, 5000) for at in moved},
            seed=seed,
            **rest,
        )


class Faulty:
    """Opens connections that fail as planned; give it to `LiveSource` as its `connect`.

    Args:
        path: the recording; each new connection begins at its start.
        plan: what goes wrong.

    Attributes:
        sent: packets given out so far, damaged ones among them.
        connections: made so far.
    """

    def __init__(self, path: Path, plan: FaultPlan) -> None:
        self.path, self.plan = path, plan
        self.sent = self.connections = 0
        self._refuse, self._moved = 0, 0.0
        self._broken: set[int] = set()
        self._start: float | None = None

    def __call__(self) -> FaultyConnection:
        """A new connection.

        Raises:
            ConnectionRefusedError: as often as the plan says.
        """
        if self._refuse:
            self._refuse -= 1
            raise ConnectionRefusedError("refused on purpose")
        self.connections += 1
        return FaultyConnection(self)

    def tap(self, packet: Any) -> Any:
        """What arrives in place of a packet; None at the end.

        Raises:
            ConnectionResetError: the connection breaks here.
        """
        number, plan = self.sent, self.plan
        if number >= plan.packets:
            return None
        if number in plan.disconnects and number not in self._broken:
            self._broken.add(number)
            self._refuse, self._start = plan.refusals, None
            raise ConnectionResetError("broken on purpose")
        self.sent += 1
        self._wait(number)
        self._moved += plan.jumps.get(number, 0.0)
        if number in plan.corrupt:
            noise = random.Random(plan.seed * 1_000_003 + number).randbytes(max(16, packet.size))
            damaged = av.Packet(noise)
            damaged.stream, damaged.pts, damaged.dts = packet.stream, packet.pts, packet.dts
            damaged.time_base = packet.time_base
            packet = damaged
        if self._moved and packet.pts is not None:
            shift = round(self._moved / float(packet.time_base))
            packet.pts, packet.dts = packet.pts + shift, (packet.dts or packet.pts) + shift
        return packet

    def _wait(self, number: int) -> None:
        """Until the packet is due; after a break the beat begins anew."""
        if self.plan.fps is None:
            return
        now = time.monotonic()
        if self._start is None:
            self._start = now - number / self.plan.fps
        late = random.Random(self.plan.seed * 7_368_787 + number).uniform(0, self.plan.jitter_s)
        time.sleep(max(0.0, self._start + number / self.plan.fps + late - now))


class FaultyConnection:
    """A `Connection` to a recording in a loop; it ends where the plan ends."""

    finite = True

    def __init__(self, faulty: Faulty) -> None:
        self._faulty = faulty
        self._options = AvOptions(hardware=False, threads=1, tap=faulty.tap)
        self._inner = AvConnection(str(faulty.path), faulty.path.name, self._options)
        self._past = [0, 0, 0]
        self.decoder = f"{self._inner.decoder}, faults on purpose"
        self.rate = faulty.plan.fps or self._inner.rate

    @property
    def packets(self) -> int:
        """Coded frames that came in."""
        return self._past[0] + self._inner.packets

    @property
    def decoded(self) -> int:
        """Frames that came out."""
        return self._past[1] + self._inner.decoded

    @property
    def corrupt(self) -> int:
        """Packets that the decoder refused."""
        return self._past[2] + self._inner.corrupt

    def frames(self) -> Iterator[Frame | Fault]:
        """The recording over and over, its times running on."""
        for turn in itertools.count():
            if turn:
                inner = self._inner
                now = (inner.packets, inner.decoded, inner.corrupt)
                self._past = [a + b for a, b in zip(self._past, now, strict=True)]
                inner.close()
                self._inner = AvConnection(str(self._faulty.path), self._faulty.path.name, self._options)
            first, length = self._past[1], self._inner.seconds
            for item in self._inner.frames():
                at = getattr(item, "time_s", None)
                moved = {} if at is None else {"time_s": at + turn * length}
                yield replace(item, index=first + item.index, **moved)
            if self._faulty.sent >= self._faulty.plan.packets:
                return

    def close(self) -> None:
        """Free the decoder."""
        self._inner.close()


class Slowed:
    """A predictor that takes its time: a consumer too slow for its source.

    Args:
        predictor: which answers.
        seconds: that each answer takes at least.
    """

    def __init__(self, predictor: AnyPredictor, seconds: float) -> None:
        self._predictor, self._seconds = predictor, seconds

    @property
    def signature(self) -> Signature:
        """Of the predictor."""
        return self._predictor.signature

    def predict(self, batch: Sequence[Inputs]) -> list[dict[str, Result]]:
        """The predictor's answers, late."""
        start = time.monotonic()
        results = self._predictor.predict(batch)
        time.sleep(max(0.0, self._seconds - (time.monotonic() - start)))
        return results

    def open_stream(self) -> _SlowStream:
        """The predictor's stream, slow."""
        return _SlowStream(self._predictor.open_stream(), self._seconds)


class _SlowStream:
    ahead = 1

    def __init__(self, stream: AnyStream, seconds: float) -> None:
        self._stream, self._seconds = stream, seconds

    def push(self, inputs: Inputs) -> dict[str, Result]:
        """The stream's answer, late."""
        start = time.monotonic()
        results = self._stream.push(inputs)
        time.sleep(max(0.0, self._seconds - (time.monotonic() - start)))
        return results

    def submit(self, inputs: Inputs) -> Future[dict[str, Result]]:
        """The stream's answer, late; there when this returns."""
        answer: Future[dict[str, Result]] = Future()
        answer.set_result(self.push(inputs))
        return answer

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
