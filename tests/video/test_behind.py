"""Sinks in threads of their own: in order, all of it in file mode, the newest in live mode."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sightline.video.behind import WAITING, Behind
from sightline.video.pipeline import Prediction
from sightline.video.tally import Tally


class Held:
    """A sink that takes its first prediction and then waits to be let go."""

    needs_pixels = True

    def __init__(self) -> None:
        self.begun, self.go, self.taken = threading.Event(), threading.Event(), list[int]()
        self.finished: Any = "never"

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *error: Any) -> None:
        self.finished = error[0]

    def write(self, prediction: Prediction) -> None:
        self.begun.set()
        assert self.go.wait(600)
        self.taken.append(prediction.index)


def test_a_sink_that_is_behind_skips_the_oldest_in_live_mode_and_they_are_counted() -> None:
    sink, tally = Held(), Tally()
    with Behind(sink, tally, keep_newest=True) as behind:
        behind.write(Prediction("camera", 0, 0.0))
        assert sink.begun.wait(600)
        for index in range(1, 10):
            behind.write(Prediction("camera", index, 0.0))
        sink.go.set()
    assert sink.taken == [0, *range(10 - WAITING, 10)]
    assert tally.undrawn == 9 - WAITING
    assert sink.finished is None


def test_in_file_mode_everything_is_drawn_before_the_sink_is_finished() -> None:
    sink, tally = Held(), Tally()
    sink.go.set()
    with Behind(sink, tally, keep_newest=False) as behind:
        for index in range(50):
            behind.write(Prediction("film", index, 0.0))
    assert sink.taken == list(range(50))
    assert tally.undrawn == 0


def test_an_error_outside_leaves_what_waits_undrawn_and_reaches_the_sink() -> None:
    sink = Held()
    with pytest.raises(KeyError), Behind(sink, Tally(), keep_newest=True) as behind:
        behind.write(Prediction("camera", 0, 0.0))
        assert sink.begun.wait(600)
        behind.write(Prediction("camera", 1, 0.0))
        sink.go.set()
        raise KeyError
    assert sink.taken[0] == 0
    assert sink.finished is KeyError
