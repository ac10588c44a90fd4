"""Training: `train(problem, dataset, split, out) -> Run`."""

from sightline.train.run import Run
from sightline.train.training import train

__all__ = ["Run", "train"]
