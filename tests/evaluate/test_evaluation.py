"""Any predictor against a dataset: figures, report, page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.made import make_dataset
from evaluate.knowing import Knowing
from sightline.core.errors import DatasetError, ModelError, UsageError
from sightline.core.problem import SplitSection
from sightline.core.records import Annotation, Record
from sightline.core.results import ClassScores, DepthMap, Detections, Points, Result, SemanticMap
from sightline.data.dataset import Dataset
from sightline.data.split import make_split
from sightline.evaluate import MEASURES, Report, compare, evaluate, score, scored

WH = (96, 72)
NAMES = ("ball", "cup")


def box_of(i: int) -> tuple[float, float, float, float]:
    return (5.0 + i, 8.0, 35.0 + i, 44.0)


def ring_of(i: int) -> Any:
    x1, y1, x2, y2 = box_of(i)
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def record(i: int, *marks: Annotation) -> Record:
    return Record(f"{i}.png", f"{i}.png", WH, marks, group=f"g{i // 2}")


@pytest.fixture
def boxes(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path, [record(i, Annotation(i % 2, box_of(i))) for i in range(12)])


def found(r: Record) -> dict[str, Result]:
    """Every other box right, the others far off."""
    number = int(r.id.split(".")[0])
    shift = 0.0 if number % 2 else 40.0
    box = np.array([box_of(number)]) + np.array([shift, 0, shift, 0])
    return {"detect": Detections(box, np.array([0.9]), r.labels(), NAMES)}


def ids_of(dataset: Dataset) -> list[str]:
    return [r.id for r in dataset.records]


def test_a_report_is_written_read_back_and_opens_offline(boxes: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    split = make_split(boxes, SplitSection(), near=False)
    calls: list[tuple[int, int]] = []
    report = evaluate(
        Knowing(boxes, ("detect",), found),
        boxes,
        ids_of(boxes),
        out,
        bootstrap=50,
        gallery=2,
        split=split,
        name="a <model>",
        part="test",
        progress=lambda done, total: calls.append((done, total)),
    )
    value = report.metrics["detect.map50"]
    assert value.value == pytest.approx(0.5) and value.low <= 0.5 <= value.high and value.n == 6
    assert calls[-1] == (12, 12)
    read = Report.read(out)
    assert read.metrics == report.metrics and read.leakage == report.leakage
    assert read.leakage is not None and read.leakage["held_out"] > 0
    stored = json.loads((out / "report.json").read_text())
    assert stored["metrics"]["detect.map"]["higher_is_better"] is True
    assert (
        stored["details"]["errors"]
        if "errors" in stored["details"]
        else stored["details"]["detect"]["errors"]
    )
    html = (out / "report.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:)", html) and "url(" not in html and "@import" not in html
    assert "a &lt;model&gt;" in html and "a <model>" not in html
    assert html.count("data:image/jpeg;base64,") >= 8
    assert "prefers-color-scheme: dark" in html


def test_equal_seeds_give_equal_reports_whatever_the_batch(boxes: Dataset) -> None:
    predictor = Knowing(boxes, ("detect",), found)
    first, second = (
        evaluate(predictor, boxes, ids_of(boxes), bootstrap=30, gallery=0, seed=3, batch=batch, workers=w)
        for batch, w in ((1, 1), (5, 3))
    )
    assert first.metrics == second.metrics


def test_the_cheap_path_gives_the_same_figures_and_asks_once_a_picture(boxes: Dataset) -> None:
    predictor = Knowing(boxes, ("detect",), found)
    values = score(predictor, boxes, ids_of(boxes))
    assert predictor.asked == 12
    report = evaluate(predictor, boxes, ids_of(boxes), bootstrap=0, gallery=0)
    assert values == {name: e.value for name, e in report.metrics.items()}
    assert all(e.low == e.value == e.high for e in report.metrics.values())
    assert set(values) <= set(MEASURES)


def test_no_records_no_truth_and_negative_counts_are_refused(boxes: Dataset) -> None:
    predictor = Knowing(boxes, ("detect",), found)
    with pytest.raises(DatasetError, match="no records to evaluate on"):
        evaluate(predictor, boxes, [])
    with pytest.raises(UsageError, match="start at 0"):
        evaluate(predictor, boxes, ids_of(boxes), bootstrap=-1)
    depth = Knowing(boxes, ("depth",), lambda r: {"depth": DepthMap(np.ones((72, 96)))})
    with pytest.raises(DatasetError, match="none of 12 samples holds truth for depth"):
        score(depth, boxes, ids_of(boxes))
    with pytest.raises(ModelError, match="share no name"):
        score(Knowing(boxes, ("detect",), found, classes=("x",)), boxes, ids_of(boxes))


def test_two_predictors_are_compared_in_pairs(boxes: Dataset) -> None:
    def perfect(r: Record) -> dict[str, Result]:
        return {"detect": Detections(r.boxes(), np.array([0.9]), r.labels(), NAMES)}

    a = scored(Knowing(boxes, ("detect",), perfect), boxes, ids_of(boxes))
    b = scored(Knowing(boxes, ("detect",), found), boxes, ids_of(boxes))
    assert compare(a, b, rounds=100)["detect.map50"].better == 1


def whole(r: Record) -> dict[str, Result]:
    return {"classify": ClassScores(np.array([0.8, 0.2]), NAMES)}


def mapped(r: Record) -> dict[str, Result]:
    classes = np.full((72, 96), 255, np.uint8)
    classes[10:40, 10:40] = r.annotations[0].label
    return {"segment": SemanticMap(classes, NAMES)}


def pointed(r: Record) -> dict[str, Result]:
    return {"locate": Points(np.array([[30.0, 30.0]]), np.array([0.9]), ("ball",))}


CASES: dict[str, tuple[Any, Any, str]] = {
    "classify": (lambda i: Annotation(i % 2), whole, "Calibration"),
    "segment": (lambda i: Annotation(i % 2, box_of(i), (ring_of(i),)), mapped, "Confusion"),
    "locate": (lambda i: Annotation(0, point=(30.0, 31.0 + i), visible=i != 3), pointed, "How near"),
}


@pytest.mark.parametrize("task", sorted(CASES))
def test_every_task_gets_its_figures_charts_and_pictures(task: Any, tmp_path: Path) -> None:
    mark, answer, chart = CASES[task]
    names = ("ball",) if task == "locate" else NAMES
    dataset = make_dataset(tmp_path, [record(i, mark(i)) for i in range(8)], classes=names)
    out = tmp_path / "out"
    report = evaluate(
        Knowing(dataset, (task,), answer), dataset, ids_of(dataset), out, bootstrap=20, gallery=2
    )
    assert all(name.startswith(f"{task}.") for name in report.metrics)
    headlines = [n for n, m in MEASURES.items() if m.headline and n.startswith(f"{task}.")]
    assert set(headlines) <= set(report.metrics)
    html = (out / "report.html").read_text()
    assert chart in html and html.count("data:image/jpeg") == 8
