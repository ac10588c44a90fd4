"""Training: `train(problem, dataset, split, out) -> Run`, and `rehearse` before it.

Where torch is not loaded yet, its threads are told to sleep while they wait for one another: spinning threads
take the cores that the loader processes need. OMP_WAIT_POLICY, if set, stays as it is.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from sightline.train.rehearsal import Rehearsal, rehearse
from sightline.train.run import Run
from sightline.train.training import train

__all__ = ["Rehearsal", "Run", "rehearse", "train"]
