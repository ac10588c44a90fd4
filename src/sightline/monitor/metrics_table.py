"""Every metric, once: name, kind, labels, buckets and meaning.

The service counts by this table, and dashboards and alert rules are built from it: a query that names a
metric or a label which is not here is refused where it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sightline.core.observation import EDGES

Kind = Literal["counter", "gauge", "histogram"]

# The stages of a request: picture decoding, placing, waiting, the network, answers of its outputs.
STAGES = ("decode", "place", "queue", "infer", "answer")

# Seconds: 1 ms apart where live video lives, then coarser up to what a deadline allows.
SECONDS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0),
)
SHARES = tuple(round(0.05 * i, 2) for i in range(1, 21))
COUNTS = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 89.0, 144.0, 300.0)
BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


def _inner(name: str) -> tuple[float, ...]:
    """The reference's own bin edges, so that a dashboard and the drift report show the same bars."""
    return tuple(round(float(edge), 6) for edge in EDGES[name][1:])


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: as it is scraped; a counter's ends in `_total`.
        kind: `counter`, `gauge` or `histogram`.
        labels: their names.
        text: what it says, with its unit.
        buckets: upper bounds of a histogram, ascending, without infinity.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    text: str
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the time series it gives."""
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


_ROWS = (
    Metric("sightline_build_info", "gauge", ("version", "python"), "Always 1; what is running"),
    Metric("sightline_model_info", "gauge", ("model", "version", "digest"), "1 for each version in service"),
    # The service.
    Metric("sightline_requests_total", "counter", ("model", "status"), "Requests answered, by HTTP status"),
    Metric("sightline_errors_total", "counter", ("model", "kind"), "Faults, by kind"),
    Metric("sightline_queue_depth", "gauge", ("model",), "Requests that wait"),
    Metric("sightline_batch_size", "histogram", ("model",), "Pictures in a batch", BATCHES),
    Metric("sightline_stage_seconds", "histogram", ("model", "stage"), "Seconds by stage", SECONDS),
    # What is answered, and on what.
    Metric("sightline_score", "histogram", ("model", "task"), "Scores of the answers, 0 to 1", SHARES),
    Metric("sightline_answers_total", "counter", ("model", "task", "class"), "Answers, by class"),
    Metric("sightline_objects", "histogram", ("model", "task"), "Answers in a picture", COUNTS),
    Metric(
        "sightline_picture_brightness",
        "histogram",
        ("model",),
        "Mean grey level of a picture, 0 to 255",
        _inner("brightness"),
    ),
    Metric(
        "sightline_picture_contrast",
        "histogram",
        ("model",),
        "Standard deviation of a picture's grey levels",
        _inner("contrast"),
    ),
    Metric(
        "sightline_picture_sharpness",
        "histogram",
        ("model",),
        "log(1 + variance of the Laplacian) of a picture",
        _inner("sharpness"),
    ),
    # Drift.
    Metric("sightline_drift_flagged", "gauge", ("model",), "1 while the last window differed"),
    Metric("sightline_drift_alarm", "gauge", ("model",), "1 while the last windows in a row differed"),
    Metric(
        "sightline_drift_p",
        "gauge",
        ("model", "statistic"),
        "Adjusted p-value of the last window: drifted at half the stated false-alarm rate and below",
    ),
    Metric(
        "sightline_drift_size",
        "gauge",
        ("model", "statistic"),
        "How far the last window is from the reference: KS distance, PSI or MMD",
    ),
    Metric("sightline_drift_windows_total", "counter", ("model", "flagged"), "Windows compared"),
    # The review queue, and labels that come late.
    Metric("sightline_review_kept_total", "counter", ("model", "reason"), "Pictures worth a look, by reason"),
    Metric(
        "sightline_review_lost_total",
        "counter",
        ("cause",),
        "Answers the review queue let go of: full, store, fault; budget where room had to be made",
    ),
    Metric("sightline_review_up", "gauge", ("store",), "1 while the review store answers"),
    Metric(
        "sightline_quality",
        "gauge",
        ("model", "version", "metric", "bound"),
        "Quality on the answers whose labels came (live, low, high) and as promised",
    ),
    Metric(
        "sightline_quality_pictures",
        "gauge",
        ("model", "version", "metric"),
        "Pictures whose labels came, of those that count",
    ),
    # A challenger that answers the same pictures and is not heard.
    Metric(
        "sightline_shadow_pictures_total",
        "counter",
        ("model", "version", "agreed"),
        "Pictures that a shadow answered too, by whether it agreed with the champion",
    ),
    Metric(
        "sightline_shadow_agreement",
        "histogram",
        ("model", "version", "task"),
        "Agreement of a shadow's answer with the champion's, 0 to 1",
        SHARES,
    ),
    # Streams.
    Metric("sightline_stream_frames_total", "counter", ("stream",), "Frames answered"),
    Metric("sightline_stream_dropped_total", "counter", ("stream", "reason"), "Frames left out, by reason"),
    Metric(
        "sightline_stream_result_age_seconds",
        "histogram",
        ("stream",),
        "Seconds from a frame's capture to its result",
        SECONDS,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ROWS}
