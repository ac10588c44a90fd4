"""Export: a faithful model becomes a whole package, an unfaithful one leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from export.tiny_models import CLASSES, TinyModel
from sightline.core.errors import DatasetError, ParityFailed, UsageError
from sightline.core.manifest import Manifest
from sightline.core.predictor import Predictor
from sightline.core.problem import ExportSection, Problem
from sightline.core.results import ClassScores
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.export import package
from sightline.export.package import export
from sightline.models.base import Model
from sightline.models.predictor import torch_predictor
from sightline.runtime.loading import load, read_manifest

PROBLEM = {
    "name": "fruit",
    "why": "Sort fruit, so that nobody has to.",
    "task": "classify",
    "data": {"source": "x"},
    "model": {"name": "tiny"},
    "criteria": [{"metric": "classify.accuracy", "at_least": 0.5}],
}


@dataclass
class FakeRun:
    """What export asks of a run, over a model in memory."""

    network: Model
    problem: Problem
    answer: Callable[[Model], Predictor] = torch_predictor

    def model(self) -> Model:
        return self.network

    def predictor(self) -> Predictor:
        return self.answer(self.network)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("fruit")
    random = np.random.default_rng(0)
    for index in range(18):
        # Classes of unequal sizes: always naming another one then scores otherwise.
        name = CLASSES[0 if index < 3 else 1 if index < 9 else 2]
        picture = random.integers(0, 256, (40 + index, 90 - index, 3)).astype(np.uint8)
        (root / "src" / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "src" / name / f"{index:02d}.png"), picture)
    return import_dataset(root / "src", root / "set")[0]


@pytest.fixture
def run() -> FakeRun:
    return FakeRun(TinyModel().eval(), Problem.parse(dict(PROBLEM)))


def ids(dataset: Dataset) -> list[str]:
    return [record.id for record in dataset.records]


def test_a_faithful_model_becomes_a_whole_package(run: FakeRun, dataset: Dataset, tmp_path: Path) -> None:
    out = export(run, dataset, ids(dataset), tmp_path / "package", version="7")
    assert {p.name for p in out.iterdir()} == {"manifest.json", "model.onnx", "parity.json", "card.md"}
    manifest = Manifest.read(out)
    assert (manifest.name, manifest.version) == ("fruit", "7")
    accuracy = manifest.quality["classify.accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert manifest.lineage["dataset"] == dataset.fingerprint
    assert manifest.reference["pictures"] == 18
    assert manifest.speed["bench.network_ms"] > 0
    assert all(check["passes"] for check in json.loads((out / "parity.json").read_text())["checks"])
    assert read_manifest(out / "model.onnx").quality == manifest.quality
    picture = {"image": dataset.read(dataset.records[0])}
    a, b = (p.predict([picture])[0]["classify"] for p in (load(out), run.predictor()))
    assert isinstance(a, ClassScores) and isinstance(b, ClassScores)
    assert np.allclose(a.scores, b.scores, atol=1e-5)


def test_the_card_tells_a_person_what_matters(run: FakeRun, dataset: Dataset, tmp_path: Path) -> None:
    out = export(run, dataset, ids(dataset), tmp_path / "package")
    text = (out / "card.md").read_text()
    for words in ("# fruit", "Sort fruit", "classify.accuracy", "18 held-out", "Parity", "Limits", "apple"):
        assert words in text


def test_a_package_that_scores_otherwise_is_refused_and_leaves_nothing(
    run: FakeRun, dataset: Dataset, tmp_path: Path
) -> None:
    def turned(model: Model) -> Predictor:
        inner = torch_predictor(model)

        def infer(placed: dict[str, Any]) -> dict[str, Any]:
            out = dict(inner.infer(placed))
            out["classify.scores"] = np.roll(out["classify.scores"], 1, axis=1)
            return out

        return Predictor(inner.signature, infer)

    run.answer = turned
    with pytest.raises(ParityFailed, match="score on 18 held-out records"):
        export(run, dataset, ids(dataset), tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


def test_a_written_file_that_answers_otherwise_is_refused(
    run: FakeRun, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = torch_predictor(TinyModel(seed=9).eval())
    monkeypatch.setattr(package, "load", lambda _: other)
    with pytest.raises(ParityFailed, match="written file answers unlike"):
        export(run, dataset, ids(dataset), tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_refused_before_any_work(
    run: FakeRun, dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="already exists"):
        export(run, dataset, ids(dataset), tmp_path / "package")
    assert (tmp_path / "package" / "mine.txt").read_text() == "keep"
    with pytest.raises(UsageError, match=r"holds no manifest\.json"):
        export(run, dataset, ids(dataset), tmp_path / "package", replace_old=True)
    assert (tmp_path / "package" / "mine.txt").read_text() == "keep"
    (tmp_path / "package" / "manifest.json").write_text("{}")  # a package, if an old one
    export(run, dataset, ids(dataset), tmp_path / "package", replace_old=True)
    assert not (tmp_path / "package" / "mine.txt").exists()


def test_nothing_to_measure_on_is_refused(run: FakeRun, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no held-out record"):
        export(run, dataset, [], tmp_path / "package")


def test_openvino_may_be_the_runtime_of_a_package(run: FakeRun, dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    out = export(run, dataset, ids(dataset), tmp_path / "package", ExportSection(runtime="openvino"))
    assert Manifest.read(out).stages["model"].runtime == "openvino"
