"""The films of `locate.py`: simulated rallies at 1080p60, rendered once and kept between runs.

Every rally has a hall, a camera, players and light of its own. Training, test and replayed rallies have
seeds that do not meet.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Films:
    """A set of rallies: `count` seeds from `seed` on, `frames` each."""

    name: str
    seed: int
    count: int
    frames: int

    @property
    def seeds(self) -> range:
        """One a rally."""
        return range(self.seed, self.seed + self.count)


TRAIN = Films("train", 100_000, 160, 48)
TEST = Films("test", 700_000, 16, 240)


def rendered(root: Path, films: Films, *, processes: int = 2) -> Path:
    """The folder of a set, with every film that was not there yet rendered into it."""
    folder = root / films.name
    folder.mkdir(parents=True, exist_ok=True)
    absent = [seed for seed in films.seeds if not (folder / f"rally{seed:06d}_ball.csv").exists()]
    started = time.monotonic()
    if absent:
        with ProcessPoolExecutor(processes) as pool:
            list(pool.map(_render, [folder] * len(absent), absent, [films.frames] * len(absent)))
    spent = time.monotonic() - started
    print(
        f"films {films.name}: {films.count} rallies of {films.frames} frames, "
        f"{len(absent)} rendered now in {spent:.0f} s (not counted as training)",
        flush=True,
    )
    return folder


def _render(folder: Path, seed: int, frames: int) -> None:
    import cv2

    from sightline.simulate.labelled import write_videos

    cv2.setNumThreads(1)
    write_videos(folder, 1, frames=frames, seed=seed)
