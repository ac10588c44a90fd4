"""Training: `train(problem, dataset, split, out) -> Run`, and `rehearse` before it.

Where torch is not loaded yet, its threads are told to spin only briefly while they wait for one another. As
they come, they spin for milliseconds: alone on a machine that costs nothing, beside any other work (the
loader's processes are some) a training became 35 times slower. OMP_WAIT_POLICY and GOMP_SPINCOUNT, if set,
stay as they are.
"""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from sightline.train.rehearsal import Rehearsal, rehearse
from sightline.train.run import Run
from sightline.train.training import train

__all__ = ["Rehearsal", "Run", "rehearse", "train"]
