"""A sink in a thread of its own, so that drawing and encoding go on beside the network."""

from __future__ import annotations

import threading
from typing import Any, Self

from sightline.video.handover import Handover
from sightline.video.pipeline import Prediction
from sightline.video.sinks import Sink
from sightline.video.tally import Tally

WAITING = 4


class Behind:
    """Feeds a sink from a thread; a sink that fails, fails here at the next write or at the end.

    Args:
        sink: opened, fed and finished as it would be otherwise.
        tally: where answers that are not drawn are counted.
        keep_newest: whether a sink that is behind skips the oldest; else whoever writes waits.
    """

    needs_pixels = True

    def __init__(self, sink: Sink, tally: Tally, *, keep_newest: bool) -> None:
        self._sink, self._tally = sink, tally
        self._waiting: Handover[Prediction] = Handover(WAITING, self._skip if keep_newest else None)
        self._thread = threading.Thread(target=self._run, name="draw", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._sink.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._waiting.end()
        if error[0] is not None:
            self._waiting.close()
        self._thread.join()
        if self._error is not None and error[0] is None:
            failed = self._error
            self._sink.__exit__(type(failed), failed, failed.__traceback__)
            raise failed
        self._sink.__exit__(*error)

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""
        if self._error is not None:
            raise self._error
        self._waiting.put(prediction)

    def _skip(self, prediction: Prediction) -> None:
        self._tally.undrawn += prediction.fault is None

    def _run(self) -> None:
        try:
            for prediction in self._waiting:
                self._sink.write(prediction)
        except BaseException as error:
            self._error = error
            self._waiting.close()
