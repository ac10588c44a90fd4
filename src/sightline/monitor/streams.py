"""What `watch` counts, for Prometheus: answers, their age, and every frame that got none, by reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sightline.core.results import Result
from sightline.monitor.metrics import Metrics

# Reasons a frame has no answer: attributes of the tally.
REASONS = ("dropped", "late", "unread", "lost")


class Answer(Protocol):
    """What is asked of an answer; `video.pipeline.Prediction` is one."""

    @property
    def source(self) -> str:
        """Name of the stream."""

    @property
    def results(self) -> Mapping[str, Result] | None:
        """By task; None for a fault."""

    @property
    def age_s(self) -> float | None:
        """Seconds from capture to answer; None in file mode."""


class StreamCounter:
    """Counts one `watch`; `answer` is called after each prediction.

    Args:
        metrics: where to count.
        model: name of the package.
        tally: an object with the counts of `REASONS`, as `video.tally.Tally`.
    """

    def __init__(self, metrics: Metrics, model: str, tally: object) -> None:
        self._metrics, self._model, self._tally = metrics, model, tally
        self._told = dict.fromkeys(REASONS, 0)

    def answer(self, given: Answer) -> None:
        """Count an answer, and what was lost since the last one."""
        if given.results is not None:
            self._metrics.frame(given.source, given.age_s)
            self._metrics.result(self._model, given.results)
        for reason in REASONS:
            count = int(getattr(self._tally, reason, 0))
            if count > self._told[reason]:
                self._metrics.dropped(given.source, reason, count - self._told[reason])
                self._told[reason] = count
