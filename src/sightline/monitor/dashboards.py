"""Grafana dashboards, built with grafana-foundation-sdk from the table of metrics."""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode, StackingMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from sightline.monitor.metrics_table import METRICS
from sightline.monitor.queries import mean, quantile, rate, series

SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
OVER = "$__rate_interval"
MODELS, STREAMS = {"model": "~$model"}, {"stream": "~$stream"}
HEIGHT = 8
GOOD, ODD, BAD = "#14775a", "#c65a11", "#c0264d"
Query = tuple[str, str]


def service() -> dict[str, Any]:
    """How the service does: requests, faults, time by stage, batches, queue."""
    page = _page("sightline-service", "sightline: service", "model", "sightline_requests_total")
    requests = rate("sightline_requests_total", ("status",), over=OVER, where=MODELS)
    faults = rate("sightline_requests_total", (), over=OVER, where={**MODELS, "status": "~5.."})
    away = rate("sightline_requests_total", (), over=OVER, where={**MODELS, "status": "429"})
    every = rate("sightline_requests_total", (), over=OVER, where=MODELS)
    limits = [(None, GOOD), (0.001, ODD), (0.01, BAD)]
    page = (
        page.with_panel(_figure("Requests a second", every, "reqps"))
        .with_panel(_figure("Failed", f"({faults} or vector(0)) / {every}", "percentunit", limits))
        .with_panel(_figure("Turned away", f"({away} or vector(0)) / {every}", "percentunit", limits))
        .with_panel(_figure("Waiting now", f"sum({series('sightline_queue_depth', MODELS)})", "short"))
        .with_panel(_lines("Requests by status", [(requests, "{{status}}")], "reqps", stacked=True))
        .with_panel(_lines("Faults by kind", [_by("sightline_errors_total", "kind", MODELS)], "ops"))
        .with_panel(_lines("Time by stage, median", [_stages(0.5)], "s"))
        .with_panel(_lines("Time by stage, 99th percentile", [_stages(0.99)], "s"))
        .with_panel(_map("Pictures in a batch", "sightline_batch_size", MODELS))
        .with_panel(
            _lines(
                "Queue",
                [(f"max by (model) ({series('sightline_queue_depth', MODELS)})", "{{model}}")],
                "short",
            )
        )
    )
    return _plain(page)


def drift() -> dict[str, Any]:
    """What the models see and say, and whether it is still what they were measured on."""
    page = _page("sightline-drift", "sightline: drift", "model", "sightline_answers_total")
    alarm = f"max by (model) ({series('sightline_drift_alarm', MODELS)})"
    flagged = rate("sightline_drift_windows_total", ("model",), over="1h", where={**MODELS, "flagged": "yes"})
    windows = rate("sightline_drift_windows_total", ("model",), over="1h", where=MODELS)
    p = f"min by (statistic) ({series('sightline_drift_p', MODELS)})"
    classes = rate("sightline_answers_total", ("class",), over=OVER, where=MODELS)
    page = (
        page.with_panel(_state("Drift believed", alarm))
        .with_panel(
            _lines(
                "Windows flagged in the last hour", [(f"{flagged} / {windows}", "{{model}}")], "percentunit"
            )
        )
        .with_panel(
            _lines(
                "Adjusted p by statistic (drifted at 0.005 and below)",
                [(p, "{{statistic}}")],
                "none",
                log=True,
            )
        )
        .with_panel(
            _lines(
                "Distance from the reference",
                [(f"max by (statistic) ({series('sightline_drift_size', MODELS)})", "{{statistic}}")],
                "none",
            )
        )
        .with_panel(_lines("Answers by class", [(classes, "{{class}}")], "ops", stacked=True, share=True))
        .with_panel(
            _lines(
                "Answers in a picture",
                [
                    (
                        mean("sightline_objects", ("model", "task"), over=OVER, where=MODELS),
                        "{{model}} {{task}}",
                    )
                ],
                "none",
            )
        )
        .with_panel(_map("Scores", "sightline_score", MODELS))
        .with_panel(_map("Brightness", "sightline_picture_brightness", MODELS))
        .with_panel(_map("Contrast", "sightline_picture_contrast", MODELS))
        .with_panel(_map("Sharpness", "sightline_picture_sharpness", MODELS))
    )
    return _plain(page)


def streams() -> dict[str, Any]:
    """How live streams do: rate, frames left out, age of results."""
    page = _page("sightline-streams", "sightline: streams", "stream", "sightline_stream_frames_total")
    frames = rate("sightline_stream_frames_total", ("stream",), over=OVER, where=STREAMS)
    dropped = rate("sightline_stream_dropped_total", ("stream", "reason"), over=OVER, where=STREAMS)
    age = "sightline_stream_result_age_seconds"
    page = (
        page.with_panel(_lines("Frames answered a second", [(frames, "{{stream}}")], "ops"))
        .with_panel(
            _lines("Frames left out a second", [(dropped, "{{stream}}: {{reason}}")], "ops", stacked=True)
        )
        .with_panel(
            _lines(
                "Age of results",
                [
                    (quantile(q, age, ("stream",), over=OVER, where=STREAMS), f"{{{{stream}}}} p{q * 100:g}")
                    for q in (0.5, 0.95)
                ],
                "s",
            )
        )
        .with_panel(_map("Age of results, all", age, STREAMS, "s"))
    )
    return _plain(page)


def review() -> dict[str, Any]:
    """What was worth a look, quality on labels that came late, and how far a shadow agrees."""
    page = _page("sightline-review", "sightline: review", "model", "sightline_quality")
    up = f"min({series('sightline_review_up')}) == bool 0"
    kept = rate("sightline_review_kept_total", ("reason",), over=OVER)
    lost = rate("sightline_review_lost_total", ("cause",), over=OVER)
    quality = series("sightline_quality", MODELS)
    pictures = series("sightline_quality_pictures", MODELS)
    beside = rate("sightline_shadow_pictures_total", ("agreed",), over=OVER, where=MODELS)
    alike = mean("sightline_shadow_agreement", ("version", "task"), over=OVER, where=MODELS)
    page = (
        page.with_panel(_state("Store away", up))
        .with_panel(_lines("Pictures kept a second, by reason", [(kept, "{{reason}}")], "ops", stacked=True))
        .with_panel(_lines("Answers let go a second, by cause", [(lost, "{{cause}}")], "ops", stacked=True))
        .with_panel(
            _lines("Quality on late labels", [(quality, "{{model}} {{metric}}: {{bound}}")], "percentunit")
        )
        .with_panel(_lines("Pictures with labels", [(pictures, "{{model}} {{metric}}")], "short"))
        .with_panel(
            _lines("Shadow's answers a second, agreed?", [(beside, "{{agreed}}")], "ops", stacked=True)
        )
        .with_panel(_lines("Shadow: agreement", [(alike, "{{version}} {{task}}")], "percentunit"))
    )
    return _plain(page)


DASHBOARDS = {"service": service, "drift": drift, "streams": streams, "review": review}


def _stages(q: float) -> Query:
    return quantile(q, "sightline_stage_seconds", ("stage",), over=OVER, where=MODELS), "{{stage}}"


def _by(name: str, label: str, where: dict[str, str]) -> Query:
    return rate(name, (label,), over=OVER, where=where), f"{{{{{label}}}}}"


def _page(uid: str, title: str, label: str, metric: str) -> dashboard.Dashboard:
    """A page with a choice of the data source, and of models or streams."""
    chosen = (
        dashboard.QueryVariable(label)
        .label(label)
        .query(f"label_values({series(metric)}, {label})")
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["sightline"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("source").label("source").type("prometheus"))
        .with_variable(chosen)
        .link(
            dashboard.DashboardLink("others")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["sightline"])
            .keep_time(True)
        )
    )


def _query(query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query[0]).legend_format(query[1])


def _figure(title: str, expr: str, unit: str, limits: Any = None) -> stat.Panel:
    panel = (
        stat.Panel()
        .title(title)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(6)
        .graph_mode(BigValueGraphMode.AREA)
        .with_target(_query((expr, "")))
    )
    return panel.thresholds(_thresholds(limits)) if limits else panel


def _lines(
    title: str,
    queries: list[Query],
    unit: str,
    *,
    stacked: bool = False,
    share: bool = False,
    log: bool = False,
) -> timeseries.Panel:
    panel = (
        timeseries.Panel().title(title).datasource(SOURCE).unit(unit).height(HEIGHT).span(12).line_width(2)
    )
    if stacked:
        mode = StackingMode.PERCENT if share else StackingMode.NORMAL
        panel = panel.fill_opacity(30).stacking(common.StackingConfig().mode(mode))
    if log:
        from grafana_foundation_sdk.models.common import ScaleDistribution

        scale = common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10)
        panel = panel.scale_distribution(scale).thresholds(_thresholds([(None, BAD), (0.005, GOOD)]))
    for query in queries:
        panel = panel.with_target(_query(query))
    return panel


def _map(title: str, metric: str, where: dict[str, str], unit: str = "none") -> heatmap.Panel:
    """A histogram over time."""
    expr = rate(f"{metric}_bucket", ("le",), over=OVER, where=where)
    query = _query((expr, "{{le}}")).format(PromQueryFormat.HEATMAP)
    text = METRICS[metric].text
    return (
        heatmap.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .height(HEIGHT)
        .span(12)
        .with_target(query)
    )


def _state(title: str, expr: str) -> statetimeline.Panel:
    words = ValueMap(
        options={
            "0": ValueMappingResult(text="as measured", color=GOOD),
            "1": ValueMappingResult(text="drifted", color=BAD),
        }
    )
    return (
        statetimeline.Panel()
        .title(title)
        .datasource(SOURCE)
        .height(HEIGHT)
        .span(12)
        .mappings([words])
        .with_target(_query((expr, "{{model}}")))
    )


def _thresholds(limits: Any) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=value, color=colour) for value, colour in limits]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _plain(page: dashboard.Dashboard) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(page.build()))
    return value
