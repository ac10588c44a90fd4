from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sightline.core.records import Record
from sightline.train import rehearse, train
from sightline.train.rehearsal import Pace
from train.toys import HalfSplit, MemoryDataset, TinyClassifier, problem

pytestmark = pytest.mark.usefixtures("tiny")


def test_ten_pictures_that_can_be_told_apart_are_learned_and_the_run_is_estimated() -> None:
    dataset = MemoryDataset()
    found = rehearse(problem(epochs=7, lr=0.05), dataset, HalfSplit(dataset))
    assert found.learns and found.last < 0.5 * found.first
    assert found.epochs == 7 and found.seconds > 0 and found.disk_bytes > 0 and found.memory_bytes > 0
    assert "data and loss make sense" in str(found) and "classes seen: [0, 1]" in str(found)


def test_labels_that_say_nothing_about_the_pictures_are_noticed() -> None:
    class Blank(MemoryDataset):
        def read(self, record: Record) -> Any:
            return super().read(record) * 0

    dataset = Blank()
    found = rehearse(problem(epochs=1), dataset, HalfSplit(dataset))
    assert not found.learns and "DO NOT MAKE SENSE" in str(found)


def test_a_loss_that_is_not_a_number_is_a_finding_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(TinyClassifier):
        def losses(self, batch):  # type: ignore[no-untyped-def]
            return {"classify": super().losses(batch)["classify"] * float("nan")}

    monkeypatch.setattr("sightline.train.rehearsal.measure", lambda *_: Pace(1.0, 1.0))
    monkeypatch.setattr("sightline.train.run.build", lambda name, **_: Broken())
    dataset = MemoryDataset()
    found = rehearse(problem(epochs=1), dataset, HalfSplit(dataset))
    assert not found.learns and "not a number" in str(found)


def test_a_budget_of_minutes_fixes_the_epochs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.train import rehearsal

    monkeypatch.setattr(rehearsal, "measure", lambda *_: rehearsal.Pace(step_s=0.5, validate_s=1.0))
    dataset = MemoryDataset()
    asked = problem(epochs=50, minutes=0.2)
    steps = 5  # 18 elements in batches of 4
    run = train(asked, dataset, HalfSplit(dataset), tmp_path / "run", progress=False)
    assert run.config["epochs"] == int(0.2 * 60 * 0.95 / (steps * 0.5 + 1.0)) == len(run.rows)
    monkeypatch.setattr(rehearsal, "measure", lambda *_: pytest.fail("measured again"))
    train(asked, dataset, HalfSplit(dataset), tmp_path / "run", progress=False)


def test_class_weights_reach_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    class Watched(TinyClassifier):
        def losses(self, batch):  # type: ignore[no-untyped-def]
            seen.append(self.class_weights.clone())
            return super().losses(batch)

    monkeypatch.setattr("sightline.train.run.build", lambda name, **_: Watched())
    rare = [r for r in MemoryDataset(60).records if int(r.id) % 8 in (0, 1, 2, 4)]
    dataset = MemoryDataset(records=rare)
    train(
        problem(epochs=1, class_weights="effective-number"),
        dataset,
        HalfSplit(dataset),
        tmp_path / "run",
        progress=False,
    )
    assert seen[0][1] > 1 > seen[0][0]
