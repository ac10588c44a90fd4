"""Three stages at once: reading in one thread, the network in its own, and whoever takes the answers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from sightline.core.errors import MediaError, UsageError
from sightline.core.picture import size_wh_of
from sightline.core.predictor import AnyPredictor, AnyStream, Predictor
from sightline.core.results import Result
from sightline.video.handover import Handover
from sightline.video.pipeline import Prediction
from sightline.video.sources import Fault, Frame, Moment, Source
from sightline.video.tally import Tally

Mode = Literal["live", "file"]
_WAITING_ANSWERS = 8
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How `watch` works.

    Attributes:
        queue: frames that may wait for the network.
        max_age_s: live mode gives no answer older than this.
        workers: frames in the network at once, for predictors without a past; None is one in live mode
            and a worker a core in file mode.
        frames: stop after so many answers; None is never.
    """

    queue: int = 3
    max_age_s: float = 0.2
    workers: int | None = None
    frames: int | None = None

    def __post_init__(self) -> None:
        if self.queue < 1 or self.max_age_s <= 0 or (self.workers or 1) < 1 or (self.frames or 1) < 1:
            raise UsageError("queue, max_age_s, workers and frames are above 0")


class Counted:
    """A source whose frames are counted as they are given, and that can be stopped."""

    def __init__(self, source: Source, tally: Tally, stop: threading.Event) -> None:
        self._source, self._tally, self._stop = source, tally, stop
        self.name, self.faulty = source.name, deque[int](maxlen=64)

    @property
    def length(self) -> int | None:
        """Of the source."""
        return self._source.length

    @property
    def rate(self) -> float | None:
        """Of the source."""
        return self._source.rate

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Frames, until the end or the stop; what the source counted itself is taken over at the end."""
        heed = getattr(self._source, "heed", None)
        if heed is not None:
            heed(self._stop)
        before = self._tally.lost, self._tally.corrupt, self._tally.disconnects, self._tally.clock_jumps
        try:
            for item in self._source:
                if self._stop.is_set():
                    return
                if isinstance(item, Frame):
                    self._tally.captured += 1
                else:
                    self.faulty.append(item.index)
                self._take_over(before)
                yield item
        finally:
            self._take_over(before)

    def _take_over(self, before: tuple[int, int, int, int]) -> None:
        source: Any = self._source
        tally = self._tally
        if decoder := getattr(source, "decoder", ""):
            tally.decoders[self.name] = decoder
        if not hasattr(source, "packets"):
            return
        tally.lost = before[0] + source.packets - source.decoded
        tally.corrupt = before[1] + source.corrupt
        tally.disconnects = before[2] + source.losses
        tally.clock_jumps = before[3] + source.timeline.jumps
        tally.longest_gap_s = max(tally.longest_gap_s, source.longest_gap_s)


class Overlapped:
    """Three stages in threads: read, infer, and whoever iterates `run`."""

    def __init__(
        self,
        predictor: AnyPredictor,
        sources: Sequence[Source],
        mode: Mode,
        options: WatchOptions,
        tally: Tally,
        stop: threading.Event,
        drawn: bool,
    ) -> None:
        self._predictor, self._sources, self._options = predictor, sources, options
        self._tally, self._stop, self._drawn = tally, stop, drawn
        self._live = mode == "live"
        self._input = only_input(predictor)
        self._waiting: Handover[Frame | Fault] = Handover(options.queue, self._drop if self._live else None)
        self._answers: Handover[Future[Prediction | None]] = Handover(_WAITING_ANSWERS)
        single = without_past(predictor) and predictor.signature.inputs[self._input].frames == 1
        self._workers = (options.workers or 1) if single else 1
        self._pool: ThreadPoolExecutor | None = None
        self._in_work, self._counting = _InWork(), threading.Lock()
        self._stream: AnyStream | None = None
        self._of: tuple[str, tuple[int, int]] = ("", (0, 0))
        self._epoch = time.time() - time.monotonic()

    def run(self) -> Generator[Prediction, None, None]:
        """Predictions in order."""
        threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._read, "decode"), (self._infer, "infer"))
        ]
        for thread in threads:
            thread.start()
        try:
            for future in self._answers:
                prediction = future.result()
                if prediction is not None:
                    yield prediction
        finally:
            self._stop.set()
            self._waiting.close(self._leave)
            self._answers.close(self._unsaid)
            for thread in threads:
                thread.join(_PATIENCE_S)  # one that reads a silent pipe cannot be woken

    def _drop(self, item: Frame | Fault) -> None:
        if isinstance(item, Frame):
            self._tally.dropped += 1

    def _leave(self, item: Frame | Fault) -> None:
        if isinstance(item, Frame):
            self._tally.left += 1

    def _unsaid(self, future: Future[Prediction | None]) -> None:
        """An answer that nobody waits for any more."""
        future.add_done_callback(self._count_unsaid)

    def _count_unsaid(self, future: Future[Prediction | None]) -> None:
        failed = future.cancelled() or future.exception() is not None
        prediction = None if failed else future.result()
        self._tally.left += failed or (prediction is not None and prediction.fault is None)

    def _read(self) -> None:
        try:
            for source in self._sources:
                for item in Counted(source, self._tally, self._stop):
                    if isinstance(item, Fault):
                        self._tally.faults.append((item.source, item.reason))
                    if not self._waiting.put(item):
                        self._leave(item)
                        return
        except BaseException as error:
            self._waiting.end(error)
        else:
            self._waiting.end()

    def _infer(self) -> None:
        with ThreadPoolExecutor(self._workers, thread_name_prefix="network") as pool:
            self._pool = pool if self._workers > 1 else None
            try:
                for future in self._jobs():
                    if not self._answers.put(future):
                        self._unsaid(future)
                        break
                self._begin_anew()
            except BaseException as error:
                self._answers.end(error)
            else:
                self._answers.end()

    def _jobs(self) -> Iterator[Future[Prediction | None]]:
        """One future a frame; the next frame is chosen when the network is free for it, not before."""
        waiting = iter(self._waiting)
        while True:
            self._in_work.wait_below(max(self._workers, 1 if self._stream is None else self._stream.ahead))
            item = next(waiting, None)
            if item is None:
                return
            yield self._job(item)

    def _job(self, item: Frame | Fault) -> Future[Prediction | None]:
        """Begin one frame."""
        done: Future[Prediction | None] = Future()
        if isinstance(item, Fault):
            if item.kind != "corrupt":
                self._begin_anew()  # what came before is no longer the past of what comes
            done.set_result(Prediction(item.source, item.index, None, fault=item.reason))
            return done
        captured = time.monotonic() if item.captured_s is None else item.captured_s
        if self._too_old(captured):
            done.set_result(None)
            return done
        try:
            picture = item.picture()
        except MediaError as error:
            self._tally.unread += 1
            self._tally.faults.append((item.source, error.what))
            done.set_result(Prediction(item.source, item.index, item.time_s, fault=error.what))
            return done
        moment = Moment(item.source, item.index, picture, item.time_s, captured)
        self._in_work.add(1)
        self._submit(moment).add_done_callback(partial(self._finish, moment, done))
        return done

    def _submit(self, moment: Moment) -> Future[dict[str, Result]]:
        element = {self._input: moment.picture}
        if self._pool is not None:
            return self._pool.submit(lambda: self._predictor.predict([element])[0])
        kind = (moment.source, size_wh_of(moment.picture))
        if kind != self._of or moment.index < 0:  # a camera may change its resolution as it runs
            self._begin_anew()
        if self._stream is None:
            self._stream, self._of = self._predictor.open_stream(), kind
        return self._stream.submit(element)

    def _begin_anew(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def _finish(
        self, moment: Moment, done: Future[Prediction | None], answer: Future[dict[str, Result]]
    ) -> None:
        """Turn an answer into a prediction, in whichever thread it came; one that is too old into nothing."""
        self._in_work.add(-1)
        error = answer.exception()
        if error is not None:
            done.set_exception(error)
            return
        age = time.monotonic() - moment.captured_s
        if self._too_old(moment.captured_s):
            done.set_result(None)
            return
        done.set_result(
            Prediction(
                moment.source,
                moment.index,
                moment.time_s,
                size_wh_of(moment.picture),
                answer.result(),
                pixels=moment.picture if self._drawn else None,
                captured_at=self._epoch + moment.captured_s if self._live else None,
                age_s=age if self._live else None,
            )
        )

    def _too_old(self, captured_s: float) -> bool:
        if not self._live or time.monotonic() - captured_s <= self._options.max_age_s:
            return False
        with self._counting:
            self._tally.late += 1
        return True


class _InWork:
    """How many frames the network has."""

    def __init__(self) -> None:
        self._count, self._changed = 0, threading.Condition()

    def add(self, change: int) -> None:
        """One more, or one less."""
        with self._changed:
            self._count += change
            self._changed.notify_all()

    def wait_below(self, limit: int) -> None:
        """Until it has fewer than `limit`."""
        with self._changed:
            self._changed.wait_for(lambda: self._count < limit)


def without_past(predictor: AnyPredictor) -> bool:
    """Whether answers depend on the frames alone, so that several workers may give them."""
    inputs = predictor.signature.inputs.values()
    return isinstance(predictor, Predictor) and not any(spec.pixels == "track" for spec in inputs)


def only_input(predictor: AnyPredictor) -> str:
    """The input that pictures feed; a `track` is the stream's own affair."""
    inputs = {
        name: spec for name, spec in predictor.signature.inputs.items() if spec.pixels in ("rgb8", "grey8")
    }
    if len(inputs) != 1 or any(spec.pixels == "depth16" for spec in predictor.signature.inputs.values()):
        raise UsageError(
            f"the model reads {', '.join(predictor.signature.inputs)}; a source gives one picture at a time",
            remedy="use predictor.open_stream() from Python",
        )
    return next(iter(inputs))
