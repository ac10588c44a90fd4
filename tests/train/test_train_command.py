from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sightline.cli.main import main
from sightline.core.media import write_picture
from sightline.core.problem import SplitSection
from sightline.data.importing import import_dataset
from sightline.data.split import make_split
from sightline.train import Rehearsal, Run

PROBLEM = """
name: brightness
why: to test the command
task: classify
data: {source: source}
model: {name: test_resnet, input: {size: [32, 32]}}
train: {epochs: 2, batch: 8, workers: 1, lr: 0.01}
criteria: [{metric: classify.accuracy, at_least: 0.5}]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A problem, and a dataset of dark and of light pictures with a split."""
    folder = tmp_path_factory.mktemp("train")
    random = np.random.default_rng(0)
    for number in range(40):
        name = ("dark", "light")[number % 2]
        (folder / "source" / name).mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 100, (40, 40, 3)) + 120 * (number % 2)
        write_picture(folder / "source" / name / f"{number}.png", pixels.astype(np.uint8))
    dataset, _ = import_dataset(folder / "source", folder / "dataset")
    make_split(dataset, SplitSection(by="frame"), name="even").write()
    (folder / "problem.yaml").write_text(PROBLEM)
    return folder


def command(place: Path, *more: str) -> None:
    main(["train", str(place / "problem.yaml"), str(place / "dataset"), "--split", "even", *more])


def test_the_command_trains_and_then_refuses_the_folder_unless_told_to_resume(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(place / "run")
    with pytest.raises(SystemExit) as ended:
        command(place, "--out", out)
    assert not ended.value.code
    told = capsys.readouterr().out
    assert "epoch 2/2" in told and "classify.accuracy" in told and f"figures: {out}" in told
    assert Run.open(out).best["classify.accuracy"] >= 0
    with pytest.raises(SystemExit) as ended:
        command(place, "--out", out)
    assert ended.value.code == 2 and "pass --resume" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        command(place, "--out", out, "--resume")
    assert not ended.value.code


def test_a_dry_run_tells_and_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command(place, "--dry-run", "--out", str(place / "dry"))
    assert not ended.value.code
    told = capsys.readouterr().out
    assert "ten pictures: loss" in told and "whole run: 2 epochs in about" in told
    assert not (place / "dry").exists()


def test_a_split_that_is_not_there_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", str(place / "problem.yaml"), str(place / "dataset"), "--split", "none"])
    assert ended.value.code == 2 and "none" in capsys.readouterr().err


def test_the_run_holds_what_determined_it(place: Path) -> None:
    config = json.loads((place / "run" / "run.json").read_text())
    assert config["key"]["dataset"] == config["dataset"]["fingerprint"]
    assert config["classes"] == ["dark", "light"] and config["versions"]["torch"]


def test_a_dry_run_that_learns_nothing_exits_1(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Rehearsal(False, (), 1.0, 0.9, 30, 2, 1.0, 1, 1, 0)
    monkeypatch.setattr("sightline.train.rehearse", lambda *_, **__: found)
    with pytest.raises(SystemExit) as ended:  # and the only split there is needs no name
        main(["train", str(place / "problem.yaml"), str(place / "dataset"), "--dry-run"])
    assert ended.value.code == 1 and "DO NOT MAKE SENSE" in capsys.readouterr().out
