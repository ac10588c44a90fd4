"""Frames to results at full throughput: decoding, placing and inference overlap, order is kept, no
frame is dropped, and no more than a few are in memory at once.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.errors import MediaError, UsageError
from sightline.core.geometry import Matrix, place
from sightline.core.picture import Picture, Yuv420, as_rgb, size_wh_of
from sightline.core.predictor import Predictor
from sightline.core.results import Result
from sightline.core.specs import InputSpec
from sightline.video.sources import Fault, Frame, Source

Array = NDArray[Any]

HELD = 3  # frames a worker may have taken and the caller not yet got


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of one frame.

    Attributes:
        source: name of its source.
        index: position in the video, -1 for a picture.
        time_s: seconds into the video, or None.
        size_wh: width and height of the frame; (0, 0) where it could not be read.
        results: by task; empty where it could not be read.
        fault: why it could not be read, or None.
        pixels: the picture, RGB (H, W, 3) or the decoder's planes, where it was asked for.
        captured_at: when a live frame reached this process, Unix seconds; None for recordings.
        age_s: from there to the answer.
    """

    source: str
    index: int
    time_s: float | None
    size_wh: tuple[int, int] = (0, 0)
    results: Mapping[str, Result] | None = None
    fault: str | None = None
    pixels: Picture | None = None
    captured_at: float | None = None
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Placed:
    """One frame in the network's pixels, and the way back."""

    pixels: Array
    matrix: Matrix
    size_wh: tuple[int, int]
    source: Picture | None


def predict_stream(
    predictor: Predictor, source: Source, *, workers: int, keep_pixels: bool = False
) -> Generator[Prediction, None, None]:
    """Predictions for every frame of a source, in order.

    `workers` threads each decode, convert, place and infer one frame at a time; decoding goes by turns. At
    most `HELD` frames for each worker are held.

    Args:
        predictor: of a model with one input, best loaded with `mode="throughput"`.
        source: frames in order; clips are made of them as `Stream` does.
        workers: frames in work at once.
        keep_pixels: whether predictions carry their frame, for drawing.

    Raises:
        UsageError: the model reads several inputs.
    """
    yield from predict_all(predictor, [source], workers=workers, keep_pixels=keep_pixels)


def predict_all(
    predictor: Predictor, sources: Iterable[Source], *, workers: int, keep_pixels: bool = False
) -> Generator[Prediction, None, None]:
    """Predictions for several sources, one after the other without a pause; see `predict_stream`."""
    name, spec = _only_input(predictor)
    jobs = _Jobs(predictor, name, spec, keep_pixels)
    items = (item for source in sources for item in source)
    with _one_thread_a_worker(workers), _Crew(items, jobs, workers) as crew:
        yield from crew


@contextmanager
def _one_thread_a_worker(workers: int) -> Iterator[None]:
    """OpenCV's own threads would only get in the way of several workers; the caller gets them back."""
    threads = cv2.getNumThreads()
    if workers > 1:
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


class _Jobs:
    """Makes the work for each frame; remembers the placed frames that a clip reaches back to."""

    def __init__(self, predictor: Predictor, name: str, spec: InputSpec, keep_pixels: bool) -> None:
        self._predictor, self._name, self._spec, self._keep = predictor, name, spec, keep_pixels
        self._past: deque[Future[_Placed]] = deque(maxlen=(spec.frames - 1) * spec.stride + 1)
        self._source = ""

    def next(self, item: Frame | Fault) -> Any:
        """A function without arguments that gives the prediction for the next frame."""
        if isinstance(item, Fault):
            if item.kind != "corrupt":
                self._past.clear()
            return lambda: Prediction(item.source, item.index, None, fault=item.reason)
        if item.source != self._source or item.index < 0:
            self._past.clear()
            self._source = item.source
        mine: Future[_Placed] = Future()
        self._past.append(mine)
        last = len(self._past) - 1
        ages = [(self._spec.frames - 1 - i) * self._spec.stride for i in range(self._spec.frames)]
        clip = [self._past[max(0, last - age)] for age in ages]
        return lambda: self._predict(item, mine, clip)

    def _predict(self, frame: Frame, mine: Future[_Placed], clip: list[Future[_Placed]]) -> Prediction:
        """Place this frame, wait for the older ones of its clip (begun earlier, in order), and infer."""
        try:
            mine.set_result(self._place(frame))
            moments = [moment.result() for moment in clip]
        except MediaError as error:
            if not mine.done():
                mine.set_exception(error)
            return Prediction(frame.source, frame.index, frame.time_s, fault=error.what)
        except BaseException as error:
            if not mine.done():
                mine.set_exception(error)  # a later clip must not wait for ever
            raise
        own = mine.result()
        stack = np.stack([m.pixels for m in moments]) if self._spec.frames > 1 else own.pixels
        outputs = self._predictor.infer({self._name: stack[None]})
        results = assemble(outputs, 0, self._predictor.signature, own.matrix, own.size_wh)
        return Prediction(frame.source, frame.index, frame.time_s, own.size_wh, results, pixels=own.source)

    def _place(self, frame: Frame) -> _Placed:
        picture = frame.picture()
        grey = self._spec.pixels == "grey8" and not isinstance(picture, Yuv420)
        placed, matrix = place(_grey(picture) if grey else picture, self._spec)
        return _Placed(placed, matrix, size_wh_of(picture), picture if self._keep else None)


def _grey(picture: Picture) -> Array:
    return np.asarray(cv2.cvtColor(as_rgb(picture), cv2.COLOR_RGB2GRAY))


def _only_input(predictor: Predictor) -> tuple[str, InputSpec]:
    inputs = predictor.signature.inputs
    if len(inputs) != 1:
        raise UsageError(
            f"the model reads {', '.join(inputs)}; files give one input",
            remedy="use sightline.load(...).predict from Python",
        )
    name, spec = next(iter(inputs.items()))
    if spec.pixels == "depth16":
        raise UsageError(f"the model reads depth as {name!r}; pictures and videos give colour")
    return name, spec


class _Crew:
    """Threads that each take the next item, decode it and see it through; answers come out in order.

    A thread decodes for itself, one at a time, so that no more threads run than there are cores to run them.
    """

    def __init__(self, items: Iterator[Frame | Fault], jobs: _Jobs, workers: int) -> None:
        self._items, self._jobs = items, jobs
        self._turn = threading.Lock()
        self._room = threading.Semaphore(HELD * workers)
        self._answers: queue.SimpleQueue[Future[Prediction] | None] = queue.SimpleQueue()
        self._done = False
        self._threads = [
            threading.Thread(target=self._work, name=f"predict-{i}", daemon=True) for i in range(workers)
        ]

    def __enter__(self) -> _Crew:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done = True
        for _ in self._threads:
            self._room.release()
        for thread in self._threads:
            thread.join()

    def __iter__(self) -> Iterator[Prediction]:
        while (answer := self._answers.get()) is not None:
            yield answer.result()
            self._room.release()

    def _work(self) -> None:
        while True:
            self._room.acquire()
            with self._turn:
                job, answer = self._next()
            if job is None or answer is None:
                return
            try:
                answer.set_result(job())
            except BaseException as error:
                answer.set_exception(error)

    def _next(self) -> tuple[Callable[[], Prediction] | None, Future[Prediction] | None]:
        """The next item's work and the promise of its answer; nothing where the items have ended."""
        if self._done:
            return None, None
        answer: Future[Prediction] = Future()
        try:
            job = self._jobs.next(next(self._items))
        except StopIteration:
            self._finish()
            self._answers.put(None)
            return None, None
        except BaseException as error:
            self._finish()
            answer.set_exception(error)
            self._answers.put(answer)
            return None, None
        self._answers.put(answer)
        return job, answer

    def _finish(self) -> None:
        """Nobody takes another item, and nobody waits for room to do so."""
        self._done = True
        for _ in self._threads:
            self._room.release()
