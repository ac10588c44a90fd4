"""What watches the service: the seam that metrics, drift and the review queue stand behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from sightline.core.results import Result

# Where a picture's time goes. `answer` is making results of the outputs and text of the results.
STAGES = ("decode", "place", "queue", "infer", "answer")


@dataclass(frozen=True, slots=True)
class Answered:
    """One picture that was answered, with what a drift window or a review queue needs of it.

    Attributes:
        model: name of the package that answered.
        version: its version.
        request_id: the id the client was told.
        index: which picture of the request, 0-based.
        data: the file's bytes as they were sent; empty for a bare tensor.
        pixels: the decoded picture (H, W, 3) uint8 RGB, or the newest frame of a clip.
        results: by task.
        embedding: (D,) where the model names one.
    """

    model: str
    version: str
    request_id: str
    index: int
    data: bytes
    pixels: NDArray[Any]
    results: Mapping[str, Result]
    embedding: NDArray[Any] | None = None


class Observer(Protocol):
    """Told of everything at the moment it happens, from the event loop and from worker threads.

    A method must return quickly. What it raises is counted and dropped, since a result is worth more than
    a count of it.
    """

    def request(self, model: str, status: int) -> None:
        """A request was answered with an HTTP status; `model` is empty where none was named."""

    def stage(self, model: str, stage: str, seconds: float) -> None:
        """Seconds that one request spent in one of `STAGES`."""

    def batch(self, model: str, size: int) -> None:
        """A batch of `size` pictures went into the network."""

    def queue_depth(self, model: str, depth: int) -> None:
        """Requests that wait for a worker."""

    def result(self, model: str, results: Mapping[str, Result]) -> None:
        """Results of one picture."""

    def answered(self, picture: Answered) -> None:
        """The same moment, with the picture."""


class NullObserver:
    """Watches nothing."""

    def request(self, model: str, status: int) -> None:
        """Nothing."""

    def stage(self, model: str, stage: str, seconds: float) -> None:
        """Nothing."""

    def batch(self, model: str, size: int) -> None:
        """Nothing."""

    def queue_depth(self, model: str, depth: int) -> None:
        """Nothing."""

    def result(self, model: str, results: Mapping[str, Result]) -> None:
        """Nothing."""

    def answered(self, picture: Answered) -> None:
        """Nothing."""


class Observers:
    """Several observers as one; an observer may lack methods, and one that fails harms no other.

    `failures` counts what observers raised, by type of observer.
    """

    def __init__(self, watchers: Sequence[object]) -> None:
        self.failures: dict[str, int] = {}
        self._calls = {
            name: [found for w in watchers if (found := getattr(w, name, None)) is not None]
            for name in ("request", "stage", "batch", "queue_depth", "result", "answered", "model", "retired")
        }

    def _tell(self, name: str, *values: object) -> None:
        for call in self._calls[name]:
            try:
                call(*values)
            except Exception:  # whatever a watcher does wrong, the client gets its answer
                owner = type(getattr(call, "__self__", call)).__name__
                self.failures[owner] = self.failures.get(owner, 0) + 1

    def request(self, model: str, status: int) -> None:
        """Tell all."""
        self._tell("request", model, status)

    def stage(self, model: str, stage: str, seconds: float) -> None:
        """Tell all."""
        self._tell("stage", model, stage, seconds)

    def batch(self, model: str, size: int) -> None:
        """Tell all."""
        self._tell("batch", model, size)

    def queue_depth(self, model: str, depth: int) -> None:
        """Tell all."""
        self._tell("queue_depth", model, depth)

    def result(self, model: str, results: Mapping[str, Result]) -> None:
        """Tell all."""
        self._tell("result", model, results)

    def answered(self, picture: Answered) -> None:
        """Tell all."""
        self._tell("answered", picture)

    def model(self, model: str, version: str, digest: str) -> None:
        """Tell those who list versions that one is in service."""
        self._tell("model", model, version, digest)

    def retired(self, model: str, version: str, digest: str) -> None:
        """Tell those who list versions that one is no longer in service."""
        self._tell("retired", model, version, digest)
