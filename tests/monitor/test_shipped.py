"""Alert rules and dashboards: they name only what is scraped, they are as built, and the rules fire."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sightline.core.errors import UsageError
from sightline.core.results import Detections
from sightline.monitor.alerts import ALERTS, rules
from sightline.monitor.metrics import Metrics
from sightline.monitor.metrics_table import METRICS
from sightline.monitor.queries import mean, quantile, rate, series
from sightline.monitor.report import DriftReport, DriftRow

REPO = Path(__file__).resolve().parents[2]
RULES = REPO / "deploy" / "prometheus" / "sightline_alerts.yaml"
SERIES = {name for metric in METRICS.values() for name in metric.series}


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian: apt-get install prometheus)")


def checked(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_shipped_is_what_is_built(tmp_path: Path) -> None:
    pytest.importorskip("grafana_foundation_sdk")
    from sightline.monitor.shipped import write

    for path in write(tmp_path):
        shipped = REPO / "deploy" / path.relative_to(tmp_path)
        assert shipped.read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), "run: make dashboards"


def expressions() -> Iterator[tuple[str, str]]:
    """Every query of every rule and panel."""
    for alert in ALERTS:
        yield alert.name, alert.expr
    for path in sorted((REPO / "deploy" / "grafana").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"]


def test_no_query_names_a_metric_or_a_label_that_is_not_there() -> None:
    count = 0
    for title, expr in expressions():
        for name, where in re.findall(r"\b(sightline_\w+)(\{[^}]*\})?", expr):
            count += 1
            assert name in SERIES, f"{title}: {name}"
            metric = next(m for m in METRICS.values() if name in m.series)
            for label in re.findall(r'(\w+)(?:=~|!~|=)"', where):
                assert label in (*metric.labels, "le"), f"{title}: {name} has no label {label}"
    assert count > 40


def test_every_metric_is_on_a_dashboard_or_in_a_rule() -> None:
    told = " ".join(expr for _, expr in expressions())
    silent = {m.name for m in METRICS.values() if not any(s in told for s in m.series)}
    assert silent == {"sightline_model_info", "sightline_drift_flagged"}


@pytest.mark.parametrize(
    "write",
    [
        lambda: series("sightline_requests"),
        lambda: series("sightline_requests_total", {"code": "200"}),
        lambda: rate("sightline_requests_total", ("code",)),
        lambda: rate("sightline_queue_depth"),
        lambda: rate("sightline_requests_total", ("le",)),
        lambda: quantile(0.5, "sightline_requests_total"),
        lambda: mean("sightline_queue_depth"),
    ],
)
def test_a_query_that_cannot_work_is_refused(write: Any) -> None:
    with pytest.raises(UsageError):
        write()


def test_promtool_takes_the_rules() -> None:
    needs("promtool")
    assert f"{len(ALERTS)} rules found" in checked("promtool", "check", "rules", RULES)


M = 'model="cells"'
WELL = {
    "sightline_build_info": "1x60",
    f'sightline_requests_total{{{M}, status="200"}}': "0+600x60",
    f'sightline_requests_total{{{M}, status="500"}}': "0+1x60",
    f'sightline_stage_seconds_bucket{{{M}, stage="queue", le="0.5"}}': "0+600x60",
    f'sightline_stage_seconds_bucket{{{M}, stage="queue", le="2"}}': "0+600x60",
    f'sightline_stage_seconds_bucket{{{M}, stage="queue", le="+Inf"}}': "0+600x60",
    f"sightline_objects_sum{{{M}}}": "0+900x60",
    f"sightline_drift_alarm{{{M}}}": "0x60",
    'sightline_stream_frames_total{stream="door"}': "0+600x60",
    'sightline_stream_dropped_total{stream="door", reason="late"}': "0+2x60",
}
WELL |= {
    'sightline_review_up{store="review"}': "1x60",
    'sightline_review_lost_total{cause="budget"}': "0+5x60",
    f'sightline_quality{{{M}, version="1", metric="detect.f1", bound="high"}}': "0.9x60",
    f'sightline_quality{{{M}, version="1", metric="detect.f1", bound="promised_low"}}': "0.8x60",
}
# What has to change for each alert, and what must not make any other one fire.
ILL: dict[str, dict[str, str | None]] = {
    "SightlineAbsent": {"sightline_build_info": None},
    "SightlineFaults": {f'sightline_requests_total{{{M}, status="500"}}': "0+30x60"},
    "SightlineOverloaded": {f'sightline_requests_total{{{M}, status="429"}}': "0+100x60"},
    "SightlineWaiting": {f'sightline_stage_seconds_bucket{{{M}, stage="queue", le="0.5"}}': "0+500x60"},
    "SightlineFindsNothing": {f"sightline_objects_sum{{{M}}}": "900x60"},
    "SightlineDrift": {f"sightline_drift_alarm{{{M}}}": "1x60"},
    "SightlineDriftBlind": {f'sightline_errors_total{{{M}, kind="drift"}}': "0+1x60"},
    "SightlineReviewStoreAway": {'sightline_review_up{store="review"}': "0x60"},
    "SightlineReviewLoses": {'sightline_review_lost_total{cause="full"}': "0+1x60"},
    "SightlineQuality": {
        f'sightline_quality{{{M}, version="1", metric="detect.f1", bound="high"}}': "0.7x60",
    },
    "SightlineStreamDrops": {'sightline_stream_dropped_total{stream="door", reason="late"}': "0+60x60"},
    "SightlineStreamLate": {
        'sightline_stream_result_age_seconds_bucket{stream="door", le="0.5"}': "0+60x60",
        'sightline_stream_result_age_seconds_bucket{stream="door", le="2"}': "0+600x60",
        'sightline_stream_result_age_seconds_bucket{stream="door", le="+Inf"}': "0+600x60",
    },
    "SightlineStreamStopped": {
        'sightline_stream_frames_total{stream="door"}': "600x60",
        'sightline_stream_dropped_total{stream="door", reason="late"}': "9x60",
    },
}


# Labels of alerts that are about neither a model nor a stream alone.
OWNERS: dict[str, dict[str, str]] = {
    "SightlineAbsent": {},
    "SightlineReviewStoreAway": {"store": "review"},
    "SightlineReviewLoses": {"cause": "full"},
    "SightlineQuality": {"model": "cells", "version": "1", "metric": "detect.f1"},
}


def rule_test(changes: dict[str, str | None], firing: str) -> dict[str, Any]:
    """A promtool test: after 45 minutes of these series one alert fires, and no other."""
    found = {**WELL, **changes}
    given = [{"series": name, "values": values} for name, values in found.items() if values is not None]
    expected = []
    for alert in ALERTS:
        entry: dict[str, Any] = {"eval_time": "45m", "alertname": alert.name}
        if alert.name == firing:
            owner = {"stream": "door"} if "Stream" in alert.name else {"model": "cells"}
            owner = OWNERS.get(alert.name, owner)
            entry["exp_alerts"] = [{"exp_labels": {"severity": alert.severity, **owner}}]
        expected.append(entry)
    return {"interval": "1m", "input_series": given, "alert_rule_test": expected}


def test_each_rule_fires_on_its_fault_and_on_no_other(tmp_path: Path) -> None:
    needs("promtool")
    assert set(ILL) == {alert.name for alert in ALERTS}
    # Texts are filled in from values; promtool compares them word by word, so the rules go without here.
    plain = rules()
    for rule in plain["groups"][0]["rules"]:
        rule["annotations"] = {}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(plain))
    cases = [rule_test({}, ""), *(rule_test(changes, name) for name, changes in ILL.items())]
    tests = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(tests))
    checked("promtool", "test", "rules", tmp_path / "test.yaml")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def firing(port: int) -> set[str]:
    """Names of the alerts that fire in a running Prometheus."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alerts", timeout=5) as answer:
        found = json.load(answer)["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}


def quickened(text: str) -> str:
    """The rules with seconds for minutes, so that a test need not wait for an hour."""
    text = re.sub(r"\[\d+m\]", "[8s]", text)
    return re.sub(r"for: \d+m", "for: 1s", text)


@pytest.mark.slow
def test_a_running_prometheus_scrapes_us_and_fires(tmp_path: Path) -> None:
    needs("prometheus")
    metrics, port = Metrics(), free_port()
    server = metrics.listen(0)
    (tmp_path / "rules.yaml").write_text(quickened(RULES.read_text(encoding="utf-8")))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": "sightline", "static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}]}
        ],
    }
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    words = (f"--config.file={tmp_path / 'prometheus.yaml'}", f"--storage.tsdb.path={tmp_path / 'data'}")
    process = subprocess.Popen(
        ["prometheus", *words, f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wanted = {"SightlineFaults", "SightlineDrift", "SightlineStreamDrops", "SightlineOverloaded"}
    try:
        seen, end = set[str](), time.monotonic() + 90
        while not wanted <= seen and time.monotonic() < end:
            busy(metrics)
            time.sleep(0.5)
            try:
                seen |= firing(port)
            except OSError:
                continue  # not up yet
        assert wanted <= seen
        assert "SightlineAbsent" not in firing(port)
    finally:
        process.terminate()
        process.wait(20)
        server.shutdown()
        server.server_close()


def busy(metrics: Metrics) -> None:
    """Half a second of a service in trouble."""
    for status in (200,) * 18 + (500, 429, 429):
        metrics.request("cells", status)
    metrics.result("cells", {"detect": Detections([[0, 0, 1, 1]], [0.9], [0], ("a",))})
    row = DriftRow("brightness", "KS", 0.6, 0.2, 0.001, True)
    metrics.drift("cells", DriftReport("cells 1", "live", 64, 90, 0.01, (row,)), alarm=True)
    metrics.frame("door", 0.02)
    metrics.dropped("door", "late")
