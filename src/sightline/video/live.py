"""`watch`: a predictor on live or recorded sources; decoding, inference and drawing overlap.

Live mode is about now: each queue is short, the newest frame takes the place of the oldest, and an answer
that is too old is not given. File mode is about all of it: every frame is answered, and whoever is ahead
waits. Either way every frame is answered or counted (`tally.Tally`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from sightline.core.predictor import AnyPredictor, Predictor
from sightline.runtime.options import cores
from sightline.video.behind import Behind
from sightline.video.overlap import Counted, Mode, Overlapped, WatchOptions, without_past
from sightline.video.pipeline import Prediction, predict_all
from sightline.video.sinks import Sink
from sightline.video.sources import Moment, Source
from sightline.video.tally import Tally

__all__ = ["Mode", "Moment", "WatchOptions", "watch"]


def watch(
    predictor: AnyPredictor,
    sources: Source | Sequence[Source],
    sinks: Iterable[Sink] = (),
    mode: Mode = "file",
    *,
    options: WatchOptions | None = None,
    tally: Tally | None = None,
    stop: threading.Event | None = None,
    on_answer: Callable[[Prediction], None] | None = None,
) -> Tally:
    """Predict what sources show, into every sink, until they end or `stop` is set.

    Each source gets a stream of its own (`predictor.open_stream()`), fed in order; a predictor without a
    past may have several workers. After a connection is lost, the stream begins anew.

    Args:
        predictor: of a package, or any other with one input.
        sources: see `connecting.open_address`; one after the other.
        sinks: opened and finished here; those that draw get a thread each.
        mode: `live` keeps the newest and counts what it drops; `file` answers every frame.
        options: see `WatchOptions`.
        tally: where to count; a new one unless given.
        stop: set from anywhere to end it; what was answered is kept.
        on_answer: called in this thread after each prediction.

    Returns:
        The tally: `captured = answered + dropped + late + unread + left`.

    Raises:
        MediaError: a live source cannot be opened in the first place.
        UsageError: the model reads several inputs.
    """
    chosen, tally, stop = options or WatchOptions(), tally or Tally(), stop or threading.Event()
    listed = list(sources) if isinstance(sources, Sequence) else [sources]
    opened = list(sinks)
    drawn = any(sink.needs_pixels for sink in opened)
    with ExitStack() as stack:
        placed = [stack.enter_context(_follow(sink, tally, mode)) for sink in opened]
        if mode == "file" and without_past(predictor):
            assert isinstance(predictor, Predictor)
            predictions = _every_frame(predictor, listed, chosen, tally, stop, drawn)
        else:
            predictions = Overlapped(predictor, listed, mode, chosen, tally, stop, drawn).run()
        try:
            for prediction in predictions:
                for sink in placed:
                    sink.write(prediction)
                if prediction.fault is None:
                    tally.answer(prediction.age_s)
                if on_answer is not None:
                    on_answer(prediction)
                if chosen.frames and tally.answered >= chosen.frames:
                    break
        finally:
            stop.set()
            predictions.close()
            tally.finish()
    return tally


def _follow(sink: Sink, tally: Tally, mode: Mode) -> Any:
    """A sink as `watch` feeds it: told what is counted, and in a thread of its own where it draws."""
    follow = getattr(sink, "follow", None)
    if follow is not None:
        follow(tally)
    return Behind(sink, tally, keep_newest=mode == "live") if sink.needs_pixels else sink


def _every_frame(
    predictor: Predictor,
    sources: Sequence[Source],
    options: WatchOptions,
    tally: Tally,
    stop: threading.Event,
    drawn: bool,
) -> Generator[Prediction, None, None]:
    """File mode of a predictor without a past: the pipeline that `predict` uses."""
    watched = [Counted(source, tally, stop) for source in sources]
    found = predict_all(predictor, watched, workers=options.workers or cores(), keep_pixels=drawn)
    try:
        for prediction in found:
            if prediction.fault is not None:
                _blame(tally, watched, prediction)
            yield prediction
    finally:
        found.close()
        tally.left += tally.captured - tally.answered - tally.gone


def _blame(tally: Tally, sources: Sequence[Counted], prediction: Prediction) -> None:
    tally.faults.append((prediction.source, prediction.fault or ""))
    if not any(prediction.index in s.faulty for s in sources if s.name == prediction.source):
        tally.unread += 1
