"""`run` with a problem of two stages: only what changed is trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sightline.core.manifest import Manifest
from sightline.evaluate.report import Report
from sightline.lifecycle.run import Places, Tell, run
from train.dots import dot_films

OPTIONS: dict[str, Any] = {"backbone": "lcnet_035", "width": 8, "stride": 4}
TRAIN: dict[str, Any] = {"epochs": 1, "batch": 4, "workers": 0, "cache_mb": 64}


def write(folder: Path, fine_lr: float) -> Path:
    coarse = {"name": "locator", "input": {"size": [48, 32], "frames": 2}, "options": OPTIONS}
    fine = {"name": "locator", "input": {"size": [32, 32], "fit": "native", "frames": 2}, "options": OPTIONS}
    value = {
        "name": "dots",
        "why": "to see both stages travel",
        "task": "locate",
        "classes": ["ball"],
        "data": {"source": "films", "accept": ["near-copies-across-split"]},
        "split": {"by": "group", "train": 0.5, "val": 0.25, "test": 0.25},
        "stages": {
            "coarse": {"model": coarse, "train": TRAIN},
            "fine": {"model": fine, "train": {**TRAIN, "lr": fine_lr}},
        },
        "pipeline": {"mode": "each"},
        "criteria": [{"metric": "locate.hit_f1", "at_least": 0.0}],
    }
    path = folder / "problem.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


@pytest.mark.slow
def test_a_change_of_the_fine_stage_leaves_the_coarse_one_as_it_is(tmp_path: Path) -> None:
    dot_films(tmp_path / "films", films=4, frames=8)
    kept: dict[str, bool] = {}

    def tell(name: str, was_kept: bool, seconds: float) -> None:
        kept[name] = was_kept

    for rate in (1e-3, 1e-3, 2e-3):
        kept.clear()
        run(write(tmp_path, rate), tmp_path / "work", tell=Tell(stage=tell))
        if rate == 1e-3 and all(kept.values()):
            assert {"coarse", "fine", "export", "measure"} <= kept.keys()
    assert kept["split"] and kept["coarse"] and not kept["fine"] and not kept["export"]
    places = Places(tmp_path / "work")
    assert list(Manifest.read(places.package).stages) == ["coarse", "fine"]
    report = Report.read(places.report)
    assert "locate.hit_f1" in report.metrics
    assert report.context["samples"] == 8
