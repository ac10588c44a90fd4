"""Both stages of a two-stage locator on little films of a dot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightline.core.errors import DatasetError, ModelError, ProblemError
from sightline.core.problem import Problem
from sightline.data.dataset import Dataset
from sightline.data.split import Split
from sightline.train import stages
from sightline.train.checkpoint import read_tensors
from sightline.train.mining import truth_of
from sightline.train.stages import StagedRun, train_stages
from train.dots import dot_dataset

TINY: dict[str, Any] = {"backbone": "lcnet_035", "width": 8, "stride": 4}
TRAIN: dict[str, Any] = {
    "epochs": 2,
    "batch": 4,
    "share": 0.5,
    "workers": 0,
    "cache_mb": 64,
    "validate_every": 2,
    "augment": {"flip": 0.5, "translate": 0.1, "noise": 4},
}


def problem(**fine: Any) -> Problem:
    coarse = {"name": "locator", "input": {"size": [48, 32], "frames": 2}, "options": TINY}
    closer = {"name": "locator", "input": {"size": [32, 32], "fit": "native", "frames": 2}, "options": TINY}
    value = {
        "name": "dots",
        "why": "to see both stages learn",
        "task": "locate",
        "classes": ["ball"],
        "data": {"source": "films"},
        "stages": {
            "coarse": {"model": coarse, "train": TRAIN},
            "fine": {"model": closer, "train": TRAIN, "mine": {"hard": 0.5, "every": 2}, **fine},
        },
        "pipeline": {"mode": "each"},
        "criteria": [{"metric": "locate.median_px", "at_most": 8}],
    }
    return Problem.parse(value)


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dot_dataset(tmp_path_factory.mktemp("dots"), films=4, frames=10)


def by_film(dataset: Dataset) -> Split:
    """The last film judges and tests."""
    names = {r.media for r in dataset.records}
    last = max(names)
    parts = {r.id: "val" if r.media == last else "train" for r in dataset.records}
    return Split("films", parts, dataset.fingerprint)


@pytest.fixture(scope="module")
def trained(dots: Dataset, tmp_path_factory: pytest.TempPathFactory) -> StagedRun:
    folder = tmp_path_factory.mktemp("staged") / "run"
    return train_stages(problem(), dots, by_film(dots), folder, progress=False)


def test_the_fine_stage_is_trained_on_crops_of_the_coarse_ones_answers(
    trained: StagedRun, dots: Dataset
) -> None:
    assert trained.coarse.done and trained.fine.done
    assert trained.fine.config["key"]["mined"] and "mined" not in trained.coarse.config["key"]
    assert trained.fine.model().signature.inputs["clip"].fit == "native"
    mined = stages.mine(
        trained.coarse,
        problem().stage("fine"),
        problem().mine,
        dots,
        by_film(dots),
        trained.folder,
        torch.device("cpu"),
    )
    assert mined.fingerprint == trained.fine.config["key"]["mined"]
    assert {c.sample.target.media for c in mined.train}.isdisjoint(s.target.media for s in mined.val)
    seen = [c for c in mined.train if truth_of(c.sample.target) is not None]
    assert len({c.sample.id for c in seen}) == 24


def test_a_finished_pair_is_given_back_as_it_is(
    trained: StagedRun, dots: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "_glances", lambda *_: pytest.fail("looked again"))
    again = train_stages(problem(), dots, by_film(dots), trained.folder, progress=False)
    assert again.fingerprint == trained.fingerprint


def test_a_fine_training_cut_short_between_minings_goes_on_to_the_same_weights(
    trained: StagedRun, dots: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    def killed(*_: object) -> dict[str, float]:
        raise Killed

    asked = problem(train={**TRAIN, "epochs": 3, "validate_every": 1})
    whole = train_stages(asked, dots, by_film(dots), tmp_path / "whole", progress=False)
    folder = tmp_path / "cut"
    with monkeypatch.context() as patch:
        from sightline.train import loop

        real = loop.judged
        patch.setattr(loop, "judged", lambda e: killed() if e.state.epoch == 1 and _fine(e) else real(e))
        with pytest.raises(Killed):
            train_stages(asked, dots, by_film(dots), folder, progress=False)
    cut = train_stages(asked, dots, by_film(dots), folder, progress=False)
    ours, theirs = (read_tensors(r.fine.folder / "best.safetensors") for r in (cut, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def _fine(engine: Any) -> bool:
    return bool(engine.job.folder.name == "fine")


def test_random_crops_are_another_training(trained: StagedRun, dots: Dataset) -> None:
    asked = problem(mine={"crops": "random"})
    mined = stages.mine(
        trained.coarse,
        asked.stage("fine"),
        asked.mine,
        dots,
        by_film(dots),
        trained.folder,
        torch.device("cpu"),
    )
    assert mined.fingerprint != trained.fine.config["key"]["mined"]
    away = [
        np.subtract(c.sample.centre or (0, 0), truth_of(c.sample.target) or (0, 0))
        for c in mined.train
        if c.kind == "found"
    ]
    assert np.abs(away).max() <= 8


def test_a_fine_stage_that_reads_whole_frames_is_refused(trained: StagedRun, dots: Dataset) -> None:
    asked = problem().stage("fine")
    spec = asked.model.model_copy(update={"input": problem().stage("coarse").model.input})
    with pytest.raises(ModelError, match="native"):
        stages.mine(
            trained.coarse,
            asked.model_copy(update={"model": spec}),
            problem().mine,
            dots,
            by_film(dots),
            trained.folder,
            torch.device("cpu"),
        )


def test_a_problem_of_one_stage_has_no_stages() -> None:
    plain = problem().stage("coarse")
    assert plain.stages is None and plain.pipeline is None
    with pytest.raises(ProblemError, match="no stages"):
        plain.stage("fine")


def test_frames_that_nobody_looked_at_are_not_learned_from(dots: Dataset) -> None:
    from sightline.models.catalogue import build
    from sightline.train.material import part_samples

    model = build("locator", tasks=("locate",), classes=("ball",), inputs=None, **TINY)
    bare = {r.id for r in dots.records[:3]}

    class Bare:
        root, classes = dots.root, dots.classes
        records = [replace(r, annotations=()) if r.id in bare else r for r in dots.records]

        def record(self, name: str) -> Any:
            return next(r for r in self.records if r.id == name)

    said: list[str] = []
    found = part_samples(Bare(), by_film(dots), "train", model, said.append)
    assert bare.isdisjoint(s.id for s in found) and "3 of 30" in said[0]


def test_the_folder_of_both_runs_says_what_was_asked(trained: StagedRun) -> None:
    assert StagedRun.open(trained.folder).problem == problem()
    with pytest.raises(DatasetError, match="no run of two stages"):
        StagedRun.open(trained.folder / "coarse")
