"""A problem of two stages inside `run`: each trained when what it reads has changed, both packaged as one."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.core.problem import Problem
from sightline.lifecycle.state import State
from sightline.runtime.coarse_to_fine import CoarseToFine

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset
    from sightline.data.split import Split

COARSE, FINE = "coarse", "fine"


def train_stages(
    problem: Problem,
    weights: dict[str, str],
    dataset: Dataset,
    split: Split,
    folder: Path,
    state: State,
    key: str,
    progress: bool,
) -> str:
    """Train what is not trained yet: the coarse stage, and the fine one, which stands on it; gives its key.

    Args:
        problem: with stages.
        weights: of each stage, as a listing of what they start from.
        dataset: labelled films.
        split: of them.
        folder: of both runs.
        state: of the workspace.
        key: of the stage before.
        progress: tell the terminal of each epoch.
    """
    stages = problem.stages
    assert stages is not None
    parts = {COARSE: stages.coarse, FINE: stages.fine}
    for name, part in parts.items():
        reads = [key, problem.tasks, part.model_dump(), weights[name]]
        make = partial(_train, problem, dataset, split, folder, name, progress)
        key = state.step(name, reads, folder / name, make)
    return key


def _train(problem: Problem, dataset: Dataset, split: Split, folder: Path, name: str, progress: bool) -> None:
    """Train one stage, or go on with a training that was cut short; one of another config is thrown away."""
    from sightline.train.run import Run, config_key
    from sightline.train.stages import begin_stages, mine
    from sightline.train.training import chosen_device, train

    begin_stages(folder, problem)
    if name == COARSE:
        asked = problem.stage("coarse")
        away_with_another(folder / COARSE, config_key(asked, dataset, split))
        train(asked, dataset, split, folder / COARSE, progress=progress)
        return
    asked, coarse = problem.stage("fine"), Run.open(folder / COARSE)
    mined = mine(coarse, asked, problem.mine, dataset, split, folder, chosen_device(None))
    away_with_another(folder / FINE, config_key(asked, dataset, split, mined.fingerprint))
    train(asked, dataset, split, folder / FINE, progress=progress, mined=mined)


def away_with_another(folder: Path, key: dict[str, Any]) -> None:
    """Remove a run of another config than `key`, if one is there."""
    from sightline.train.run import CONFIG, Run

    if (folder / CONFIG).exists() and Run.open(folder).config["key"] != key:
        shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}.old")))


def both_stages(folder: Path, problem: Problem | None = None) -> CoarseToFine:
    """The trained stages as one predictor, before export; joined as `problem` says, else as they were asked.

    Raises:
        DatasetError: the folder holds no run of two stages.
    """
    from sightline.export.staged import pipeline_of
    from sightline.train.stages import StagedRun

    run = StagedRun.open(folder)
    return CoarseToFine(run.coarse.predictor(), run.fine.predictor(), pipeline_of(problem or run.problem))


def export_both(folder: Path, problem: Problem, dataset: Dataset, split: Split, out: Path) -> None:
    """Both stages as one package, measured on the validation part's films."""
    from sightline.export.staged import export_stages
    from sightline.train.stages import StagedRun

    run = StagedRun.open(folder)
    export_stages(run.coarse, run.fine, problem, dataset, split.part("val"), out, replace_old=True)
