"""Training: `train(problem, dataset, split, out) -> Run`, and `rehearse` before it."""

from sightline.train.rehearsal import Rehearsal, rehearse
from sightline.train.run import Run
from sightline.train.training import train

__all__ = ["Rehearsal", "Run", "rehearse", "train"]
