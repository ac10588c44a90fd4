"""Live windows: pictures are gathered, compared a window at a time; drift is believed when it persists."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sightline.core.observation import Observation, stack
from sightline.monitor.drift import ALPHA, LEAST_WINDOW, ROUNDS, Baseline, compare
from sightline.monitor.report import DriftReport

WINDOW = 64
PERSIST = 2
# Windows whose reports are kept.
REMEMBERED = 50


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """How a stream of pictures is watched.

    Attributes:
        window: pictures compared at once.
        persist: drift is believed once so many windows in a row were flagged, and over once as many were
            not. A change is found within `window * (persist + 1) - 1` pictures where each window finds it.
        alpha: the chance that one window of the reference's own world is flagged.
        rounds: divisions of the permutation test.
        every_s: least seconds between two pictures that are looked at; 0 looks at all. Frames of one
            moment are alike: spread over more time, a window says more.
    """

    window: int = WINDOW
    persist: int = PERSIST
    alpha: float = ALPHA
    rounds: int = ROUNDS
    every_s: float = 0.0

    def __post_init__(self) -> None:
        if self.window < LEAST_WINDOW or self.persist < 1:
            raise ValueError(f"a window takes {LEAST_WINDOW} pictures, persistence begins at 1")


class DriftWatch:
    """Watches the pictures of one package. Thread-safe; one comparison is made at a time.

    Args:
        baseline: of the package.
        options: window, persistence, rate.
        source: what reports call the windows.
        told: called with each report and whether drift is believed, in the thread that brought the
            last picture of the window.
    """

    def __init__(
        self,
        baseline: Baseline,
        options: WindowOptions | None = None,
        *,
        source: str = "live",
        told: Callable[[DriftReport, bool], None] | None = None,
    ) -> None:
        self.baseline, self.options, self.source = baseline, options or WindowOptions(), source
        self.alarm = False
        self.windows = 0
        self.reports: deque[DriftReport] = deque(maxlen=REMEMBERED)
        self._told = told
        self._seen: list[Observation] = []
        self._run = 0
        self._next = 0.0
        self._lock, self._comparing = threading.Lock(), threading.Lock()

    def due(self) -> bool:
        """Whether another picture is wanted now; costs nothing, and counts as taken where it says yes."""
        if not self.options.every_s:
            return True
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                return False
            self._next = now + self.options.every_s
            return True

    def take(self, seen: Observation) -> DriftReport | None:
        """Add one picture; the report of the window that it completes, or None."""
        with self._lock:
            self._seen.append(seen)
            if len(self._seen) < self.options.window:
                return None
            full, self._seen = self._seen, []
        with self._comparing:
            return self._compared(full)

    def _compared(self, full: list[Observation]) -> DriftReport:
        options, base = self.options, self.baseline
        report = compare(
            base,
            stack(full, len(base.classes), base.moments),
            source=self.source,
            alpha=options.alpha,
            rounds=options.rounds,
            seed=self.windows,
        )
        self.windows += 1
        self.reports.append(report)
        self._run = self._run + 1 if report.drifted != self.alarm else 0
        if self._run >= options.persist:
            self.alarm, self._run = not self.alarm, 0
        if self._told is not None:
            self._told(report, self.alarm)
        return report
