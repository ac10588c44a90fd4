"""Alert rules for Prometheus, built from the table of metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sightline.monitor.queries import quantile, rate, series

MODEL, STREAM = ("model",), ("stream",)


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule.

    Attributes:
        name: of the alert.
        expr: PromQL that gives a row for each thing that is wrong.
        hold: how long it must be so.
        severity: `page` (someone should come) or `ticket` (someone should look).
        summary: one line; `{{ $labels.x }}` and `{{ $value }}` are filled in.
        remedy: what to do about it.
    """

    name: str
    expr: str
    hold: str
    severity: Literal["page", "ticket"]
    summary: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """As Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.hold,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.remedy},
        }


def _share(status: str) -> str:
    """Share of requests that were answered with such a status, by model."""
    some = rate("sightline_requests_total", MODEL, where={"status": status})
    return f"{some} / {rate('sightline_requests_total', MODEL)}"


_FRAMES = rate("sightline_stream_frames_total", STREAM)
_DROPPED = rate("sightline_stream_dropped_total", STREAM)
_LOST = rate("sightline_review_lost_total", ("cause",), over="15m", where={"cause": "!~budget"})
_PROMISE = ("model", "version", "metric")
# Aggregated, so that every version of Prometheus gives the alert the same labels.
_HIGH, _LOW = (
    f"max by ({', '.join(_PROMISE)}) ({series('sightline_quality', {'bound': bound})})"
    for bound in ("high", "promised_low")
)
_GOOD = rate("sightline_requests_total", MODEL, over="15m", where={"status": "~2.."})

ALERTS = (
    Alert(
        "SightlineAbsent",
        f"absent({series('sightline_build_info')})",
        "2m",
        "page",
        "No sightline process is scraped",
        "Look whether the service runs, and whether Prometheus can reach its /metrics.",
    ),
    Alert(
        "SightlineFaults",
        f"{_share('~5..')} > 0.01",
        "2m",
        "page",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.model }} fail",
        "Every 5xx is logged with its request id; sightline_errors_total tells the kinds.",
    ),
    Alert(
        "SightlineOverloaded",
        f"{_share('429')} > 0.05",
        "5m",
        "page",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.model }} are turned away",
        "Add a replica, or threads, or a smaller model.",
    ),
    Alert(
        "SightlineWaiting",
        f"{quantile(0.95, 'sightline_stage_seconds', MODEL, where={'stage': 'queue'})} > 0.5",
        "5m",
        "ticket",
        "Requests to {{ $labels.model }} wait {{ $value | humanizeDuration }} before the network (p95)",
        "The queue is where overload shows first: add a replica before requests are turned away.",
    ),
    Alert(
        "SightlineFindsNothing",
        f"{rate('sightline_objects_sum', MODEL, over='15m')} == 0 and on (model) ({_GOOD} > 0)",
        "15m",
        "ticket",
        "{{ $labels.model }} answers requests and finds nothing in them",
        "Look at some pictures: a camera that is covered, dark or turned away is the usual cause.",
    ),
    Alert(
        "SightlineDrift",
        f"{series('sightline_drift_alarm')} == 1",
        "0m",
        "ticket",
        "What {{ $labels.model }} sees is no longer like its validation set",
        "sightline_drift_p tells which statistic moved, the log says it in words; review, label, retrain.",
    ),
    Alert(
        "SightlineDriftBlind",
        f"{rate('sightline_errors_total', MODEL, over='15m', where={'kind': 'drift'})} > 0",
        "15m",
        "ticket",
        "Pictures of {{ $labels.model }} cannot be compared with its reference",
        "The package and the service may be of different versions; export the package again.",
    ),
    Alert(
        "SightlineReviewStoreAway",
        f"{series('sightline_review_up')} == 0",
        "2m",
        "ticket",
        "The review store does not answer; results go on, the review queue loses what does not fit",
        "Look at the database or the disk; what waits is stored once it is back.",
    ),
    Alert(
        "SightlineReviewLoses",
        f"{_LOST} > 0",
        "5m",
        "ticket",
        "The review queue lets go of answers: {{ $labels.cause }}",
        "full: the store is slow or away; fault: pictures that cannot be kept. Results are not touched.",
    ),
    Alert(
        "SightlineQuality",
        f"{_HIGH} < {_LOW}",
        "0m",
        "ticket",
        "{{ $labels.metric }} of {{ $labels.model }} on late labels lies under what was promised",
        "sightline feedback shows both intervals; review, label, retrain.",
    ),
    Alert(
        "SightlineStreamDrops",
        f"{_DROPPED} / ({_FRAMES} + {_DROPPED}) > 0.05",
        "2m",
        "ticket",
        "{{ $labels.stream }} leaves out {{ $value | humanizePercentage }} of its frames",
        "The machine is too slow for this rate: a smaller model, a smaller input or fewer frames a second.",
    ),
    Alert(
        "SightlineStreamLate",
        f"{quantile(0.95, 'sightline_stream_result_age_seconds', STREAM)} > 0.5",
        "2m",
        "ticket",
        "Results of {{ $labels.stream }} are {{ $value | humanizeDuration }} old (p95)",
        "Look for something else on the machine, then as for frames left out.",
    ),
    Alert(
        "SightlineStreamStopped",
        f"{rate('sightline_stream_frames_total', STREAM, over='2m')} == 0",
        "2m",
        "page",
        "{{ $labels.stream }} has given no frame for two minutes",
        "Look at the camera and its network.",
    ),
)


def rules() -> dict[str, Any]:
    """The rule file, as plain values."""
    return {"groups": [{"name": "sightline", "rules": [alert.to_json() for alert in ALERTS]}]}
