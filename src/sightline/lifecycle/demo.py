"""The whole life cycle on simulated rallies: no data and no network needed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sightline.core.files import folder_written_whole, write_text
from sightline.lifecycle.run import Places, Tell, run
from sightline.lifecycle.verdict import Verdict

SIZE_WH = (384, 216)
UNSEEN_SEED = 900_001
UNSEEN_FRAMES = 180
EPOCHS = 8

PROBLEM = """\
name: shuttle-demo
why: >
  A coach wants to see where the shuttle went. A point that is off by more than four pixels, or a
  shuttle that is claimed where none is, would make the trail useless.
task: locate
classes: [shuttle]

data: {source: labels/label_studio_export.json, format: label-studio}
split: {by: group, train: 0.76, val: 0.12, test: 0.12, seed: 0}

model:
  name: locator
  input: {size: [384, 216], fit: stretch, frames: 3}
  options: {backbone: mobilenetv3_small_050, width: 32, stride: 4}

train:
  epochs: EPOCHS
  batch: 8
  lr: 0.002
  precision: bf16
  ema: 0.98
  cache: memory

criteria:
  - {metric: locate.mean_px, at_most: 4}
  - {metric: locate.visible_f1, at_least: 0.85}
  - {metric: bench.p95_ms, at_most: 50}
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made, and where."""

    verdict: Verdict
    places: Places
    video: Path


def demo(
    out: str | Path,
    *,
    rallies: int = 25,
    frames: int = 40,
    epochs: int = EPOCHS,
    replace: bool = False,
    tell: Tell | None = None,
) -> Demo:
    """Simulate labelled rallies in `out`, then run the life cycle, then draw an unseen rally.

    Args:
        out: folder to make.
        rallies: simulated and labelled.
        frames: of each rally.
        epochs: of training.
        replace: whether a folder that is there may be replaced.
        tell: whom to tell how it goes; nobody unless given.

    Raises:
        UsageError: `out` holds something and `replace` is false.
    """
    from sightline.simulate.labelled import EXPORT, write_rallies

    out, tell = Path(out), tell or Tell()
    progress = tell.counting("simulate") or (lambda done, total: None)
    done = count(1)
    with folder_written_whole(out, replace=replace, marker=f"labels/{EXPORT}") as part:
        write_rallies(
            part / "labels",
            rallies,
            frames=frames,
            size_wh=SIZE_WH,
            progress=lambda _: progress(next(done), rallies),
        )
        write_text(part / "problem.yaml", PROBLEM.replace("EPOCHS", str(epochs)))
    places = Places(out / "work")
    verdict = run(out / "problem.yaml", places.root, tell=tell)
    video = _draw_unseen(out, places)
    return Demo(verdict, places, video)


def _draw_unseen(out: Path, places: Places) -> Path:
    """Film a rally that no part of the split holds, and draw on it what the package finds."""
    from sightline.runtime.loading import load_stage
    from sightline.simulate.labelled import write_film
    from sightline.video.prediction import open_sinks, predict
    from sightline.video.sources import find_sources

    film = write_film(out / "unseen.mp4", UNSEEN_SEED, frames=UNSEEN_FRAMES, size_wh=SIZE_WH)
    drawn = out / "unseen_annotated.mp4"
    predictor = load_stage(places.package, mode="throughput")
    sources = find_sources([film])
    sinks = open_sinks(sources, predictor.signature.classes, out / "unseen.csv", drawn)
    predict(predictor, sources, sinks, strict=True)
    return drawn
