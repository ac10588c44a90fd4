from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sightline.serve.batcher import Batcher, Ticket
from sightline.serve.engine import Layout, _best_batch, _rates
from sightline.serve.observing import NullObserver, Observers
from sightline.serve.refusals import Refused


class Sum:
    """Work whose answer is its own row, doubled by the engine."""

    def __init__(
        self, value: int, rows: int = 1, fail: str = "", gate: threading.Event | None = None
    ) -> None:
        self.value, self.rows, self.fail, self.gate = value, rows, fail, gate

    def prepare(self, ticket: Ticket) -> dict[str, np.ndarray]:
        if self.gate is not None:
            self.gate.wait(10)
        if self.fail == "prepare":
            raise Refused(422, "bad_input", "as asked")
        ticket.lap("decode")
        return {"x": np.full((self.rows, 1), self.value)}

    def answer(self, outputs: Mapping[str, np.ndarray], ticket: Ticket) -> Any:
        if self.fail == "answer":
            raise ValueError("as asked")
        return outputs["y"].ravel().tolist()


class Engine:
    """Doubles; counts the rows of each call, and how many calls run at once."""

    name = "fake"

    def __init__(self, sessions: int = 1, batch: int = 1, call_s: float = 0.0, wide: bool = False) -> None:
        self.layout = Layout(sessions, batch, wide, {}, 1000 * call_s + 0.01)
        self.calls: list[int] = []
        self.alone: list[bool] = []
        self.most = self._now = 0
        self._call_s, self._lock = call_s, threading.Lock()
        self.fail = False

    def infer(self, placed: dict[str, np.ndarray], *, alone: bool = False) -> dict[str, np.ndarray]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.calls.append(len(placed["x"]))
            self.alone.append(alone)
        time.sleep(self._call_s)
        with self._lock:
            self._now -= 1
        if self.fail:
            raise RuntimeError("the runtime broke")
        return {"y": placed["x"] * 2}


def run(engine: Engine, test: Callable[[Batcher], Any], **changes: Any) -> Any:
    """Run a coroutine with a batcher over a fake engine, and see its threads end."""
    options = SimpleNamespace(delay_ms=2.0, threads=2, queue=None, **changes)
    batcher = Batcher(engine, options, NullObserver())  # type: ignore[arg-type]
    try:
        return asyncio.run(test(batcher))
    finally:
        batcher.close()
        assert batcher.join(5)


def test_every_request_gets_its_own_rows_back() -> None:
    async def all_of(batcher: Batcher) -> list[Any]:
        tickets = [batcher.submit(Sum(i, rows=1 + i % 3), 20) for i in range(100)]
        return [await ticket.future for ticket in tickets]

    for engine in (Engine(), Engine(2), Engine(1, 4), Engine(2, 8, 0.001)):
        found = run(engine, all_of)
        assert found == [[2 * i] * (1 + i % 3) for i in range(100)]
        assert sum(engine.calls) == sum(1 + i % 3 for i in range(100))


def test_batches_form_while_the_runtime_is_busy_and_never_grow_past_their_size() -> None:
    engine = Engine(1, 4, 0.02)

    async def burst(batcher: Batcher) -> None:
        await asyncio.gather(*(batcher.submit(Sum(i), 20).future for i in range(20)))

    run(engine, burst)
    assert max(engine.calls) == 4 and engine.most == 1
    assert len(engine.calls) <= 8


def test_one_request_alone_does_not_wait_for_company() -> None:
    engine = Engine(1, 16)

    async def alone(batcher: Batcher) -> float:
        began = time.perf_counter()
        await batcher.submit(Sum(1), 20).future
        return time.perf_counter() - began

    assert run(engine, alone, **{}) < 10
    assert engine.calls == [1]


def test_a_call_knows_whether_it_is_alone() -> None:
    engine = Engine(2, 1, 0.03)

    async def one_then_two(batcher: Batcher) -> None:
        await batcher.submit(Sum(1), 20).future
        await asyncio.gather(*(batcher.submit(Sum(i), 20).future for i in range(6)))

    run(engine, one_then_two)
    assert engine.alone[0] is True and False in engine.alone[1:]


def test_a_fault_is_told_to_the_request_it_belongs_to_alone() -> None:
    async def mixed(batcher: Batcher) -> list[Any]:
        works = [Sum(1), Sum(2, fail="prepare"), Sum(3, fail="answer"), Sum(4)]
        tickets = [batcher.submit(work, 20) for work in works]
        return await asyncio.gather(*(t.future for t in tickets), return_exceptions=True)

    first, refused, broken, last = run(Engine(1, 4, 0.01), mixed)
    assert (first, last) == ([2], [8])
    assert isinstance(refused, Refused) and refused.status == 422
    assert isinstance(broken, ValueError)


def test_a_runtime_that_breaks_fails_its_batch_and_the_next_one_runs() -> None:
    engine = Engine()

    async def twice(batcher: Batcher) -> Any:
        engine.fail = True
        with pytest.raises(RuntimeError, match="broke"):
            await batcher.submit(Sum(1), 20).future
        engine.fail = False
        return await batcher.submit(Sum(2), 20).future

    assert run(engine, twice) == [4]


def test_the_deadline_is_kept_even_where_the_runtime_hangs() -> None:
    engine = Engine(1, 1, 0.3)

    async def late(batcher: Batcher) -> float:
        batcher._row_s = 1e-6  # as if it were fast, so that the request is let in
        began = time.perf_counter()
        with pytest.raises(Refused, match="not answered within 20 ms"):
            await batcher.submit(Sum(1), 0.02).future
        return time.perf_counter() - began

    assert run(engine, late) < 0.3


def test_what_would_not_be_answered_in_time_is_refused_at_once() -> None:
    gate = threading.Event()
    engine = Engine(1, 1, 0.0)

    async def flood(batcher: Batcher) -> tuple[int, Refused]:
        batcher._row_s = 0.1  # two workers: twenty rows a second
        tickets, refusal = [], None
        for i in range(100):
            try:
                tickets.append(batcher.submit(Sum(i, gate=gate), 2.0))
            except Refused as refused:
                refusal = refused
                break
        gate.set()
        await asyncio.gather(*(t.future for t in tickets))
        assert refusal is not None
        return len(tickets), refusal

    taken, refusal = run(engine, flood)
    assert taken == 21  # half of two seconds at twenty a second
    assert (refusal.status, refusal.code) == (429, "queue_full")
    assert refusal.retry_after_s == pytest.approx(0.525)


def test_work_of_a_client_that_left_is_not_begun() -> None:
    gate = threading.Event()
    engine = Engine()

    async def leave(batcher: Batcher) -> list[int]:
        blocking = [batcher.submit(Sum(1, gate=gate), 20) for _ in range(2)]
        left = [batcher.submit(Sum(2), 20) for _ in range(5)]
        for ticket in left:
            ticket.abandon()
        gate.set()
        for ticket in left:
            with pytest.raises(Refused):
                await ticket.future
        await asyncio.gather(*(t.future for t in blocking))
        return [await batcher.submit(Sum(3), 20).future]

    assert run(engine, leave) == [[6]]
    assert len(engine.calls) == 3


def test_closing_answers_what_was_taken_and_refuses_the_rest() -> None:
    engine = Engine(1, 2, 0.01)

    async def close(batcher: Batcher) -> list[Any]:
        tickets = [batcher.submit(Sum(i), 20) for i in range(10)]
        batcher.close()
        with pytest.raises(Refused) as refused:
            batcher.submit(Sum(1), 20)
        assert refused.value.status == 503
        return await asyncio.gather(*(t.future for t in tickets))

    assert run(engine, close) == [[2 * i] for i in range(10)]


def test_a_larger_batch_is_chosen_only_where_it_pays() -> None:
    assert _best_batch({"narrow x1": 100, "narrow x4": 105, "narrow x16": 108}) == 1
    assert _best_batch({"narrow x1": 100, "narrow x4": 150, "narrow x16": 155}) == 4
    assert _best_batch({"narrow x1": 100, "wide x1": 300, "narrow x4": 150, "narrow x16": 400}) == 16


def test_an_observer_that_fails_harms_nobody_and_is_counted() -> None:
    class Broken:
        def batch(self, model: str, size: int) -> None:
            raise OSError("the database went away")

    class Counting:
        sizes: list[int] = []

        def batch(self, model: str, size: int) -> None:
            self.sizes.append(size)

    watchers = Observers([Broken(), Counting()])
    watchers.batch("m", 3)
    watchers.request("m", 200)
    assert watchers.failures == {"Broken": 1} and Counting.sizes == [3]


def test_a_slow_start_does_not_make_batches_look_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {1: iter((10.0, 52.0, 50.0)), 4: iter((12.0, 12.0, 11.0))}  # calls a second, turn by turn
    monkeypatch.setattr("sightline.serve.engine._rate", lambda run, at_once, seconds: next(measured[run()]))
    tries = {"narrow x1": (lambda: 1, 2, 1), "narrow x4": (lambda: 4, 2, 4)}
    rates = _rates(tries, 60.0)
    assert rates == {"narrow x1": 52.0, "narrow x4": 48.0}
    assert _best_batch(rates) == 1


def test_a_batch_that_takes_too_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.serve.engine._rate", lambda run, at_once, seconds: run())
    tried = {"narrow x1": (lambda: 10.0, 1, 1), "narrow x16": (lambda: 1 / 0, 1, 16)}
    assert _rates(tried, 0.6) == {"narrow x1": 10.0}
