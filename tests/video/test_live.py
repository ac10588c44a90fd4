"""`watch`: every frame is answered or counted, live and from files, through every fault."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.core.errors import MediaError, UsageError
from sightline.core.predictor import Inputs, Predictor
from sightline.core.results import Points, Result, same
from sightline.core.specs import InputSpec, Signature
from sightline.runtime.loading import load
from sightline.video.clock import Paced
from sightline.video.connecting import Backoff, LiveSource
from sightline.video.faulty import FaultPlan, Faulty, Slowed
from sightline.video.live import WatchOptions, watch
from sightline.video.pipeline import Prediction, predict_all
from sightline.video.sources import Fault, Frame, PictureSource, VideoSource
from sightline.video.tally import Tally
from video.conftest import FRAMES, write_png

SWIFT = Backoff(0.001, 0.01)


class Remembering:
    """A predictor whose streams count what they were given; stateful, so never given several workers."""

    signature = Signature(("locate",), ("head",), {"clip": InputSpec((8, 8))})

    def __init__(self) -> None:
        self.streams: list[int] = []
        self.closed = 0

    def predict(self, batch: Sequence[Inputs]) -> list[dict[str, Result]]:
        raise AssertionError("a stateful predictor is pushed to")

    def open_stream(self) -> Any:
        self.streams.append(0)
        return self

    ahead = 1

    def submit(self, inputs: Inputs) -> Any:
        answer: Future[dict[str, Result]] = Future()
        answer.set_result(self.push(inputs))
        return answer

    def close(self) -> None:
        self.closed += 1

    def push(self, inputs: Inputs) -> dict[str, Result]:
        assert set(inputs) == {"clip"}
        self.streams[-1] += 1
        place = np.array([[self.streams[-1], 0.0]], np.float32)
        return {"locate": Points(place, np.ones(1, np.float32), ("head",))}


def faulty(video: Path, plan: FaultPlan) -> LiveSource:
    return LiveSource("camera", Faulty(video, plan), backoff=SWIFT)


def gathered(*arguments: Any, **options: Any) -> tuple[Tally, list[Prediction]]:
    found: list[Prediction] = []
    tally = watch(*arguments, on_answer=found.append, **options)
    return tally, found


def test_file_mode_answers_every_frame_as_predict_does(video: Path, detector: Path, tmp_path: Path) -> None:
    predictor = load(detector, threads=1)
    sources = [PictureSource(write_png(tmp_path / "a.png")), VideoSource(video)]
    tally, found = gathered(predictor, sources)
    for ours, theirs in zip(found, predict_all(predictor, sources, workers=1), strict=True):
        assert ours.results is not None and theirs.results is not None
        assert same(ours.results["detect"], theirs.results["detect"])
        assert (ours.index, ours.time_s, ours.captured_at) == (theirs.index, theirs.time_s, None)
    assert tally.answered == tally.captured == FRAMES + 1
    assert tally.balanced


def test_file_mode_feeds_a_predictor_with_a_past_in_order_one_stream_a_source(video: Path) -> None:
    predictor = Remembering()
    tally, found = gathered(predictor, [VideoSource(video), VideoSource(video, "again")])
    assert predictor.streams == [FRAMES, FRAMES]
    assert predictor.closed == 2
    assert [p.index for p in found] == [*range(FRAMES)] * 2
    assert tally.answered == 2 * FRAMES and tally.balanced


@pytest.mark.parametrize("workers", [1, 3])
def test_live_mode_answers_in_order_with_times_of_capture(video: Path, detector: Path, workers: int) -> None:
    predictor = load(detector, threads=1)
    options = WatchOptions(queue=FRAMES, max_age_s=3600, workers=workers)
    tally, found = gathered(predictor, Paced(VideoSource(video)), (), "live", options=options)
    assert [p.index for p in found] == list(range(FRAMES))
    captured = np.array([p.captured_at for p in found], np.float64)
    assert np.diff(captured) == pytest.approx([0.04] * (FRAMES - 1), abs=1e-6)
    assert all(p.age_s is not None and 0 <= p.age_s < 60 for p in found)
    assert len(tally.ages) == tally.answered == FRAMES and tally.balanced


class Gate:
    """A source that gives `count` frames, then opens the network's gate: those that did not fit are gone."""

    name, length, rate = "gate", None, None

    def __init__(self, count: int) -> None:
        self.count, self.open, self.first = count, threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[Frame | Fault]:
        pixels = np.zeros((4, 4, 3), np.uint8)
        for index in range(self.count):
            yield Frame(self.name, index, index / 25, lambda: pixels, captured_s=None)
            if index == 0:
                assert self.first.wait(30)
        self.open.set()


def test_live_mode_keeps_the_newest_and_counts_what_it_drops() -> None:
    source = Gate(20)

    def infer(inputs: dict[str, Any]) -> dict[str, Any]:
        source.first.set()
        assert source.open.wait(30)
        return {
            "locate.points": np.zeros((1, 1, 2), np.float32),
            "locate.visible": np.ones((1, 1), np.float32),
        }

    predictor = Predictor(Signature(("locate",), ("a",), {"clip": InputSpec((4, 4))}), infer)
    options = WatchOptions(queue=3, max_age_s=3600)
    tally, found = gathered(predictor, source, (), "live", options=options)
    assert [p.index for p in found] == [0, 17, 18, 19]
    assert (tally.captured, tally.answered, tally.dropped) == (20, 4, 16)
    assert tally.balanced


def test_answers_that_are_too_old_are_not_given_and_counted(video: Path) -> None:
    predictor = Slowed(Remembering(), 0.02)
    options = WatchOptions(queue=3, max_age_s=0.005)
    tally, found = gathered(predictor, Paced(VideoSource(video)), (), "live", options=options)
    assert found == []
    assert tally.late + tally.dropped == tally.captured == FRAMES and tally.balanced


def test_a_live_source_survives_breaks_noise_and_clock_jumps_and_every_frame_is_accounted_for(
    video: Path,
) -> None:
    plan = FaultPlan.scattered(300, disconnects=20, corrupt=15, jumps=5, refusals=2, seed=3)
    source = faulty(video, plan)
    predictor = Remembering()
    tally, found = gathered(predictor, source)
    answered = [p for p in found if p.fault is None]
    assert source.packets == 300
    assert tally.disconnects == 20
    assert tally.clock_jumps >= 1
    assert tally.corrupt >= 1
    assert tally.captured == tally.answered == len(answered) == source.decoded
    assert tally.lost == 300 - len(answered)
    assert [p.index for p in answered] == list(range(len(answered)))
    times = [p.time_s for p in answered if p.time_s is not None]
    assert len(times) == len(answered) and times == sorted(times)
    assert sum(p.fault is not None and "lost: broken on purpose" in p.fault for p in found) == 20
    assert 1 < len(predictor.streams) <= 21  # what came before a break is no past for what comes after


def test_the_same_plan_fails_the_same_way_twice(video: Path) -> None:
    plan = FaultPlan.scattered(120, disconnects=5, corrupt=12, jumps=3, seed=1)
    runs = [gathered(Remembering(), faulty(video, plan)) for _ in range(2)]
    (first, answers), (second, again) = runs
    assert [(p.index, p.fault) for p in answers] == [(p.index, p.fault) for p in again]
    assert (first.lost, first.corrupt) == (second.lost, second.corrupt)
    assert first.corrupt > 0


def test_a_source_that_stays_away_ends_with_a_fault(video: Path) -> None:
    plan = FaultPlan(50, disconnects=frozenset({10}), refusals=10_000)
    source = LiveSource("camera", Faulty(video, plan), backoff=SWIFT, give_up_s=0.05)
    tally, found = gathered(Remembering(), source)
    assert tally.answered == 10
    assert found[-1].fault == "gone for 0.05 s: refused on purpose"


def test_a_source_that_never_was_there_is_an_error() -> None:
    def connect() -> Any:
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(MediaError, match="camera: cannot be opened"):
        watch(Remembering(), LiveSource("camera", connect), mode="live")


@pytest.mark.parametrize("mode", ["live", "file"])
def test_a_limit_of_frames_ends_it_and_the_rest_is_counted(video: Path, detector: Path, mode: Any) -> None:
    predictor = load(detector, threads=1)
    before = threading.active_count()
    options = WatchOptions(frames=5, max_age_s=3600)
    tally, found = gathered(predictor, faulty(video, FaultPlan(10_000)), (), mode, options=options)
    assert len(found) == tally.answered == 5
    assert tally.balanced
    assert threading.active_count() == before


def test_setting_stop_ends_a_live_source_that_waits_for_its_connection(video: Path) -> None:
    plan = FaultPlan(50, disconnects=frozenset({10}), refusals=10_000)
    source = LiveSource("camera", Faulty(video, plan), backoff=Backoff(60, 60))
    stop = threading.Event()
    tally = watch(Remembering(), source, stop=stop, on_answer=lambda p: stop.set() if p.fault else None)
    assert tally.answered == 10 and tally.balanced


class Breaking:
    """A sink that cannot go on after a few predictions."""

    def __init__(self, *, draws: bool) -> None:
        self.needs_pixels, self.taken, self.left_with = draws, 0, None

    def __enter__(self) -> Breaking:
        return self

    def __exit__(self, *error: Any) -> None:
        self.left_with = error[0]

    def write(self, prediction: Prediction) -> None:
        assert (prediction.pixels is not None) == self.needs_pixels
        self.taken += 1
        if self.taken == 3:
            raise OSError("the disk is full")


@pytest.mark.parametrize("draws", [True, False])
def test_a_sink_that_breaks_ends_it_with_its_error(video: Path, draws: bool) -> None:
    sink = Breaking(draws=draws)
    before = threading.active_count()
    with pytest.raises(OSError, match="disk is full"):
        watch(Remembering(), VideoSource(video), [sink])
    assert sink.left_with is OSError
    assert threading.active_count() == before


def test_an_error_in_the_network_comes_out_of_watch(video: Path) -> None:
    def infer(inputs: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("the network broke")

    predictor = Predictor(Signature(("locate",), ("a",), {"clip": InputSpec((8, 8))}), infer)
    for mode in ("live", "file"):
        with pytest.raises(RuntimeError, match="the network broke"):
            watch(predictor, VideoSource(video), (), mode)


def test_models_of_several_pictures_are_refused(video: Path) -> None:
    inputs = {"left": InputSpec((8, 8)), "right": InputSpec((8, 8))}
    predictor = Predictor(Signature(("locate",), ("a",), inputs), lambda _: {})
    with pytest.raises(UsageError, match="the model reads left, right"):
        watch(predictor, VideoSource(video), (), "live")


class Resized:
    """A camera whose resolution changes as it runs."""

    name, length, rate = "camera", None, None

    def __iter__(self) -> Iterator[Frame | Fault]:
        for index, side in enumerate((8, 8, 12, 12, 12)):
            pixels = np.zeros((side, side, 3), np.uint8)
            yield Frame(self.name, index, index / 25, partial(np.copy, pixels))


def test_a_change_of_resolution_begins_the_stream_anew() -> None:
    predictor = Remembering()
    tally, _ = gathered(predictor, Resized())
    assert predictor.streams == [2, 3]
    assert tally.answered == 5


def test_options_below_one_are_refused() -> None:
    with pytest.raises(UsageError, match="above 0"):
        WatchOptions(queue=0)
