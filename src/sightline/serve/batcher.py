"""The bounded micro-batcher: threads that decode, run the network and write answers, whatever is next.

There is no pool for each stage. A thread that has decoded a picture finds it ready, and a session free, and
runs it itself, so that at batch 1 nothing is handed from thread to thread; where batches pay, pictures that
were decoded while the sessions were busy wait in `ready` and go together.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import SightlineError
from sightline.runtime.options import cores
from sightline.serve.engine import Engine
from sightline.serve.observing import Observer
from sightline.serve.options import ServeOptions
from sightline.serve.refusals import Refused, refusal_of

Array = NDArray[Any]

# A request is let in while what waits before it takes less than this share of the deadline.
WAIT_SHARE = 0.5
MOST_WAITING = 4096
# Weight of the newest request in the running mean of what a row costs.
NEWEST = 0.05
FIRST_DECODE_S = 0.005


class Work(Protocol):
    """What one request wants of a model; called in a worker thread, `prepare` before `answer`."""

    @property
    def rows(self) -> int:
        """Rows it puts into the network, at least one."""

    def prepare(self, ticket: Ticket) -> dict[str, Array]:
        """Placed inputs by name, `rows` each; raises `Refused` or a `SightlineError`."""

    def answer(self, outputs: Mapping[str, Array], ticket: Ticket) -> Any:
        """What the request's future gets, from its own rows of every output."""


class Ticket:
    """One request on its way through the batcher.

    Attributes:
        future: resolved on the event loop that submitted it.
        abandoned: set when nobody waits any more; work not yet begun is then skipped.
        seconds: time spent so far by stage.
    """

    __slots__ = (
        "_timer",
        "abandoned",
        "born",
        "deadline_s",
        "future",
        "loop",
        "placed",
        "seconds",
        "since",
        "work",
    )

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop, deadline_s: float) -> None:
        self.work, self.loop = work, loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.born = self.since = time.perf_counter()
        self.deadline_s = deadline_s
        self.placed: dict[str, Array] = {}
        self.seconds: dict[str, float] = {}
        self.abandoned = False
        self._timer = loop.call_later(deadline_s, self._expire)

    def _expire(self) -> None:
        self.abandoned = True
        self._set(None, deadline_refusal(self.deadline_s))

    def abandon(self) -> None:
        """Nobody waits any more (the client went away)."""
        self.abandoned = True
        self._set(None, Refused(499, "gone", "the client closed the connection"))

    def lap(self, stage: str) -> None:
        """Book the time since the last call to a stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.since
        self.since = now

    def resolve(self, value: Any, error: Exception | None = None) -> None:
        """Give the future its value or error, from any thread."""
        try:
            self.loop.call_soon_threadsafe(self._set, value, error)
        except RuntimeError:  # the loop is closed: nobody waits
            self.abandoned = True

    def _set(self, value: Any, error: Exception | None) -> None:
        self._timer.cancel()
        if self.future.done():
            return
        late = time.perf_counter() - self.born > self.deadline_s  # the loop may have been busy
        if error is not None or late:
            self.future.set_exception(error or deadline_refusal(self.deadline_s))
        else:
            self.future.set_result(value)


def deadline_refusal(deadline_s: float) -> Refused:
    """What a request gets that was not answered in time."""
    return Refused(504, "deadline", f"not answered within {deadline_s * 1000:.0f} ms", retry_after_s=1)


class Batcher:
    """A queue, and threads, for one engine.

    Args:
        engine: warmed up.
        options: deadline, delay, queue, threads.
        observer: told of stages, batches and the queue's depth.
    """

    def __init__(self, engine: Engine, options: ServeOptions, observer: Observer) -> None:
        self._engine, self._options, self._observer = engine, options, observer
        layout = engine.layout
        self._sessions, self._batch = layout.sessions, layout.batch
        self._delay_s = options.delay_ms / 1000
        self._workers = max(layout.sessions, options.threads or cores())
        self._changed = threading.Condition()
        self._queue: deque[Ticket] = deque()
        self._ready: deque[Ticket] = deque()
        self._waiting_rows = self._preparing = self._running = 0
        self._row_s = engine.layout.call_ms / 1000 + FIRST_DECODE_S
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{engine.name}-{i}", daemon=True)
            for i in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    @property
    def capacity(self) -> float:
        """Rows a second, by what the last requests took."""
        return self._workers / self._row_s

    def check_room(self, deadline_s: float) -> None:
        """Refuse before a body is read what would not be answered in time.

        Raises:
            Refused: 429 with the seconds after which there will be room; 503 once closed.
        """
        if self._closed:
            raise Refused(503, "draining", "the model is being put out of service", retry_after_s=1)
        wait_s = self._waiting_rows / self.capacity
        if wait_s > WAIT_SHARE * deadline_s or len(self._queue) >= (self._options.queue or MOST_WAITING):
            raise Refused(
                429, "queue_full", f"{len(self._queue)} requests wait already, try again later",
                retry_after_s=wait_s / 2,
            )  # fmt: skip

    def submit(self, work: Work, deadline_s: float) -> Ticket:
        """Queue work; its ticket's future is resolved on the running event loop.

        Raises:
            Refused: as `check_room`.
        """
        self.check_room(deadline_s)
        ticket = Ticket(work, asyncio.get_running_loop(), deadline_s)
        with self._changed:
            self._queue.append(ticket)
            self._waiting_rows += work.rows
            self._changed.notify()
        self._observer.queue_depth(self._engine.name, len(self._queue))
        return ticket

    def close(self) -> None:
        """Take no more; threads end once what was taken is answered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads; whether all ended in time."""
        end = time.perf_counter() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.perf_counter()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        """A thread's life."""
        while True:
            with self._changed:
                step = self._next()
            if step is None:
                return
            if isinstance(step, Ticket):
                self._prepare(step)
            else:
                self._run(step)

    def _next(self) -> Ticket | list[Ticket] | None:
        """The next thing to do, under the lock: a batch that is due, else a request to prepare."""
        while True:
            wait_s = self._due_in()
            if wait_s is not None and wait_s <= 0:
                self._running += 1
                return self._take_batch()
            if self._queue:
                self._preparing += 1
                return self._queue.popleft()
            if self._closed and not (self._ready or self._preparing or self._running):
                self._changed.notify_all()
                return None
            self._changed.wait(wait_s)

    def _due_in(self) -> float | None:
        """Seconds until the ready rows should run; None where nothing is ready or no session is free."""
        if not self._ready or self._running >= self._sessions:
            return None
        nothing_comes = not self._queue and not self._preparing
        if nothing_comes or sum(t.work.rows for t in self._ready) >= self._batch:
            return 0.0
        return self._delay_s - (time.perf_counter() - self._ready[0].since)

    def _take_batch(self) -> list[Ticket]:
        """Ready tickets up to the batch; at least one, however many rows it has."""
        batch = [self._ready.popleft()]
        rows = batch[0].work.rows
        while self._ready and rows + self._ready[0].work.rows <= self._batch:
            batch.append(self._ready.popleft())
            rows += batch[-1].work.rows
        return batch

    def _prepare(self, ticket: Ticket) -> None:
        ticket.lap("queue")
        placed: dict[str, Array] | None = None
        if not self._given_up(ticket):
            try:
                placed = ticket.work.prepare(ticket)
            except Exception as error:
                self._fail(ticket, error)
        with self._changed:
            self._preparing -= 1
            if placed is None:
                self._waiting_rows -= ticket.work.rows
            else:
                ticket.placed = placed
                self._ready.append(ticket)
            if self._batch > 1 or self._closed or self._running >= self._sessions:
                self._changed.notify_all()

    def _run(self, batch: list[Ticket]) -> None:
        began = time.perf_counter()
        alive = [ticket for ticket in batch if not self._given_up(ticket)]
        try:
            if alive:
                self._answer(alive)
        finally:
            rows = sum(ticket.work.rows for ticket in batch)
            with self._changed:
                self._running -= 1
                self._waiting_rows -= rows
                if self._ready or self._closed:
                    self._changed.notify_all()
            if alive:
                spent = time.perf_counter() - began + sum(_prepared_s(ticket) for ticket in alive)
                self._row_s += NEWEST * (spent / rows - self._row_s)

    def _answer(self, batch: list[Ticket]) -> None:
        """Run a batch and resolve its tickets; a fault of one answer is that ticket's own."""
        for ticket in batch:
            ticket.lap("queue")
        try:
            outputs = self._infer(batch)
        except Exception as error:
            for ticket in batch:
                self._fail(ticket, error)
            return
        start = 0
        for ticket in batch:
            ticket.lap("infer")
            rows = ticket.work.rows
            own = {name: value[start : start + rows] for name, value in outputs.items()}
            start += rows
            try:
                value = ticket.work.answer(own, ticket)
            except Exception as error:
                self._fail(ticket, error)
                continue
            ticket.lap("answer")
            for stage, seconds in ticket.seconds.items():
                self._observer.stage(self._engine.name, stage, seconds)
            ticket.resolve(value)  # last: the event loop that it wakes wants the interpreter for itself

    def _infer(self, batch: list[Ticket]) -> Mapping[str, Array]:
        placed = batch[0].placed
        if len(batch) > 1:
            placed = {name: np.concatenate([t.placed[name] for t in batch]) for name in placed}
        rows = sum(ticket.work.rows for ticket in batch)
        alone = self._running == 1 and not self._queue and not self._preparing
        most = max(1, self._batch)
        if rows <= most:
            self._observer.batch(self._engine.name, rows)
            return self._engine.infer(placed, alone=alone)
        parts = []
        for start in range(0, rows, most):
            part = {name: value[start : start + most] for name, value in placed.items()}
            self._observer.batch(self._engine.name, min(most, rows - start))
            parts.append(self._engine.infer(part, alone=alone))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _given_up(self, ticket: Ticket) -> bool:
        """Whether nobody waits any more; memory it held is let go."""
        if not ticket.abandoned:
            return False
        ticket.placed = {}
        return True

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        if isinstance(error, SightlineError):
            ticket.resolve(None, refusal_of(error))
        else:
            ticket.resolve(None, error)


def _prepared_s(ticket: Ticket) -> float:
    return ticket.seconds.get("decode", 0.0) + ticket.seconds.get("place", 0.0)
