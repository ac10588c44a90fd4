"""Training a coarse-to-fine locator: the coarse stage, then crops mined with it, then the fine stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from sightline.core.errors import DatasetError, ModelError
from sightline.core.files import fingerprint, write_json, written_whole
from sightline.core.problem import MineSection, Problem
from sightline.core.records import Sample
from sightline.core.specs import InputSpec
from sightline.data.samples import samples
from sightline.models.base import Model
from sightline.train.mining import Glance, Mined, crops_of, glances
from sightline.train.placed import PlacedStore
from sightline.train.run import Run, build_model
from sightline.train.training import chosen_device, train

COARSE, FINE = "coarse", "fine"
STAGES, GLANCES = "stages.json", "glances.npz"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StagedRun:
    """Both stages of a two-stage locator, trained.

    Attributes:
        folder: holds `coarse/`, `fine/` and what the coarse stage said of the training frames.
        problem: what was asked for, with its stages.
        coarse: the run of the first stage.
        fine: the run of the second.
    """

    folder: Path
    problem: Problem
    coarse: Run
    fine: Run

    @classmethod
    def open(cls, folder: str | Path) -> StagedRun:
        """Open both runs.

        Raises:
            DatasetError: the folder holds no run of two stages, or one of them is absent.
        """
        root = Path(folder).absolute()
        path = root / STAGES
        try:
            problem = Problem.parse(json.loads(path.read_text(encoding="utf-8"))["problem"], where=path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"is no run of two stages ({error!r})", where=path) from error
        return cls(root, problem, Run.open(root / COARSE), Run.open(root / FINE))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over what determines both stages."""
        return fingerprint([self.coarse.fingerprint, self.fine.fingerprint])


def train_stages(
    problem: Problem,
    dataset: Any,
    split: Any,
    out: str | Path,
    *,
    progress: bool = True,
    device: str | torch.device | None = None,
    say: Say = print,
) -> StagedRun:
    """Train both stages of a problem; what is done already in the folder is kept, as `train` does.

    Args:
        problem: with `stages`.
        dataset: a `data.dataset.Dataset`.
        split: a `data.split.Split` of it.
        out: folder for `coarse/`, `fine/` and the glances.
        progress: tell the terminal of each epoch.
        device: where to train; the first CUDA device where there is one, else the CPU.
        say: hears what was mined.

    Raises:
        ProblemError: the problem has no stages.
        SightlineError: as `train`.
    """
    folder, where = Path(out), chosen_device(device)
    begin_stages(folder, problem)
    coarse = train(problem.stage("coarse"), dataset, split, folder / COARSE, progress=progress, device=where)
    asked = problem.stage("fine")
    mined = mine(coarse, asked, problem.mine, dataset, split, folder, where)
    if progress:
        say(f"mined crops: {', '.join(f'{n} {kind}' for kind, n in mined.counts().items() if n)}")
    fine = train(asked, dataset, split, folder / FINE, progress=progress, device=where, mined=mined)
    return StagedRun(folder, problem, coarse, fine)


def begin_stages(folder: Path, problem: Problem) -> None:
    """Make the folder of both runs, with what was asked for."""
    problem.stage("fine")  # refuses a problem without stages
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STAGES, {"problem": problem.model_dump(mode="json")})


def mine(
    coarse: Run,
    fine: Problem,
    section: MineSection,
    dataset: Any,
    split: Any,
    folder: Path,
    device: torch.device,
) -> Mined:
    """The crops that the fine stage learns from and is judged by, from what the coarse stage says.

    Raises:
        ModelError: the fine stage reads no picture at its own scale, or there are several classes.
    """
    model = build_model(fine, tuple(dataset.classes))
    spec = next(iter(model.signature.inputs.values()))
    if spec.fit != "native" or len(model.signature.classes) != 1:
        raise ModelError(
            f"reads its picture by fit {spec.fit!r}, for {len(model.signature.classes)} classes",
            where="stages.fine",
            remedy="a fine stage reads `fit: native`, for one class",
        )
    parts = {
        name: list(samples(dataset, split.part(name), model.signature.inputs))[:: section.stride]
        for name in ("train", "val")
    }
    seen = looked(coarse, dataset, parts, spec, folder, device)
    seed = fine.train.seed
    crops = crops_of(parts["train"], seen["train"], spec, section, seed)
    judged = [replace(s, centre=glance.xy) for s, glance in zip(parts["val"], seen["val"], strict=True)]
    return Mined(tuple(crops), tuple(judged), section)


def looked(
    coarse: Run,
    dataset: Any,
    parts: dict[str, list[Sample]],
    spec: InputSpec,
    folder: Path,
    device: torch.device,
) -> dict[str, list[Glance]]:
    """What the coarse stage says of the samples of each part, kept beside the runs."""
    ids = {name: [sample.id for sample in part] for name, part in parts.items()}
    key, path = fingerprint([coarse.fingerprint, ids, spec.size_wh]), folder / GLANCES
    kept = _read(path, key, parts)
    if kept is not None:
        return kept
    model = coarse.model()
    found = {
        name: _glances(coarse, model, dataset, ids[name], min(spec.size_wh), folder, device) for name in parts
    }
    rows = {
        name: np.array([(*g.xy, g.visible, *(g.second_xy or (np.nan, np.nan))) for g in seen])
        for name, seen in found.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part, part.open("wb") as file:
        np.savez(file, key=np.array(key), train=rows["train"], val=rows["val"])
    return found


def _glances(
    coarse: Run, model: Model, dataset: Any, ids: Sequence[str], side: int, folder: Path, device: torch.device
) -> list[Glance]:
    inputs, section = model.signature.inputs, coarse.problem.train
    views = list(samples(dataset, ids, inputs))
    kind: Literal["memory", "disk"] = "memory" if section.cache == "memory" else "disk"
    store = PlacedStore(dataset, [(views, None)], inputs, kind, section.cache_mb, folder)
    store.fill()
    return glances(model, store, views, side / 2, device)


def _read(path: Path, key: str, parts: dict[str, list[Sample]]) -> dict[str, list[Glance]] | None:
    """Glances from the file, where it is whole and of these samples and this coarse stage."""
    try:
        with np.load(path, allow_pickle=False) as found:
            if str(found["key"]) != key:
                return None
            rows = {name: found[name] for name in parts}
    except (OSError, ValueError, KeyError):
        return None
    return {name: [_glance(row) for row in table] for name, table in rows.items()}


def _glance(row: Any) -> Glance:
    x, y, visible, u, v = (float(value) for value in row)
    return Glance((x, y), visible, None if np.isnan(u) else (u, v))
