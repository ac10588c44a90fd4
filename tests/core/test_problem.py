"""The problem file: what is taken, and that what is not is told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sightline.core.errors import ProblemError
from sightline.core.problem import Problem

GOOD = """\
name: cells
why: to count them
task: detect
data: {source: labels}
model: {name: yolo-n}
criteria: [{metric: detect.map50, at_least: 0.5}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "problem.yaml"


def test_a_problem_is_read_from_a_path_or_its_name(file: Path) -> None:
    file.write_text(GOOD)
    assert Problem.load(str(file)) == Problem.load(file)
    assert Problem.load(file).tasks == ("detect",)


def test_a_byte_order_mark_is_no_fault(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert Problem.load(file).name == "cells"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "trian: {epochs: 3}\n", r"trian: unknown key; did you mean 'train'"),
        (GOOD + "train: {epoch: 3}\n", r"train.epoch: unknown key; did you mean 'epochs'"),
        (GOOD + "train: {epochs: many}\n", r"train.epochs: 'many'"),
        (GOOD + "split: {train: 0.9}\n", r"train \+ val \+ test is 1.2, it must be 1"),
        (GOOD.replace("why: to count them\n", ""), r"why: is required"),
        (GOOD + "classes: [1\n", r"is not YAML.*line 8"),
        (GOOD.replace("why: to count them", "why: 2026-02-30"), r"day is out of range.*put it in quotes"),
        (GOOD + "target: !!int abc\n", r"put it in quotes"),
        (GOOD + "target: !!timestamp abc\n", r"put it in quotes"),
        (GOOD + f"classes: {'[' * 5000}\n", r"is nested too deeply"),
        (GOOD.replace("{name: yolo-n}", "&m {name: yolo-n, options: {own: *m}}"), r"cannot be taken"),
        (GOOD.replace("to count them", '"\\ud800"'), r"cannot be taken"),
        (GOOD.replace("0.5", ".nan"), r"criteria.0.at_least: nan: Input should be a finite number"),
        (GOOD.replace("0.5", ".inf"), r"criteria.0.at_least: inf: Input should be a finite number"),
        (GOOD + "train: {lr: .inf}\n", r"train.lr: inf: Input should be a finite number"),
        ("a list\n", r"must be a mapping"),
        ("", r"must be a mapping"),
        ("\0", r"is not YAML"),
    ],
)
def test_a_fault_is_named_with_its_place(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ProblemError, match=rf"(?s)problem\.yaml: .*{said}"):
        Problem.load(file)


def test_a_file_that_is_no_text_or_absent_is_told(file: Path) -> None:
    with pytest.raises(ProblemError, match="cannot be read"):
        Problem.load(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProblemError, match="cannot be read"):
        Problem.load(file)


STAGE = {"model": {"name": "locator", "input": {"size": [64, 64], "frames": 3}}}


def staged(**changes: Any) -> dict[str, Any]:
    return {
        "name": "shuttle",
        "why": "to see the trail",
        "data": {"source": "films"},
        "task": "locate",
        "classes": ["ball"],
        "stages": {"coarse": STAGE, "fine": {**STAGE, "mine": {"hard": 0.4}}},
        "criteria": [{"metric": "locate.median_px", "at_most": 3}],
        **changes,
    }


def test_of_two_stages_the_coarse_one_stands_where_a_model_would() -> None:
    found = Problem.parse(staged(pipeline={"mode": "track", "settings": {"gate": 2.0}}))
    assert found.model.name == "locator" and found.mine.hard == 0.4
    assert Problem.parse(found.model_dump(mode="json")) == found


def test_a_model_beside_other_stages_is_refused() -> None:
    with pytest.raises(ProblemError, match="stands in each of the stages"):
        Problem.parse(staged(model={"name": "yolo-n"}))


def test_a_pipeline_without_stages_and_stages_of_another_task_are_refused() -> None:
    plain = staged(pipeline={})
    del plain["stages"]
    with pytest.raises(ProblemError, match="needs stages"):
        Problem.parse({**plain, "model": {"name": "locator"}})
    with pytest.raises(ProblemError, match="locate alone"):
        Problem.parse(staged(task="detect"))
