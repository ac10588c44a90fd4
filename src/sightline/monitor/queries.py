"""PromQL from the table of metrics: a name or a label that is not there is refused where it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sightline.core.errors import UsageError
from sightline.monitor.metrics_table import METRICS, Metric

_SERIES: dict[str, Metric] = {series: metric for metric in METRICS.values() for series in metric.series}


def series(name: str, where: Mapping[str, str] | None = None) -> str:
    """A selector; a value that begins with `~` is a regular expression, with `!~` one that must not match.

    Raises:
        UsageError: no metric gives a series of that name, or it has no such label.
    """
    metric = _metric(name)
    _check(metric, where or {})
    matches = [_match(label, value) for label, value in (where or {}).items()]
    return f"{name}{{{', '.join(matches)}}}" if matches else name


def rate(
    name: str, by: Sequence[str] = (), *, over: str = "5m", where: Mapping[str, str] | None = None
) -> str:
    """Increase a second of a counter, or of a histogram's count or sum, added up by labels."""
    metric = _metric(name)
    if metric.kind == "gauge":
        raise UsageError(f"{name} is a gauge: it has no rate")
    _check(
        metric, dict.fromkeys([label for label in by if label != "le" or not name.endswith("_bucket")], "")
    )
    return f"sum by ({', '.join(by)}) (rate({series(name, where)}[{over}]))"


def quantile(
    q: float, name: str, by: Sequence[str] = (), *, over: str = "5m", where: Mapping[str, str] | None = None
) -> str:
    """A quantile of a histogram, by labels."""
    if _metric(f"{name}_bucket").kind != "histogram":
        raise UsageError(f"{name} is no histogram")
    _check(METRICS[name], dict.fromkeys(by, ""))
    buckets = f"rate({series(f'{name}_bucket', where)}[{over}])"
    return f"histogram_quantile({q:g}, sum by ({', '.join(['le', *by])}) ({buckets}))"


def mean(
    name: str, by: Sequence[str] = (), *, over: str = "5m", where: Mapping[str, str] | None = None
) -> str:
    """Mean of a histogram, by labels."""
    total, count = (rate(f"{name}_{part}", by, over=over, where=where) for part in ("sum", "count"))
    return f"{total} / {count}"


def _metric(name: str) -> Metric:
    if name not in _SERIES:
        raise UsageError(f"no metric gives the series {name!r}")
    return _SERIES[name]


def _check(metric: Metric, labels: Mapping[str, str]) -> None:
    unknown = set(labels) - set(metric.labels)
    if unknown:
        raise UsageError(
            f"has no label {', '.join(sorted(unknown))}; it has {', '.join(metric.labels)}", where=metric.name
        )


def _match(label: str, value: str) -> str:
    for sign in ("!~", "~"):
        if value.startswith(sign):
            operator = "!~" if sign == "!~" else "=~"
            return f'{label}{operator}"{value.removeprefix(sign)}"'
    return f'{label}="{value}"'
