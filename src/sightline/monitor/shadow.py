"""Shadow mode: a challenger is asked what the champion is asked, and nobody waits for what it says."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from sightline.core.errors import SightlineError, UsageError
from sightline.core.files import sha256
from sightline.core.manifest import MANIFEST, Manifest
from sightline.core.predictor import AnyPredictor
from sightline.core.results import ClassScores, Result
from sightline.monitor.agreement import agreement
from sightline.monitor.feedback import wilson
from sightline.runtime.loading import load

Array = NDArray[Any]

# Answers whose least agreement of any task is this or more count as the same.
AGREED = 0.8
# Changes of class that are told, the most frequent first.
MOST_MOVES = 10


class Answered(Protocol):
    """What is asked of an answered picture; the service's own `Answered` is one."""

    @property
    def model(self) -> str:
        """Name of the package."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def pixels(self) -> Array:
        """(H, W, 3) uint8 RGB, or (H, W)."""

    @property
    def results(self) -> Mapping[str, Result]:
        """By task."""


class Tally(Protocol):
    """Who counts; `metrics.Metrics` is one."""

    def shadow(self, model: str, version: str, agreed: bool, found: Mapping[str, float]) -> None:
        """A picture that the shadow answered too."""

    def error(self, model: str, kind: str) -> None:
        """A picture that it could not answer."""


@dataclass(slots=True)
class Tallied:
    """A shadow's answers beside those of one version of the champion."""

    pictures: int = 0
    agreed: int = 0
    since: str = ""
    sums: dict[str, float] = field(default_factory=dict)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Plain values: the share of pictures that agreed with Wilson's 95% interval, means by task."""
        low, high = wilson(self.agreed, self.pictures)
        return {
            "since": self.since,
            "pictures": self.pictures,
            "agreed": self.agreed,
            "share": round(self.agreed / self.pictures, 4),
            "interval": [round(low, 4), round(high, 4)],
            "tasks": {task: round(total / self.pictures, 4) for task, total in self.sums.items()},
            "moves": [[a, b, n] for (a, b), n in self.moves.most_common(MOST_MOVES)],
        }


class Shadow:
    """The service's observer that lets a challenger answer the champion's pictures, in a thread of its own.

    It takes at most `share` of one core: after each picture it rests so long. What comes meanwhile is not
    looked at, so it sees a sample, and holds one picture at a time. Its thread keeps its usual priority:
    one that is put off while it holds the interpreter's lock would put off the champion too.

    Args:
        package: the challenger's folder.
        tally: told of each picture.
        name: of the champion that it follows; the package's own unless given.
        share: of one core, above 0 and at most 1.
        say: called with one line when it begins, or cannot go on.
        open_package: gives its predictor; called once, in its thread.

    Raises:
        PackageError: no package.
        UsageError: a share of nothing, or a model that reads more than one picture at a time.
    """

    def __init__(
        self,
        package: Path,
        tally: Tally,
        name: str = "",
        share: float = 0.1,
        say: Callable[[str], None] = lambda line: None,
        open_package: Callable[[Path], AnyPredictor] = lambda path: load(path, 1, "throughput"),
    ) -> None:
        manifest = Manifest.read(package)
        if not 0 < share <= 1:
            raise UsageError(f"a shadow's share of a core must lie above 0 and at most at 1, not {share:g}")
        self.package, self.version, self.mark = package, manifest.version, sha256(package / MANIFEST)[:16]
        self.name, self._share = name or manifest.name, share
        inputs = next(iter(manifest.stages.values())).signature.inputs
        if len(inputs) > 1 or any(s.frames > 1 or s.pixels == "track" for s in inputs.values()):
            raise UsageError("reads more than one picture at a time, and cannot be a shadow", where=package)
        self._input = next(iter(inputs))
        self._tally, self._say, self._open = tally, say, open_package
        self.fault = ""
        self._against: dict[str, Tallied] = {}
        self._queue: queue.Queue[Answered | None] = queue.Queue(1)
        self._next = 0.0
        self._closed = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def answered(self, picture: Answered) -> None:
        """Take a picture that was answered; returns at once."""
        if picture.model != self.name or time.monotonic() < self._next or self._closed or self.fault:
            return
        if self._thread is None:
            self._begin()
        self._next = math.inf  # until this one is answered and the rest is over
        with suppress(queue.Full):
            self._queue.put_nowait(picture)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
                self._thread.start()

    def to_json(self) -> dict[str, Any]:
        """What was found so far, plain values; `against` the versions of the champion it was beside."""
        with self._lock:
            against = {version: found.to_json() for version, found in self._against.items()}
        return {
            "model": self.name,
            "version": self.version,
            "package": self.mark,
            "fault": self.fault,
            "against": against,
        }

    def close(self) -> None:
        """End the thread; what waits is left out."""
        self._closed = True
        if self._thread is None:
            return
        with suppress(queue.Empty):
            self._queue.get_nowait()
        with suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            predictor = self._open(self.package)
        except (SightlineError, OSError) as error:
            self.fault = str(error)
            self._say(f"{self.name} {self.version} is no shadow: {error}")
            return
        self._say(f"{self.name}: version {self.version} runs as a shadow")
        while (picture := self._queue.get()) is not None and not self._closed:
            began = time.monotonic()
            try:
                self._compare(predictor, picture)
            except Exception:  # one odd picture must not end the shadow
                self._tally.error(self.name, "shadow")
            now = time.monotonic()
            self._next = now + (now - began) * (1 - self._share) / self._share

    def _compare(self, predictor: AnyPredictor, picture: Answered) -> None:
        (own,) = predictor.predict([{self._input: picture.pixels}])
        found = agreement(picture.results, own)
        agreed = bool(found) and min(found.values()) >= AGREED
        moves = [
            (was.names[was.best], now.names[now.best])
            for task, was in picture.results.items()
            if isinstance(was, ClassScores) and isinstance(now := own.get(task), ClassScores)
        ]
        with self._lock:
            row = self._against.setdefault(picture.version, Tallied(since=_now()))
            row.pictures += 1
            row.agreed += agreed
            row.moves.update((a, b) for a, b in moves if a != b)
            for task, value in found.items():
                row.sums[task] = row.sums.get(task, 0.0) + value
        self._tally.shadow(self.name, self.version, agreed, found)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
