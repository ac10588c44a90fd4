"""The page of tasks whose pictures are not made here, and its charts."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.metrics.test_instances import pictures
from sightline.core.records import Annotation, Record
from sightline.core.results import DepthMap, PanopticMap
from sightline.evaluate.charts import (
    Line,
    interval_bars,
    line_chart,
    log_ticks,
    matrix,
    number,
    ticks,
    whisker,
)
from sightline.evaluate.evaluation import details_of
from sightline.evaluate.page import page
from sightline.evaluate.report import Report
from sightline.evaluate.scores import Scores


def report_of(scores: Scores) -> Report:
    metrics, rounds = scores.estimates(20)
    tasks = {
        t: {"samples": len(scores.ids[t]), "groups": len(scores.ids[t]), "without_truth": 0}
        for t in scores.families
    }
    context = {
        "model": "m",
        "part": "test",
        "dataset": "d",
        "fingerprint": "f",
        "samples": 1,
        "without_partner": 0,
        "classes": list(scores.classes),
        "classes_unknown_to_model": ["owl"],
        "tasks": tasks,
        "bootstrap": 20,
        "seed": 0,
        "seconds": 1.0,
    }
    return Report(metrics, details_of(scores, rounds), context)


def test_instances_get_the_charts_of_detections() -> None:
    scores = Scores(["instances"], ("a", "b"))
    for record, result in zip(*pictures(1, 5), strict=True):
        scores.add(record, {"instances": result}, lambda *_: np.zeros(0))
    html = page(report_of(scores))
    assert "Precision and recall" in html and "What the errors cost" in html
    assert "cannot answer owl" in html


def test_panoptic_and_depth_get_their_tables_and_charts() -> None:
    scores = Scores(["panoptic", "depth"], ("sky", "car"), stuff=("sky",))
    segments = np.array([[0, 0, 1, 1]])
    maps = {"panoptic": "p.png", "depth": "d.png"}
    marks = (Annotation(0, box=(0, 0, 2, 1)), Annotation(1, box=(2, 0, 4, 1)))
    truth = {"panoptic": segments, "depth": np.array([[1.0, 2.0, 4.0, 9.0]])}
    results = {
        "panoptic": PanopticMap(segments, np.ones(2), np.array([0, 1]), ("sky", "car")),
        "depth": DepthMap(np.array([[1.0, 2.5, 4.0, 8.0]])),
    }
    for i in range(3):
        scores.add(Record(str(i), "x", (4, 1), marks, maps=maps), results, lambda r, task: truth[task])
    html = page(report_of(scores))
    assert "Panoptic segments" in html and "stuff" in html and "Error by distance" in html


@given(st.floats(-1000, 1000), st.floats(1e-3, 1e4))
def test_ticks_are_few_round_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 12
    slack = 1e-6 * max(1.0, abs(low), span)
    assert all(low - slack <= t <= low + span + slack for t in found)


def test_numbers_are_short_and_what_is_none_is_a_dash() -> None:
    assert [number(v) for v in (0.25, 3.0, 1234.9, None, float("nan"), 123.456)] == [
        "0.25",
        "3",
        "1,235",
        "–",
        "–",
        "123.5",
    ]
    assert log_ticks(0.5, 8) == [0.5, 1, 2, 4, 8]


@pytest.mark.parametrize("count", [2, 10, 40])
def test_charts_are_well_formed_and_escape_names(count: int) -> None:
    names = [f"<{i}&" for i in range(count)]
    counts = np.arange(count * count).reshape(count, count).tolist()
    drawn = [
        matrix(counts, names, names, "a & b"),
        line_chart([Line("<x>", [0, 0.5, 1], [0.1, None, 0.9])], title="t", x_title="<", y_title="&"),
        interval_bars([("<s>", 0.5, 0.4, 0.6)], title="t", y_title="y"),
    ]
    assert ElementTree.fromstring(whisker(0.5, 0.4, 0.6, (0, 1)))[1].get("style") == "left:50.0%"
    for svg in drawn:
        assert ElementTree.fromstring(svg).tag == "svg"
