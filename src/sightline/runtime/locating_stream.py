"""One source's frames through a coarse-to-fine locator, in order, several at a time where its mode allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import ModelError
from sightline.core.picture import Picture, size_wh_of
from sightline.core.predictor import Inputs
from sightline.core.results import Points, Result
from sightline.runtime.locating import Mode, Outcome
from sightline.runtime.locating_stages import Kept, Stages

Rows = NDArray[np.float32]


@dataclass(slots=True)
class Tally:
    """What a stream has done.

    Attributes:
        frames: answered.
        coarse: of those, frames for which the coarse stage ran.
        windows: given to fine stages in all.
    """

    frames: int = 0
    coarse: int = 0
    windows: int = 0

    def count(self, outcome: Outcome) -> None:
        """One frame more."""
        self.frames += 1
        self.coarse += outcome.coarse > 0
        self.windows += outcome.fine


class LocatingStream:
    """Frames in, points out; one per source, fed from one thread.

    Frames are kept as they came for as long as a clip reaches back to them, placed once, and only where
    the coarse stage runs. A frame of another size begins anew.

    Args:
        stages: to run.
        mode: which runs when.
        result: makes the task's result of an outcome.
        workers: threads; frames are answered side by side where there are two and the mode plans ahead.
        key: the input's name.
    """

    def __init__(
        self, stages: Stages, mode: Mode, result: Callable[[Outcome], Points], *, workers: int, key: str
    ) -> None:
        self._stages, self._mode, self._result, self._key = stages, mode, result, key
        self.ahead = mode.lag if workers > 1 else 1
        self.tally = Tally()
        self._pool = ThreadPoolExecutor(self.ahead, "locate") if self.ahead > 1 else None
        self._kept: deque[Kept] = deque(maxlen=(stages.frames - 1) * stages.stride + 1)
        self._jobs: deque[_Job] = deque()
        self._size_wh = (0, 0)

    def push(self, inputs: Inputs) -> dict[str, Result]:
        """Results for the next frame."""
        return self.submit(inputs).result()

    def submit(self, inputs: Inputs) -> Future[dict[str, Result]]:
        """Results for the next frame, once they are there; hand over no more than `ahead` at once."""
        if self._key not in inputs:
            raise ModelError(f"input {self._key!r} is missing; given: {', '.join(inputs) or 'nothing'}")
        answer: Future[dict[str, Result]] = Future()

        def tell(outcome: Future[Outcome]) -> None:
            error = outcome.exception()
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result({"locate": self._result(outcome.result())})

        self.locate(inputs[self._key]).add_done_callback(tell)
        return answer

    def locate(self, picture: Picture) -> Future[Outcome]:
        """The outcome for the next frame, with what it took."""
        if size_wh_of(picture) != self._size_wh:
            self._begin(picture)
        self._kept.append(Kept(picture))
        reach = [(self._stages.frames - 1 - i) * self._stages.stride for i in range(self._stages.frames)]
        clip = [self._kept[max(0, len(self._kept) - 1 - age)] for age in reach]
        # The state this frame is planned from: `lag` frames back, or the start.
        back = min(self._mode.lag, len(self._jobs))
        job = _Job(self._mode, self._jobs[-1], self._jobs[-back], ahead=back)
        self._jobs.append(job)
        if len(self._jobs) > self._mode.lag:
            self._jobs.popleft()
        job.outcome.add_done_callback(self._count)
        if self._pool is None:
            job.run(self._stages, clip)
        else:
            self._pool.submit(job.run, self._stages, clip)
        return job.outcome

    def close(self) -> None:
        """End the threads; frames in work are finished."""
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> LocatingStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _begin(self, picture: Picture) -> None:
        """Forget the past: there is none, or it was of another size."""
        self._size_wh = size_wh_of(picture)
        self._kept.clear()
        rows = np.zeros((self._stages.past, 3), np.float32)
        self._jobs = deque([_Job.root(self._mode, self._mode.start(self._stages.view(self._size_wh)), rows)])

    def _count(self, outcome: Future[Outcome]) -> None:
        if outcome.exception() is None:
            self.tally.count(outcome.result())


class _Job:
    """One frame: planned from the state some frames back, and the link to the state after it.

    Threads that race for a state compute the same value twice, which is cheaper than a lock: jobs start in
    order, wait only for older ones, and what they compute is a pure function.
    """

    def __init__(self, mode: Mode, before: _Job | None, known: _Job | None, *, ahead: int) -> None:
        self._mode, self._before, self._known, self._ahead = mode, before, known, ahead
        self._state: Any = None
        self._rows: Rows = np.zeros((0, 3), np.float32)
        self.outcome: Future[Outcome] = Future()

    @classmethod
    def root(cls, mode: Mode, state: Any, rows: Rows) -> _Job:
        """What stands before the first frame."""
        job = cls(mode, None, None, ahead=0)
        job._state, job._rows = state, rows
        return job

    def run(self, stages: Stages, clip: list[Kept]) -> None:
        """Play the mode's plan for this frame; faults go to who asks for the outcome."""
        try:
            assert self._known is not None
            state, rows = self._known.settled()
            self._known = None
            self.outcome.set_result(self._play(stages, clip, state, _aged(rows, self._ahead - 1)))
        except BaseException as error:
            self.outcome.set_exception(error)

    def settled(self) -> tuple[Any, Rows]:
        """State and track once this frame is known; waits for it."""
        before = self._before
        if before is not None:
            outcome = self.outcome.result()
            state, rows = before.settled()
            seen = outcome.seen
            row = (*seen.xy, 1.0) if seen.score >= state.view.least else (0.0, 0.0, 0.0)
            self._rows = np.vstack([rows[1:], np.array([row], np.float32)]) if len(rows) else rows
            self._state = self._mode.after(state, outcome)
            self._before = None
        return self._state, self._rows

    def _play(self, stages: Stages, clip: list[Kept], state: Any, rows: Rows) -> Outcome:
        plan = self._mode.plan(state, self._ahead)
        try:
            ask = next(plan)
            while True:
                ask = plan.send(stages.ask(ask, clip, rows))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def _aged(rows: Rows, frames: int) -> Rows:
    """A track some frames later, of which nothing is known yet."""
    if not frames or not len(rows):
        return rows
    return np.vstack([rows[frames:], np.zeros((min(frames, len(rows)), 3), np.float32)])
