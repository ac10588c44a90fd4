"""The films of `locate.py`: simulated rallies at 1080p60, rendered once and kept between runs.

Every rally has a hall, a camera, players and light of its own. Seeds of training, test and replayed rallies
do not meet; replayed ones follow tracks of real rallies, which no training film does. Films are kept under a
hash of the code that renders them.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import sightline.simulate


@dataclass(frozen=True, slots=True)
class Films:
    """A set of rallies.

    Attributes:
        name: of the set.
        parts: first seed, number of rallies, frames of each, and how many of those in a row are filmed.
        replayed: whether they follow real tracks.
    """

    name: str
    parts: tuple[tuple[int, int, int, int], ...]
    replayed: bool = False

    @property
    def wanted(self) -> list[tuple[int, int, int]]:
        """Seed of every rally, its frames, and how many are filmed."""
        return [
            (seed, frames, part)
            for first, count, frames, part in self.parts
            for seed in range(first, first + count)
        ]


# Short films show many halls, each some part of a rally: strokes, flights, a shuttle held or lying on the
# floor, as often as in whole ones. Long ones show what comes after what.
TRAIN = Films("train", ((100_000, 190, 240, 48), (200_000, 20, 192, 192)))
# Not seeds from 700_000: those films were looked at while `track` was mended.
TEST = Films("test", ((710_000, 16, 240, 240),))
REPLAY = Films("replay", ((800_000, 12, 240, 240),), replayed=True)


def rendered(root: Path, films: Films, tracks: Path | None = None, *, processes: int = 2) -> Path:
    """The folder of a set, with every film that was not there yet rendered into it.

    Args:
        root: where sets are kept.
        films: which.
        tracks: real tracks, for a set that follows them.
        processes: that render.
    """
    folder = root / f"films-{_renderer()}" / films.name
    folder.mkdir(parents=True, exist_ok=True)
    absent = [row for row in films.wanted if not (folder / f"rally{row[0]:06d}.mp4").exists()]
    started = time.monotonic()
    if absent:
        with ProcessPoolExecutor(processes) as pool:
            replay = tracks if films.replayed else None
            list(pool.map(_render, *zip(*((folder, *row, replay) for row in absent), strict=True)))
    spent = time.monotonic() - started
    print(
        f"films {films.name}: {len(films.wanted)} rallies, {sum(n for *_, n in films.wanted)} frames, "
        f"{len(absent)} rallies rendered now in {spent:.0f} s (not counted as training)",
        flush=True,
    )
    return folder


def _render(folder: Path, seed: int, frames: int, part: int, replay: Path | None) -> None:
    import cv2

    from sightline.simulate.labelled import write_videos

    cv2.setNumThreads(1)
    # A whole film is asked for as before, so that it is the one it was.
    write_videos(folder, 1, frames=frames, seed=seed, replay=replay, part=None if part == frames else part)


def _renderer() -> str:
    """Eight hexadecimal digits over the code of the simulation."""
    digest = hashlib.sha256()
    for path in sorted(Path(sightline.simulate.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
