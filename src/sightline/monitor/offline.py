"""`monitor`: a folder, a video or predictions against the reference of a package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError, UsageError
from sightline.core.observation import Observation, stack
from sightline.core.predictor import Predictor, Stream
from sightline.core.reference import Observing
from sightline.monitor.drift import ALPHA, ROUNDS, Baseline, compare
from sightline.monitor.predictions import read_predictions
from sightline.monitor.report import DriftReport
from sightline.monitor.windows import PERSIST, DriftWatch, WindowOptions
from sightline.runtime.loading import load, read_manifest

# More pictures than these are sampled evenly: the comparison could not see finer differences anyway.
MOST = 2000
SEED = 20262
FEW_VIDEOS = 10


class Shot(Protocol):
    """One frame of a source, or why it could not be read; `video.sources.Frame` and `Fault` are such."""

    @property
    def source(self) -> str:
        """Name of the source."""

    @property
    def index(self) -> int:
        """Position in the video; -1 for a picture."""


@dataclass(slots=True)
class Monitored:
    """What was found in a source.

    Attributes:
        report: all pictures together against the reference.
        windows: consecutive windows, where they were asked for.
        alarms: for each window whether drift was believed after it.
        faults: (source, reason) of what could not be read.
    """

    report: DriftReport
    windows: list[DriftReport] = field(default_factory=list)
    alarms: list[bool] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)

    @property
    def drifted(self) -> bool:
        """Whether the source drifted: as a whole, or over windows in a row."""
        return self.report.drifted or any(self.alarms)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        windows = [
            {**w.to_json(), "alarm": alarm} for w, alarm in zip(self.windows, self.alarms, strict=True)
        ]
        return {**self.report.to_json(), "drifted": self.drifted, "windows": windows, "faults": self.faults}


def monitor(
    package: Path | str,
    source: Path | str | Iterable[Shot] | Iterable[NDArray[Any]],
    *,
    name: str = "",
    alpha: float = ALPHA,
    rounds: int = ROUNDS,
    window: int = 0,
    persist: int = PERSIST,
    threads: int | None = None,
    on_picture: Callable[[], None] | None = None,
) -> Monitored:
    """Compare a source with the reference of a package.

    Args:
        package: folder, or `.onnx` with its manifest inside.
        source: predictions in JSON Lines; or pictures as arrays (H, W, 3) uint8 RGB, or frames as
            `video.sources` gives them.
        name: what the report calls the source.
        alpha: the stated false-alarm rate.
        rounds: divisions of the permutation test.
        window: also compare consecutive windows of so many pictures; 0 compares the whole only.
        persist: windows in a row that have to be flagged.
        threads: CPU threads of the network.
        on_picture: called after each picture, for progress.

    Raises:
        PackageError: no package, or one without a usable reference.
        FormatError: predictions that are none.
        UsageError: too few pictures, or a model that reads several inputs.
    """
    baseline = Baseline.of(read_manifest(package))
    found = Monitored(DriftReport(baseline.package, name, 0, len(baseline.sample), alpha, ()))
    options = WindowOptions(window, persist, alpha, rounds) if window else None
    watch = DriftWatch(baseline, options, source=name) if window else None
    kept: list[Observation] = []
    total = 0
    random = np.random.default_rng(SEED)
    for seen in _seen(package, source, baseline, threads, found.faults):
        total += 1
        if on_picture is not None:
            on_picture()
        if watch is not None and (report := watch.take(seen)) is not None:
            found.windows.append(report)
            found.alarms.append(watch.alarm)
        if len(kept) < MOST:
            kept.append(seen)
        elif (at := int(random.integers(total))) < MOST:
            kept[at] = seen
    sample = stack(kept, len(baseline.classes), baseline.moments)
    report = compare(baseline, sample, source=name, alpha=alpha, rounds=rounds)
    found.report = replace(report, notes=(*report.notes, *_notes(kept, total)))
    return found


def _notes(kept: list[Observation], total: int) -> Iterator[str]:
    if total > len(kept):
        yield f"{len(kept)} of {total} pictures were compared, drawn evenly"
    groups = {seen.group for seen in kept}
    if "" not in groups and len(groups) < FEW_VIDEOS:
        videos = f"{len(groups)} video{'s' if len(groups) > 1 else ''}"
        yield f"the frames are of {videos} only: what one scene alone explains is told as drift too"


def _seen(
    package: Path | str, source: Any, baseline: Baseline, threads: int | None, faults: list[tuple[str, str]]
) -> Iterator[Observation]:
    """Observations of the source, whatever it is."""
    if isinstance(source, (str, Path)):
        if Path(source).suffix.lower() != ".jsonl":
            raise UsageError("a path must be predictions (.jsonl)", where=source)
        return read_predictions(Path(source), baseline.classes)
    predictor = load(package, threads)
    if not isinstance(predictor, Predictor):
        raise UsageError(
            "has two stages and no embedding",
            where=package,
            remedy="compare its predictions (.jsonl) instead",
        )
    return _looked(predictor, source, faults)


def _looked(
    predictor: Predictor, shots: Iterable[Any], faults: list[tuple[str, str]]
) -> Iterator[Observation]:
    """Predict each shot and observe it; the frames of one video are one stream."""
    if len(predictor.signature.inputs) != 1:
        raise UsageError(f"the model reads {', '.join(predictor.signature.inputs)}; files give one input")
    ((name, spec),) = predictor.signature.inputs.items()
    seen: list[Observation] = []
    stream: Stream | None = None
    source = ""
    for shot in shots:
        bare = isinstance(shot, np.ndarray)
        if not bare and hasattr(shot, "reason"):
            faults.append((shot.source, shot.reason))
            continue
        try:
            pixels = shot if bare else shot.read()
        except MediaError as error:
            faults.append((shot.source, error.what))
            continue
        still = bare or shot.index < 0
        if stream is None or still or shot.source != source:
            source = "" if still else shot.source
            stream = Observing(predictor, seen.append, group=source).open_stream()
        stream.push({name: pixels if spec.pixels == "rgb8" else _grey(pixels)})
        yield seen.pop()


def _grey(pixels: NDArray[Any]) -> NDArray[Any]:
    import cv2

    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
