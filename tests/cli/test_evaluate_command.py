from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.made import make_dataset
from evaluate.knowing import Knowing
from evaluate.test_evaluation import found, record
from sightline.cli import evaluate_command
from sightline.cli.main import main
from sightline.core.problem import SplitSection
from sightline.core.records import Annotation, Record
from sightline.core.results import Detections, Result
from sightline.data.split import make_split


def run(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_evaluate_prints_headlines_with_intervals_and_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    marks = [Annotation(i % 2, (5.0 + i, 8.0, 35.0 + i, 44.0)) for i in range(20)]
    dataset = make_dataset(tmp_path, [record(i, mark) for i, mark in enumerate(marks)])
    make_split(dataset, SplitSection(train=0.4, val=0.2, test=0.4), name="mine", near=False).write()
    monkeypatch.setattr(evaluate_command, "open_predictor", lambda path: Knowing(dataset, ("detect",), found))
    out = tmp_path / "report"
    words = ("--split", "mine", "--out", out, "--bootstrap", 20, "--gallery", 1)
    assert run("evaluate", tmp_path / "model", dataset.root, *words) == 0
    said = capsys.readouterr().out
    assert "detect.map50" in said and "4 groups are too few" in said and "leakage: 0 of" in said
    assert (out / "report.html").is_file() and (out / "report.json").is_file()


def test_what_is_no_model_is_an_error(tmp_path: Path, capsys: Any) -> None:
    dataset = make_dataset(tmp_path, [record(0, Annotation(0, (1.0, 1.0, 9.0, 9.0)))])
    assert run("evaluate", tmp_path / "nowhere", dataset.root, "--part", "all") == 2
    assert "is no folder of a run or a package" in capsys.readouterr().err


def test_two_models_are_compared_on_the_same_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    marks = [Annotation(i % 2, (5.0 + i, 8.0, 35.0 + i, 44.0)) for i in range(12)]
    dataset = make_dataset(tmp_path, [record(i, mark) for i, mark in enumerate(marks)])

    def perfect(r: Record) -> dict[str, Result]:
        return {"detect": Detections(r.boxes(), np.array([0.9]), r.labels(), dataset.classes)}

    answers = {"good": perfect, "poor": found}
    monkeypatch.setattr(
        evaluate_command, "open_predictor", lambda path: Knowing(dataset, ("detect",), answers[path.name])
    )
    words = ("--part", "all", "--bootstrap", 50, "--against", tmp_path / "poor")
    assert run("evaluate", tmp_path / "good", dataset.root, *words) == 0
    said = capsys.readouterr().out
    assert "good minus poor, paired" in said and "+0.5" in said and "│ good" in said
