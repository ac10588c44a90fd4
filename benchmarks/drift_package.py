"""The package that `drift.py` watches: a short training on blood cells, kept in a folder and used again."""

from __future__ import annotations

import copy
from pathlib import Path

from bccd import RECIPE
from sightline.core.problem import Problem
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.data.split import Split, make_split

# Much is held out: the reference and the windows both come from pictures that nothing was learnt on.
PARTS = {"by": "frame", "train": 0.4, "val": 0.3, "test": 0.3, "seed": 0}
EPOCHS = 40


def blood_cells(source: Path, work: Path, threads: int) -> tuple[Path, Dataset, Split]:
    """The package, its dataset and split; trained where the folder does not hold it yet."""
    place = work / "dataset"
    dataset = Dataset.open(place) if place.exists() else import_dataset(source, place, format="voc")[0]
    problem = recipe()
    split = make_split(dataset, problem.split, near=False)
    package = work / "package"
    if not (package / "manifest.json").is_file():
        import torch

        from sightline.export.package import export
        from sightline.train import train

        torch.set_num_threads(threads)
        run = train(problem, dataset, split, work / "run")
        export(run, dataset, split.part("val"), package, replace_old=True)
    return package, dataset, split


def recipe() -> Problem:
    """The recipe of `bccd.py`, smaller and shorter."""
    asked = copy.deepcopy(RECIPE)
    asked["split"] = PARTS
    asked["model"]["input"]["size"] = [320, 256]
    asked["train"] |= {"epochs": EPOCHS, "validate_every": 20, "warmup_epochs": 2}
    return Problem.parse(asked, where="benchmarks/drift_package.py")


if __name__ == "__main__":
    import sys

    blood_cells(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
