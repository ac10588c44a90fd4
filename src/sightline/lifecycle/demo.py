"""The whole life cycle on simulated rallies: a shuttle found in two stages. No data and no network needed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sightline.core.files import folder_written_whole, write_text
from sightline.lifecycle.run import Places, Tell, run
from sightline.lifecycle.verdict import Verdict

SIZE_WH = (640, 360)
UNSEEN_SEED = 900_001
UNSEEN_FRAMES = 180
RALLIES, FRAMES = 48, 24
EPOCHS = 9

PROBLEM = """\
name: shuttle-demo
why: >
  A coach wants to see where the shuttle went. A point that is off by more than four pixels, or a
  shuttle that is claimed where none is, would make the trail useless.
task: locate
classes: [shuttle]

data: {source: labels/label_studio_export.json, format: label-studio, points: box-centres}
split: {by: group, train: 0.76, val: 0.12, test: 0.12, seed: 0}

stages:
  coarse:  # where about it is, in the whole frame made small
    model:
      name: locate-coarse
      input: {size: [256, 160], fit: letterbox, frames: 3}
      options: {loss: heatmap, sharpen: 6, motion: true}
    train:
      epochs: EPOCHS
      batch: 8
      lr: 0.002
      precision: bf16
      ema: 0.98
      workers: 1
      validate_every: 3
      cache: memory
      monitor: locate.within_8px
  fine:  # where exactly, in a window of the frame as it is
    model:
      name: locate-fine
      input: {size: [96, 96], fit: native, frames: 3}
      options: {motion: true}
    mine: {hard: 0.3, every: 2}
    train:
      epochs: EPOCHS
      batch: 16
      lr: 0.002
      precision: bf16
      ema: 0.98
      workers: 1
      validate_every: 3
      cache: memory
      monitor: val.loss
      augment: {translate: 0.2}
pipeline: {mode: track}
export: {thresholds: {locate: 0.7}}  # a point somewhere else is worse than none

criteria:
  - {metric: locate.mean_px, at_most: 4}
  - {metric: locate.visible_f1, at_least: 0.8}
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
    rallies: int = RALLIES,
    frames: int = FRAMES,
    epochs: int = EPOCHS,
    replace: bool = False,
    tell: Tell | None = None,
) -> Demo:
    """Simulate labelled rallies in `out`, then run the life cycle, then draw an unseen rally.

    Args:
        out: folder to make.
        rallies: simulated and labelled.
        frames: of each rally.
        epochs: of training, of each stage.
        replace: whether a folder that is there may be replaced.
        tell: whom to tell how it goes; nobody unless given.

    Raises:
        UsageError: `out` holds something and `replace` is false.
    """
    out, tell = Path(out), tell or Tell()
    labelled(out, rallies=rallies, frames=frames, epochs=epochs, replace=replace, tell=tell)
    places = Places(out / "work")
    verdict = run(out / "problem.yaml", places.root, tell=tell)
    return Demo(verdict, places, _draw_unseen(out, places))


def labelled(
    out: Path,
    *,
    rallies: int,
    frames: int,
    epochs: int = EPOCHS,
    replace: bool = False,
    tell: Tell | None = None,
) -> Path:
    """What a user brings: films with a Label Studio export in `labels/`, a problem file, an unseen film.

    Arguments and errors are those of `demo`.

    Returns:
        The folder.
    """
    from sightline.simulate.labelled import EXPORT, write_film
    from sightline.simulate.timelines import write_timelines

    progress = (tell or Tell()).counting("simulate") or (lambda done, total: None)
    done = count(1)
    with folder_written_whole(out, replace=replace, marker=f"labels/{EXPORT}") as part:
        write_timelines(
            part / "labels",
            rallies,
            frames=frames,
            size_wh=SIZE_WH,
            progress=lambda _: progress(next(done), rallies),
        )
        write_text(part / "problem.yaml", PROBLEM.replace("EPOCHS", str(epochs)))
        write_film(part / "unseen.mp4", UNSEEN_SEED, frames=UNSEEN_FRAMES, size_wh=SIZE_WH)
    return out


def _draw_unseen(out: Path, places: Places) -> Path:
    """Watch a rally that no part of the split holds, and draw what the package finds, with its trail."""
    from sightline.runtime.loading import load
    from sightline.video.live import watch
    from sightline.video.prediction import open_sinks
    from sightline.video.sources import find_sources

    drawn, predictor = out / "unseen_annotated.mp4", load(places.package, mode="throughput")
    sources = find_sources([out / "unseen.mp4"])
    watch(
        predictor,
        sources,
        open_sinks(sources, predictor.signature.classes, out / "unseen.csv", drawn),
        "file",
    )
    return drawn
