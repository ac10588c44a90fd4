"""`predict`: a package over files, into sinks.

What has a past (a locator of two stages, a model that reads its own track) is answered through a stream for
each source, as `watch` does it for recordings; everything else by several workers at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sightline.core.errors import MediaError, UsageError
from sightline.core.predictor import AnyPredictor, Predictor
from sightline.runtime.options import cores
from sightline.video.label_studio import LabelStudio
from sightline.video.overlap import Overlapped, WatchOptions, without_past
from sightline.video.pipeline import Prediction, predict_all
from sightline.video.sinks import (
    Coco,
    Csv,
    JsonLines,
    Mp4,
    Pictures,
    Sink,
    drawn_name,
    refuse_sources,
    relative_name,
)
from sightline.video.sources import PictureSource, Source
from sightline.video.tally import Tally

FORMATS = (".jsonl", ".json", ".csv")


@dataclass(slots=True)
class Summary:
    """What `predict` did.

    Attributes:
        frames: predicted.
        faults: (source, reason) of what could not be read.
    """

    frames: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def predict(
    predictor: AnyPredictor,
    sources: Sequence[Source],
    sinks: Iterable[Sink] = (),
    *,
    workers: int | None = None,
    strict: bool = False,
    on_frame: Callable[[Prediction], None] | None = None,
) -> Summary:
    """Predict every frame of every source, in order, into every sink.

    Args:
        predictor: of a package; load it with `mode="throughput"` for many frames.
        sources: see `sources.find_sources`.
        sinks: see `open_sinks`; they are opened and finished here.
        workers: frames in work at once, for predictors without a past; one more than there are cores unless
            given: while the others infer, it decodes and places.
        strict: stop at the first frame that cannot be read, leaving nothing written.
        on_frame: called after each frame, for progress.

    Raises:
        MediaError: a frame cannot be read and `strict` is set.
        UsageError: the model reads several inputs.
    """
    summary = Summary()
    opened = list(sinks)
    keep = any(sink.needs_pixels for sink in opened)
    with ExitStack() as stack:
        for sink in opened:
            stack.enter_context(sink)
        predictions = _answers(predictor, sources, workers, keep)
        for prediction in predictions:
            if prediction.fault is None:
                summary.frames += 1
            elif strict:
                predictions.close()
                raise MediaError(prediction.fault, where=prediction.source)
            else:
                summary.faults.append((prediction.source, prediction.fault))
            for sink in opened:
                sink.write(prediction)
            if on_frame is not None:
                on_frame(prediction)
    return summary


def _answers(
    predictor: AnyPredictor, sources: Sequence[Source], workers: int | None, keep: bool
) -> Generator[Prediction, None, None]:
    """Predictions in order; a picture begins anew, since it has no past."""
    if isinstance(predictor, Predictor) and without_past(predictor):
        return predict_all(predictor, sources, workers=workers or cores() + 1, keep_pixels=keep)
    stop = threading.Event()
    return Overlapped(predictor, sources, "file", WatchOptions(), Tally(), stop, keep).run()


def open_sinks(
    sources: Sequence[Source],
    classes: tuple[str, ...],
    out: Path | None,
    draw: Path | None,
    *,
    label_studio: bool = False,
    live: bool = False,
) -> list[Sink]:
    """Sinks for the two places a caller names.

    Args:
        sources: what will be predicted; one video and `draw` ending in .mp4 gives that video.
        classes: of the model, for COCO's categories.
        out: results: `.jsonl`, `.json` (COCO) or `.csv`.
        draw: drawn pictures: a folder, or an `.mp4`.
        label_studio: `out` is a folder of pre-annotated tasks for Label Studio instead.
        live: whether results carry times of capture and ages.

    Raises:
        UsageError: a suffix that is none of these, an .mp4 for several sources, or a file that would be
            written over a source.
    """
    files = [getattr(source, "path", source.name) for source in sources]
    refuse_sources(files, [path for path in (out, draw) if path is not None])
    sinks: list[Sink] = []
    if out is not None and label_studio:
        if len({isinstance(source, PictureSource) for source in sources}) > 1:
            raise UsageError(
                "a project of Label Studio shows pictures or videos, not both",
                where=out,
                remedy="predict them into two folders",
            )
        sinks.append(LabelStudio(out, classes, _root(sources, out)))
    elif out is not None:
        sinks.append(_results(out, classes, live))
    if draw is not None and draw.suffix.lower() == ".mp4":
        if len({source.name for source in sources}) != 1:
            raise UsageError("one MP4 holds one source", where=draw, remedy="name a folder instead")
        sinks.append(Mp4(draw, sources[0].rate))
    elif draw is not None:
        if draw.exists() and not draw.is_dir():
            raise UsageError("is a file", where=draw, remedy="name a folder, or a file ending in .mp4")
        targets = _targets(sources, draw)
        refuse_sources(files, targets)
        sinks += _drawn(sources, targets, draw)
    return sinks


def _results(out: Path, classes: tuple[str, ...], live: bool) -> Sink:
    suffix = out.suffix.lower()
    if suffix == ".jsonl":
        return JsonLines(out)
    if suffix == ".csv":
        return Csv(out, live=live)
    if suffix == ".json":
        return Coco(out, classes)
    raise UsageError(
        f"ends in {suffix!r}", where=out, remedy=f"name a file ending in {', '.join(FORMATS)} (COCO is .json)"
    )


def _root(sources: Sequence[Source], folder: Path) -> Path:
    """The folder that holds all sources."""
    parents = [Path(source.name).absolute().parent for source in sources]
    return Path(os.path.commonpath(parents)) if parents else folder


def _targets(sources: Sequence[Source], folder: Path) -> list[Path]:
    """What is drawn of each source: a picture, or an MP4 under the video's own name."""
    root = _root(sources, folder)
    return [
        folder / f"{relative_name(source.name, root)}.mp4"
        if not isinstance(source, PictureSource)
        else folder / drawn_name(source.name, root)
        for source in sources
    ]


def _drawn(sources: Sequence[Source], targets: Sequence[Path], folder: Path) -> list[Sink]:
    """An MP4 for each video, and one sink for all pictures."""
    sinks: list[Sink] = [
        _OneSource(source.name, target, source.rate)
        for source, target in zip(sources, targets, strict=True)
        if not isinstance(source, PictureSource)
    ]
    return [*sinks, _PicturesOnly(Pictures(folder, _root(sources, folder)))]


class _PicturesOnly:
    """Hands pictures on and leaves the frames of videos to their own sinks."""

    needs_pixels = True

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __enter__(self) -> _PicturesOnly:
        self._pictures.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._pictures.__exit__(*error)

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""
        if prediction.index < 0:
            self._pictures.write(prediction)


class _OneSource:
    """The MP4 of one video among several; opened at its first frame, finished with the rest."""

    needs_pixels = True

    def __init__(self, source: str, path: Path, rate: float | None) -> None:
        self._source, self._path, self._rate = source, path, rate
        self._video: Mp4 | None = None

    def __enter__(self) -> _OneSource:
        return self

    def __exit__(self, *error: object) -> None:
        if self._video is not None:
            self._video.__exit__(*error)

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""
        if prediction.source != self._source:
            if self._video is not None:
                self._video.__exit__(None, None, None)
                self._video = None
            return
        if prediction.fault is not None and self._video is None:
            return
        if self._video is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._video = Mp4(self._path, self._rate).__enter__()
        self._video.write(prediction)
