"""`Metrics`: the methods that a service and a stream call at their seams, and what Prometheus scrapes."""

from __future__ import annotations

import platform
import threading
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sightline.core.observation import Appearance
from sightline.core.results import (
    ClassScores,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)
from sightline.monitor.metrics_table import METRICS, Metric

if TYPE_CHECKING:
    from sightline.monitor.feedback import Quality
    from sightline.monitor.report import DriftReport

Array = NDArray[Any]
_KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}

# Label values a metric takes before the rest are one: no client may fill the memory with names of its own.
MOST_VALUES = 1000
OTHER = "other"


class Metrics:
    """Counts what a service or a stream does; thread-safe, with a registry of its own.

    `model` is the name under which a package is served. Values that come from outside are bounded: past
    `MOST_VALUES` combinations of a metric's labels, new ones are counted as "other".
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._families = {name: _family(metric, self.registry) for name, metric in METRICS.items()}
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._values = dict.fromkeys(METRICS, 0)
        self._lock = threading.Lock()
        self._of("sightline_build_info", version("sightline"), platform.python_version()).set(1)

    def model(self, model: str, version: str, digest: str = "") -> None:
        """Say that a version of a package is in service; `digest` is its network's SHA-256, or part of it."""
        self._of("sightline_model_info", model, version, digest).set(1)

    def retired(self, model: str, version: str, digest: str = "") -> None:
        """Say that a version is no longer in service."""
        self._of("sightline_model_info", model, version, digest).set(0)

    def request(self, model: str, status: int | str) -> None:
        """Count a request that was answered, by its HTTP status."""
        self._of("sightline_requests_total", model, str(status)).inc()

    def error(self, model: str, kind: str) -> None:
        """Count a fault: `deadline`, `full`, `picture`, `runtime`..."""
        self._of("sightline_errors_total", model, kind).inc()

    def stage(self, model: str, stage: str, seconds: float) -> None:
        """Time of one stage of a request, one of `metrics_table.STAGES`."""
        self._of("sightline_stage_seconds", model, stage).observe(seconds)

    def batch(self, model: str, size: int) -> None:
        """Pictures of a batch that is handed to the network."""
        self._of("sightline_batch_size", model).observe(size)

    def queue_depth(self, model: str, n: int) -> None:
        """Requests that wait now."""
        self._of("sightline_queue_depth", model).set(n)

    def result(self, model: str, results: Mapping[str, Result]) -> None:
        """Scores, classes and number of the answers for one picture, by task."""
        for task, result in results.items():
            scores, labels, names = _rows(result)
            if scores is not None:
                histogram = self._of("sightline_score", model, task)
                for score in scores.tolist():
                    histogram.observe(score)
                self._of("sightline_objects", model, task).observe(len(scores))
            counts = np.bincount(labels, minlength=1)
            for index in np.flatnonzero(counts).tolist():
                self._of("sightline_answers_total", model, task, names[index]).inc(int(counts[index]))

    def picture(self, model: str, look: Appearance) -> None:
        """How one picture looks, by `observation.appearance`; a sample of the pictures is enough."""
        self._of("sightline_picture_brightness", model).observe(look.brightness)
        self._of("sightline_picture_contrast", model).observe(look.contrast)
        self._of("sightline_picture_sharpness", model).observe(look.sharpness)

    def drift(self, model: str, report: DriftReport, *, alarm: bool) -> None:
        """The last window's comparison; `alarm` once so many in a row were flagged that it is believed."""
        self._of("sightline_drift_flagged", model).set(report.drifted)
        self._of("sightline_drift_alarm", model).set(alarm)
        self._of("sightline_drift_windows_total", model, "yes" if report.drifted else "no").inc()
        for row in report.rows:
            self._of("sightline_drift_p", model, row.statistic).set(row.p)
            self._of("sightline_drift_size", model, row.statistic).set(row.size)

    def unwatched(self, model: str) -> None:
        """A package is no longer watched, or another one in its place: no alarm of the old one stands."""
        self._of("sightline_drift_flagged", model).set(0)
        self._of("sightline_drift_alarm", model).set(0)

    def frame(self, stream: str, age_s: float | None = None) -> None:
        """A frame of a stream was answered, `age_s` seconds after it was captured."""
        self._of("sightline_stream_frames_total", stream).inc()
        if age_s is not None:
            self._of("sightline_stream_result_age_seconds", stream).observe(age_s)

    def dropped(self, stream: str, reason: str, n: int = 1) -> None:
        """Frames of a stream were left out."""
        self._of("sightline_stream_dropped_total", stream, reason).inc(n)

    def review_kept(self, model: str, reason: str, n: int = 1) -> None:
        """Pictures were put into the review queue, by reason."""
        self._of("sightline_review_kept_total", model, reason).inc(n)

    def review_lost(self, cause: str, n: int = 1) -> None:
        """The review queue let go of answers: `full`, `store`, `fault`, or `budget` to make room."""
        self._of("sightline_review_lost_total", cause).inc(n)

    def review_up(self, up: bool) -> None:
        """Whether the review store answers."""
        self._of("sightline_review_up", "review").set(up)

    def quality(self, model: str, version: str, found: Quality) -> None:
        """Live quality on the answers whose labels came, beside what the package promised."""
        bounds = {"live": found.value, "low": found.low, "high": found.high}
        bounds |= dict(zip(("promised", "promised_low", "promised_high"), found.promised, strict=False))
        for bound, value in bounds.items():
            self._of("sightline_quality", model, version, found.metric, bound).set(value)
        self._of("sightline_quality_pictures", model, version, found.metric).set(found.n)

    def shadow(self, model: str, version: str, agreed: bool, found: Mapping[str, float]) -> None:
        """A shadow of this version answered a picture too; agreement by task, 0..1."""
        self._of("sightline_shadow_pictures_total", model, version, "yes" if agreed else "no").inc()
        for task, value in found.items():
            self._of("sightline_shadow_agreement", model, version, task).observe(value)

    def exposition(self) -> tuple[bytes, str]:
        """What Prometheus scrapes, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def listen(self, port: int, address: str = "127.0.0.1") -> Any:
        """Serve `/metrics` from a thread of its own, for a command that has no HTTP service.

        Returns:
            The server; `shutdown()` ends it, `server_port` tells its port where 0 was asked for.

        Raises:
            OSError: the port is taken.
        """
        server, _ = start_http_server(port, address, self.registry)
        return server

    def _of(self, name: str, *values: str) -> Any:
        """The metric's child for these label values; made once."""
        child = self._children.get((name, values))
        return child if child is not None else self._made(name, values)

    def _made(self, name: str, values: tuple[str, ...]) -> Any:
        with self._lock:
            if self._values[name] >= MOST_VALUES:
                values = (OTHER,) * len(values)
            if (name, values) not in self._children:
                family = self._families[name]
                self._children[name, values] = family.labels(*values) if values else family
                self._values[name] += 1
            return self._children[name, values]


def _family(metric: Metric, registry: CollectorRegistry) -> Any:
    """The client's object for one row of the table."""
    options = {"buckets": metric.buckets} if metric.kind == "histogram" else {}
    return _KINDS[metric.kind](metric.name, metric.text, metric.labels, registry=registry, **options)


def _rows(result: Result) -> tuple[Array | None, Array, tuple[str, ...]]:
    """Scores, classes and class names of a result's rows; a map counts each class that is in it once."""
    if isinstance(result, (Detections, Instances, PanopticMap)):
        return result.scores, result.classes, result.names
    if isinstance(result, ClassScores):
        return result.scores[[result.best]], np.array([result.best]), result.names
    none = np.zeros(0, np.int64)
    if isinstance(result, Points):
        return result.visible, none, result.names
    if isinstance(result, SemanticMap):
        present = np.unique(result.classes)
        return None, present[present < len(result.names)].astype(np.int64), result.names
    return None, none, ()
