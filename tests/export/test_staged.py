"""Export of two stages: one package that answers as the trained pair does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightline.core.errors import ParityFailed, UsageError
from sightline.core.manifest import Manifest
from sightline.core.predictor import Predictor
from sightline.core.problem import Problem
from sightline.core.specs import InputSpec
from sightline.data.dataset import Dataset
from sightline.evaluate.films import follow
from sightline.export import staged
from sightline.export.staged import export_stages
from sightline.models.base import Model
from sightline.models.catalogue import build
from sightline.models.predictor import torch_predictor
from sightline.runtime.coarse_to_fine import CoarseToFine
from sightline.runtime.loading import load
from train.dots import dot_dataset

OPTIONS: dict[str, Any] = {"backbone": "lcnet_035", "width": 8, "stride": 4}
COARSE = InputSpec((48, 32), frames=2)
FINE = InputSpec((32, 32), fit="native", frames=2)
PROBLEM = {
    "name": "dots",
    "why": "to see both stages travel",
    "task": "locate",
    "classes": ["ball"],
    "data": {"source": "films"},
    "stages": {"coarse": {"model": {"name": "locator"}}, "fine": {"model": {"name": "locator"}}},
    "pipeline": {"mode": "each"},
    "criteria": [{"metric": "locate.median_px", "at_most": 8}],
}


@dataclass
class FakeRun:
    """What export asks of a run, over a model in memory."""

    network: Model
    problem: Problem
    fingerprint: str = "f00"

    def model(self) -> Model:
        return self.network

    def predictor(self) -> Predictor:
        return torch_predictor(self.network)


def run_of(spec: InputSpec, seed: int) -> FakeRun:
    torch.manual_seed(seed)
    model = build("locator", tasks=("locate",), classes=("ball",), inputs={"clip": spec}, **OPTIONS)
    return FakeRun(model.eval(), Problem.parse(PROBLEM))


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dot_dataset(tmp_path_factory.mktemp("dots"), films=2, frames=8)


@pytest.fixture(scope="module")
def package(dots: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FakeRun, FakeRun]:
    coarse, fine = run_of(COARSE, 1), run_of(FINE, 2)
    out = tmp_path_factory.mktemp("package") / "dots"
    ids = [r.id for r in dots.records]
    export_stages(coarse, fine, coarse.problem, dots, ids, out, lineage={"films": "dots"})
    return out, coarse, fine


def test_a_package_holds_both_stages_how_they_work_together_and_what_was_measured(
    package: tuple[Path, FakeRun, FakeRun],
) -> None:
    out, *_ = package
    manifest = Manifest.read(out)
    assert list(manifest.stages) == ["coarse", "fine"]
    assert manifest.pipeline["kind"] == "coarse-to-fine" and manifest.pipeline["mode"] == "each"
    assert manifest.lineage["films"] == "dots" and manifest.lineage["coarse"] == "f00"
    assert "locate.within_8px" in manifest.quality and manifest.speed["bench.size_mb"] > 0
    card = (out / "card.md").read_text()
    assert "Stage coarse" in card and "Stage fine" in card and "coarse-to-fine" in card


def test_the_stages_of_a_package_answer_films_as_the_trained_pair_does(
    package: tuple[Path, FakeRun, FakeRun], dots: Dataset
) -> None:
    out, coarse, fine = package
    how = Manifest.read(out).pipeline
    deployed = load(out)
    assert isinstance(deployed, CoarseToFine)
    trained = CoarseToFine(coarse.predictor(), fine.predictor(), how)
    a, b = (follow(one, dots, [r.id for r in dots.records]) for one in (deployed, trained))
    assert np.allclose(a.answer, b.answer, atol=0.1) and np.allclose(a.score, b.score, atol=1e-3)


def test_an_unfaithful_stage_leaves_nothing(
    dots: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse, fine = run_of(COARSE, 1), run_of(FINE, 2)
    other = run_of(FINE, 9)
    with torch.no_grad():
        for value in other.network.get_submodule("heat").parameters():
            value.mul_(30)  # an untrained heatmap is flat, and its mean the middle whatever the weights
    monkeypatch.setattr(fine, "predictor", other.predictor)
    with pytest.raises(ParityFailed, match="stages together"):
        export_stages(coarse, fine, coarse.problem, dots, [r.id for r in dots.records], tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_place_that_is_taken_is_refused_before_any_work(
    dots: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged, "_part", lambda *_: pytest.fail("worked"))
    (tmp_path / "file").write_text("")
    coarse, fine = run_of(COARSE, 1), run_of(FINE, 2)
    with pytest.raises(UsageError, match="already exists"):
        export_stages(coarse, fine, coarse.problem, dots, [r.id for r in dots.records], tmp_path)
