"""Metrics: what is called at the seams is what Prometheus scrapes, and nothing else."""

from __future__ import annotations

import threading
import urllib.request

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sightline.core.observation import Appearance
from sightline.core.results import ClassScores, DepthMap, Detections, Points, SemanticMap
from sightline.monitor import metrics as module
from sightline.monitor.feedback import Quality
from sightline.monitor.metrics import Metrics
from sightline.monitor.metrics_table import METRICS, STAGES
from sightline.monitor.report import DriftReport, DriftRow

NAMES = ("a", "b")


def scraped(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and sorted labels."""
    body, kind = metrics.exposition()
    assert kind.startswith("text/plain")
    families = text_string_to_metric_families(body.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def every_call(metrics: Metrics) -> None:
    """Call every method once."""
    metrics.model("cells", "1", "abc")
    metrics.request("cells", 200)
    metrics.error("cells", "deadline")
    metrics.stage("cells", "infer", 0.004)
    metrics.batch("cells", 3)
    metrics.queue_depth("cells", 7)
    boxes = np.array([[0, 0, 2, 2], [0, 0, 3, 3]])
    metrics.result("cells", {"detect": Detections(boxes, [0.92, 0.5], [1, 1], NAMES)})
    metrics.picture("cells", Appearance(100, 20, 3))
    rows = (
        DriftRow("brightness", "KS", 0.6, 0.2, 0.001, True),
        DriftRow("score", "KS", 0.1, 0.2, 0.7, False),
    )
    metrics.drift("cells", DriftReport("cells 1", "live", 64, 90, 0.01, rows), alarm=True)
    metrics.frame("door", 0.031)
    metrics.dropped("door", "late", 4)
    metrics.review_kept("cells", "uncertain")
    metrics.review_lost("full")
    metrics.review_up(True)
    metrics.shadow("cells", "2", True, {"detect": 0.9})
    metrics.quality("cells", "1", Quality("detect.f1", 0.8, 0.7, 0.9, 40, (0.85, 0.8, 0.9)))


def test_every_metric_of_the_table_is_scraped_and_no_other_of_ours() -> None:
    metrics = Metrics()
    every_call(metrics)
    found = {name for name, _ in scraped(metrics) if name.startswith("sightline_")}
    created = {name for name in found if name.endswith("_created")}
    assert found - created == {name for metric in METRICS.values() for name in metric.series}


def test_values_are_those_that_were_given() -> None:
    metrics = Metrics()
    every_call(metrics)
    found = scraped(metrics)
    cells = ("model", "cells")
    assert found["sightline_requests_total", (cells, ("status", "200"))] == 1
    assert found["sightline_queue_depth", (cells,)] == 7
    assert found["sightline_stage_seconds_sum", (cells, ("stage", "infer"))] == pytest.approx(0.004)
    assert found["sightline_answers_total", (("class", "b"), cells, ("task", "detect"))] == 2
    assert found["sightline_score_bucket", (("le", "0.5"), cells, ("task", "detect"))] == 1
    assert found["sightline_score_count", (cells, ("task", "detect"))] == 2
    assert found["sightline_objects_sum", (cells, ("task", "detect"))] == 2
    assert found["sightline_picture_brightness_sum", (cells,)] == 100
    assert found["sightline_drift_alarm", (cells,)] == 1
    assert found["sightline_drift_p", (cells, ("statistic", "brightness"))] == 0.001
    assert found["sightline_stream_dropped_total", (("reason", "late"), ("stream", "door"))] == 4
    shadow = (cells, ("version", "2"))
    assert found["sightline_shadow_pictures_total", (("agreed", "yes"), *shadow)] == 1
    assert found["sightline_shadow_agreement_sum", (cells, ("task", "detect"), ("version", "2"))] == 0.9
    quality = (("metric", "detect.f1"), cells, ("version", "1"))
    assert found["sightline_quality", (("bound", "promised_low"), *quality)] == 0.8
    assert found["sightline_quality_pictures", quality] == 40


def test_stages_are_those_the_service_times() -> None:
    from sightline.serve import observing

    assert STAGES == observing.STAGES


def test_every_kind_of_result_is_counted() -> None:
    metrics = Metrics()
    results = {
        "classify": ClassScores([0.2, 0.8], NAMES),
        "locate": Points([[1, 1]], [0.7], ("ball",)),
        "segment": SemanticMap([[0, 255], [1, 1]], NAMES),
        "depth": DepthMap(np.ones((2, 2))),
    }
    metrics.result("m", results)
    found = scraped(metrics)
    m = ("model", "m")
    assert found["sightline_answers_total", (("class", "b"), m, ("task", "classify"))] == 1
    assert ("sightline_answers_total", (("class", "a"), m, ("task", "classify"))) not in found
    assert found["sightline_score_sum", (m, ("task", "locate"))] == pytest.approx(0.7)
    assert found["sightline_answers_total", (("class", "a"), m, ("task", "segment"))] == 1


def test_names_from_outside_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_VALUES", 5)
    metrics = Metrics()
    for index in range(50):
        metrics.request(f"made-up-{index}", 404)
    rows = {labels: v for (name, labels), v in scraped(metrics).items() if name == "sightline_requests_total"}
    assert len(rows) == 6
    assert rows[("model", "other"), ("status", "other")] == 45


def test_counts_from_many_threads_are_all_there() -> None:
    metrics = Metrics()

    def work() -> None:
        for index in range(200):
            metrics.request(f"m{index % 7}", 200)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(v for (name, _), v in scraped(metrics).items() if name == "sightline_requests_total") == 1600


def test_a_command_without_a_service_can_be_scraped() -> None:
    metrics = Metrics()
    metrics.frame("door")
    server = metrics.listen(0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10) as answer:
            assert b"sightline_stream_frames_total" in answer.read()
    finally:
        server.shutdown()
        server.server_close()
