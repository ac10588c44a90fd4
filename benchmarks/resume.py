"""Exact resume: a training killed at random moments ends with the weights of an undisturbed one.

For f32 and bf16: one run is left alone; another, of the same config, gets SIGKILL at random moments (in a
step, in a validation, while its state is being written), each time started again by a new process.
Two loader workers, accumulation, EMA, dropout, batch norm, augmentation, sampling by loss. The weights, their
average, and the optimiser's moments are compared byte for byte.

    python benchmarks/resume.py [--kills 10] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PRECISIONS = ("f32", "bf16")
PICTURES, SIDE, EPOCHS = 96, 64, 8
READY = "ready"


def make_dataset(folder: Path) -> None:
    """Two classes of noise, told apart by their brightness, in a folder each."""
    from sightline.core.media import write_picture
    from sightline.data.importing import import_dataset

    source = np.random.default_rng(0)
    for number in range(PICTURES):
        label = number % 2
        place = folder / "source" / ("dark", "light")[label]
        place.mkdir(parents=True, exist_ok=True)
        pixels = source.integers(0, 160, (SIDE, SIDE, 3)) + 60 * label
        write_picture(place / f"{number:03d}.png", pixels.astype(np.uint8))
    import_dataset(folder / "source", folder / "dataset")


def child(folder: Path, out: Path, precision: str) -> None:
    """Train until the end; says when the first step is near."""
    from sightline.core.problem import Problem, SplitSection
    from sightline.data.dataset import Dataset
    from sightline.data.split import make_split
    from sightline.train import train

    dataset = Dataset.open(folder / "dataset")
    split = make_split(dataset, SplitSection(by="frame"))
    asked = Problem.parse(
        {
            "name": "resume",
            "why": "to be killed",
            "task": "classify",
            "data": {"source": "."},
            "model": {
                "name": "test_resnet",
                "input": {"size": [SIDE, SIDE]},
                "options": {"dropout": 0.2},
            },
            "train": {
                "epochs": EPOCHS,
                "batch": 6,
                "accumulate": 2,
                "ema": 0.99,
                "precision": precision,
                "workers": 2,
                "sampling": "loss",
                "save_minutes": 1e-6,
                "augment": {"rotate": 10, "scale": [0.8, 1.2], "noise": 10},
            },
            "criteria": [{"metric": "classify.accuracy", "at_least": 0.5}],
        }
    )
    print(READY, flush=True)
    train(asked, dataset, split, out, progress=False)


def started(folder: Path, out: Path, precision: str) -> subprocess.Popen[str]:
    """A child that is about to train."""
    words = [sys.executable, __file__, "--child", str(folder), str(out), precision]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def finish(process: subprocess.Popen[str]) -> None:
    if process.wait() != 0:
        sys.exit(f"a child ended with {process.returncode}")


def state(out: Path) -> dict[str, int]:
    path = out / "last" / "state.json"
    return json.loads(path.read_text())["state"] if path.exists() else {"step": 0}


def tensors(out: Path) -> bytes:
    """The final state's tensor file: header and data are written in a fixed order."""
    path = out / "last" / "state.json"
    return (path.parent / json.loads(path.read_text())["file"]).read_bytes()


def compare(folder: Path, precision: str, kills: int, dice: random.Random) -> bool:
    """Whether a killed run ends as an undisturbed one."""
    whole, killed = folder / f"whole-{precision}", folder / f"killed-{precision}"
    finish(started(folder, whole, precision))
    steps = state(whole)["step"]
    for number in range(kills):
        process = started(folder, killed, precision)
        aim = int(steps * (number + dice.random()) / kills)
        while state(killed)["step"] < aim and process.poll() is None:
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 0.2))  # anywhere within a step, a write or a validation
        process.kill()
        ended = " (had ended)" if process.wait() == 0 else ""
        print(
            f"  {precision}: kill {number + 1} at step {state(killed)['step']} of {steps}{ended}", flush=True
        )
    finish(started(folder, killed, precision))
    same = tensors(whole) == tensors(killed)
    best = (whole / "best.safetensors").read_bytes() == (killed / "best.safetensors").read_bytes()
    print(f"{precision}: {state(whole)['step']} steps; final state equal: {same}; best weights equal: {best}")
    return same and best


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=3)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), Path(options.child[1]), options.child[2])
        return 0
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_dataset(folder)
        each = options.kills // len(PRECISIONS)
        equal = [compare(folder, precision, each, dice) for precision in PRECISIONS]
    print(
        f"resume: {sum(equal)} of {len(equal)} precisions end byte for byte equal after {each} kills each "
        f"(bar: all)"
    )
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
