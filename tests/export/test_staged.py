"""Export of two stages: one package that answers as the trained pair does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightline.core.errors import ParityFailed, UsageError
from sightline.core.manifest import Manifest
from sightline.core.predictor import Predictor
from sightline.core.problem import ExportSection, Problem
from sightline.core.results import Points
from sightline.core.specs import InputSpec, Signature
from sightline.data.dataset import Dataset
from sightline.evaluate.films import follow
from sightline.export import staged
from sightline.export.staged import export_stages, searched
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


class Scripted:
    """Knows where the dots are, and says so with little faith; it goes astray below some threshold."""

    def __init__(self, dots: Dataset, falls_under: float = 0.0, least: float = 0.5) -> None:
        self.dots, self.falls_under, self.least, self.index = dots, falls_under, least, -1
        spec = {"clip": COARSE}
        self.signature = Signature(("locate",), ("ball",), spec, {"locate": least})

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Scripted:
        return Scripted(self.dots, self.falls_under, thresholds["locate"])

    def open_stream(self) -> Scripted:
        return self

    def push(self, inputs: Mapping[str, Any]) -> dict[str, Points]:
        self.index += 1
        mark = self.dots.records[self.index].annotations[0]
        seen = mark.visible and mark.point is not None
        xy = mark.point if seen and self.least > self.falls_under else (-90.0, -90.0)
        score = np.float32(0.3 if seen else 0.1)
        return {"locate": Points(np.array([xy], np.float32), score[None], ("ball",), self.least)}


def scripted_search(dots: Dataset, falls_under: float) -> tuple[float, float]:
    """The threshold chosen, and the F1 of hits with it."""
    ids = [r.id for r in dots.records]
    told: Any = Scripted(dots, falls_under)
    chosen, tracks = searched(told, follow(told, dots, ids), dots, ids)
    return chosen.signature.thresholds["locate"], float(tracks.columns().values()["f1"][0])


def test_a_point_counts_as_in_sight_from_the_probability_that_finds_most(dots: Dataset) -> None:
    least, f1 = scripted_search(dots, falls_under=0.0)
    assert least == 0.3 and f1 == 1.0  # the nearest to a half that takes every dot


def test_a_threshold_that_leads_the_stream_astray_is_not_taken(dots: Dataset) -> None:
    least, _ = scripted_search(dots, falls_under=0.4)
    assert least == 0.5


def test_a_package_keeps_the_threshold_it_was_given_and_else_the_one_that_was_searched(
    package: tuple[Path, FakeRun, FakeRun], dots: Dataset, tmp_path: Path
) -> None:
    out, coarse, fine = package
    assert "locate" in Manifest.read(out).stages["fine"].signature.thresholds
    ids, asked = [r.id for r in dots.records], ExportSection(thresholds={"locate": 0.125})
    given = export_stages(coarse, fine, coarse.problem, dots, ids, tmp_path / "given", asked)
    assert Manifest.read(given).stages["fine"].signature.thresholds == {"locate": 0.125}
    assert load(given).signature.thresholds == {"locate": 0.125}
