"""The service's observer: every answered picture to metrics, a few of them to drift, never in its way."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from sightline.core.errors import SightlineError
from sightline.core.manifest import Manifest
from sightline.core.observation import observe
from sightline.core.results import Result
from sightline.monitor.drift import Baseline
from sightline.monitor.metrics import Metrics
from sightline.monitor.report import DriftReport
from sightline.monitor.windows import DriftWatch, WindowOptions

# Pictures that wait to be looked at, in memory; more are left out, and counted.
WAITING = 2
EVERY_S = 0.5


class Answered(Protocol):
    """What is asked of an answered picture; the service's own `Answered` is one."""

    @property
    def model(self) -> str:
        """Name of the package."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def pixels(self) -> NDArray[Any]:
        """(H, W, 3) uint8 RGB, or (H, W)."""

    @property
    def results(self) -> Mapping[str, Result]:
        """By task."""

    @property
    def embedding(self) -> NDArray[Any] | None:
        """(D,), or None."""


class LiveDrift:
    """Watches every package in service for drift, in a thread of its own.

    A picture of a model is looked at when it is due (`WindowOptions.every_s`); the rest cost one comparison
    of numbers. A package without a usable reference is not watched, and says why once.

    Args:
        metrics: told of each picture that is looked at, and of each window.
        manifest: gives the manifest of a name and version, or None where it is no longer in service.
        options: windows; half a second between two pictures unless given.
        say: called with one line where a package cannot be watched, and where drift begins or ends.
    """

    def __init__(
        self,
        metrics: Metrics,
        manifest: Callable[[str, str], Manifest | None],
        options: WindowOptions | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._metrics, self._manifest, self._say = metrics, manifest, say
        self._options = options or WindowOptions(every_s=EVERY_S)
        self._watches: dict[tuple[str, str], DriftWatch | None] = {}
        self._queue: queue.Queue[Answered | None] = queue.Queue(WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def model(self, model: str, version: str, digest: str = "") -> None:
        """A version has come into service, perhaps another package under the same name."""
        self._forget(model, version)

    def retired(self, model: str, version: str, digest: str = "") -> None:
        """A version is no longer in service."""
        self._forget(model, version)

    def _forget(self, model: str, version: str) -> None:
        if self._watches.pop((model, version), None) is not None:
            self._metrics.unwatched(model)

    def answered(self, picture: Answered) -> None:
        """Take a picture that was answered; returns at once."""
        key = (picture.model, picture.version)
        watch = self._watches[key] if key in self._watches else self._begun(*key)
        if watch is None or not watch.due():
            return
        try:
            self._queue.put_nowait(picture)
        except queue.Full:
            self._metrics.error(picture.model, "drift_skipped")

    def watch(self, model: str, version: str) -> DriftWatch | None:
        """The windows of a package, or None where it is not watched."""
        return self._watches.get((model, version))

    def close(self) -> None:
        """Finish what waits, and end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _begun(self, model: str, version: str) -> DriftWatch | None:
        """The windows of a package that is seen for the first time, and the thread that fills them."""
        with self._lock:
            if (model, version) not in self._watches:
                self._watches[model, version] = self._open(model, version)
            watch = self._watches[model, version]
            if watch is not None and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="drift", daemon=True)
                self._thread.start()
            return watch

    def _open(self, model: str, version: str) -> DriftWatch | None:
        found = self._manifest(model, version)
        if found is None:
            return None
        try:
            baseline = Baseline.of(found)
        except SightlineError as error:
            self._say(f"drift of {model} is not watched: {error}")
            return None
        before = False

        def told(report: DriftReport, alarm: bool) -> None:
            nonlocal before
            self._metrics.drift(model, report, alarm=alarm)
            if alarm != before:
                before = alarm
                said = "; ".join(report.sentences)
                self._say(
                    f"{model} {version} has drifted: {said}" if alarm else f"{model} {version}: drift is over"
                )

        return DriftWatch(baseline, self._options, source=model, told=told)

    def _work(self) -> None:
        while (picture := self._queue.get()) is not None:
            watch = self._watches.get((picture.model, picture.version))
            if watch is None:
                continue
            try:
                seen = observe(picture.pixels, picture.results, picture.embedding)
                if seen.look is not None:
                    self._metrics.picture(picture.model, seen.look)
                watch.take(seen)
            except Exception:  # one odd picture must not end the watch
                self._metrics.error(picture.model, "drift")
