"""Frames to results at full throughput: decoding, placing and inference overlap, order is kept, no
frame is dropped, and no more than a few are in memory at once.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.errors import MediaError, UsageError
from sightline.core.geometry import Matrix, place
from sightline.core.picture import Picture
from sightline.core.predictor import Predictor
from sightline.core.results import Result
from sightline.core.specs import InputSpec
from sightline.video.sources import Fault, Frame, Pixels, Source

Array = NDArray[Any]
T = TypeVar("T")

DECODED_AHEAD = 4


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
    source: Pixels | None


def predict_stream(
    predictor: Predictor, source: Source, *, workers: int, keep_pixels: bool = False
) -> Generator[Prediction, None, None]:
    """Predictions for every frame of a source, in order.

    One thread decodes; `workers` threads convert, place and infer, one frame each. At most
    `DECODED_AHEAD` decoded frames and three for each worker are held.

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
    pending: deque[Future[Prediction]] = deque()
    frames = _ahead((item for source in sources for item in source), DECODED_AHEAD)
    with _one_thread_a_worker(workers), ThreadPoolExecutor(workers, thread_name_prefix="predict") as pool:
        try:
            for item in frames:
                pending.append(pool.submit(jobs.next(item)))
                while len(pending) >= 3 * workers or (pending and pending[0].done()):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            frames.close()
            for future in pending:
                future.cancel()


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
        pixels = frame.read()
        source: Array = pixels if self._spec.pixels == "rgb8" else _grey(pixels)
        placed, matrix = place(source, self._spec)
        size_wh = (pixels.shape[1], pixels.shape[0])
        return _Placed(placed, matrix, size_wh, pixels if self._keep else None)


def _grey(pixels: Pixels) -> Array:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


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


class _Ahead(Iterator[T]):
    """An iterator run by a thread of its own, a bounded number of items ahead."""

    _END = object()

    def __init__(self, items: Iterable[T], ahead: int) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(items,), name="decode", daemon=True)
        self._thread.start()

    def _run(self, items: Iterable[T]) -> None:
        last: Any = self._END
        try:
            for item in items:
                if not self._put(item):
                    return
        except BaseException as error:
            last = error
        self._put(last)

    def _put(self, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __next__(self) -> T:
        item = self._queue.get()
        if item is self._END:
            raise StopIteration
        if isinstance(item, BaseException):
            raise item
        found: T = item
        return found

    def close(self) -> None:
        """Stop the thread; items not taken are lost."""
        self._stop.set()
        self._thread.join()


def _ahead(items: Iterable[T], ahead: int) -> _Ahead[T]:
    return _Ahead(items, ahead)
