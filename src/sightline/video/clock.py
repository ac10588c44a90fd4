"""Time in live video: one time line through clock jumps, recordings paced by the clock, ages of answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sightline.video.sources import Fault, Frame, Source

# Between two frames a clock may run ahead of their arrival by this much before that is called a jump.
JUMP_S = 2.0
_BIN_S = 0.0001
_BINS = 100_000


class Timeline:
    """Seconds since the first frame, never backwards, whatever the source's clock does.

    Times follow the source's own clock while it runs, also through a stall. Where it jumps (a camera sets
    its clock, a stream starts again at zero), the time of arrival bridges the gap and the source's clock
    counts on from there.

    Attributes:
        jumps: how often the source's clock was not believed.
    """

    def __init__(self) -> None:
        self.jumps = 0
        self._offset: float | None = None
        self._last = (0.0, 0.0)

    def seconds(self, stamp_s: float | None, arrived_s: float, *, fresh: bool = False) -> float:
        """The place of one frame on the time line.

        Args:
            stamp_s: the source's own time, or None where it tells none.
            arrived_s: on the clock of `time.monotonic`.
            fresh: the first frame of a new connection, whose clock starts where it likes: no jump.
        """
        last, arrived_last = self._last if self._offset is not None else (0.0, arrived_s)
        expected = last + max(0.0, arrived_s - arrived_last)
        if self._offset is None or stamp_s is None:
            self._offset = 0.0 if stamp_s is None else -stamp_s
            now = expected
        else:
            now = stamp_s + self._offset
            if fresh or now < last or now > expected + JUMP_S:
                self.jumps += not fresh
                now = expected
                self._offset = now - stamp_s
        self._last = (now, arrived_s)
        return now


class Paced:
    """A recorded source played at its own speed, as a camera would give it: for trials of live mode.

    Each frame is stamped with the moment it was due, so that a decoder that falls behind counts as age.

    Args:
        source: whose frames carry times, or tell a rate.
    """

    def __init__(self, source: Source) -> None:
        self._source, self._stop = source, threading.Event()
        self.name = source.name

    def heed(self, stop: threading.Event) -> None:
        """End when `stop` is set, from whichever thread."""
        self._stop = stop

    @property
    def decoder(self) -> str:
        """Of the recording."""
        return str(getattr(self._source, "decoder", ""))

    @property
    def length(self) -> int | None:
        """Of the recording."""
        return self._source.length

    @property
    def rate(self) -> float | None:
        """Of the recording."""
        return self._source.rate

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Frames of the source, none before it is due."""
        step = 1 / (self._source.rate or 25.0)
        start: float | None = None
        for count, item in enumerate(self._source):
            if isinstance(item, Frame):
                at = count * step if item.time_s is None else item.time_s
                now = time.monotonic()
                start = now - at if start is None else start
                due = start + at
                if due > now and self._stop.wait(due - now):
                    return
                item = replace(item, captured_s=due)
            yield item


class Ages:
    """A histogram of ages in steps of 0.1 ms to 10 s: percentiles of any number of frames in fixed memory."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS + 1, np.int64)
        self.longest_s = 0.0

    def add(self, age_s: float) -> None:
        """Count one age."""
        self._counts[min(_BINS, max(0, int(age_s / _BIN_S)))] += 1
        self.longest_s = max(self.longest_s, age_s)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def percentile(self, share: float) -> float:
        """The age in seconds that `share` per cent (0..100) of the frames do not pass; NaN for none.

        The upper edge of its step, and never more than the longest.
        """
        total = len(self)
        if not total:
            return float("nan")
        place = int(np.searchsorted(np.cumsum(self._counts), share / 100 * total))
        return self.longest_s if place >= _BINS else min((place + 1) * _BIN_S, self.longest_s)
