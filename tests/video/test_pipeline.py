"""The pipeline: every frame, in order, the same answers as one at a time, and few in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.core.errors import UsageError
from sightline.core.predictor import Predictor
from sightline.core.results import same
from sightline.core.specs import InputSpec, Signature
from sightline.runtime.loading import load
from sightline.video.pipeline import HELD, predict_all, predict_stream
from sightline.video.sources import Fault, Frame, PictureSource, VideoSource
from video.conftest import FRAMES, write_png


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_answers_are_those_of_one_frame_at_a_time_in_order(video: Path, detector: Path, workers: int) -> None:
    predictor = load(detector, threads=1, mode="throughput")
    found = list(predict_stream(predictor, VideoSource(video), workers=workers))
    assert [p.index for p in found] == list(range(FRAMES))
    for frame, prediction in zip(VideoSource(video), found, strict=True):
        assert isinstance(frame, Frame)
        alone = predictor.predict([{"image": frame.picture()}])[0]
        assert prediction.results is not None
        assert same(alone["detect"], prediction.results["detect"])
        assert prediction.size_wh == (160, 120)
        assert prediction.pixels is None


@pytest.mark.parametrize("workers", [1, 3])
def test_clips_are_made_as_a_stream_makes_them(video: Path, clip_model: Path, workers: int) -> None:
    predictor = load(clip_model, threads=1)
    stream = predictor.open_stream()
    found = list(predict_stream(predictor, VideoSource(video), workers=workers))
    answers = [p.results["locate"] for p in found if p.results is not None]
    assert len(answers) == FRAMES
    for frame, answer in zip(VideoSource(video), answers, strict=True):
        assert isinstance(frame, Frame)
        assert same(stream.push({"image": frame.picture()})["locate"], answer)
    assert not same(answers[0], answers[-1])


def test_a_clip_never_reaches_into_another_source(video: Path, clip_model: Path, tmp_path: Path) -> None:
    predictor = load(clip_model, threads=1)
    picture = PictureSource(write_png(tmp_path / "a.png"))
    other = PictureSource(write_png(tmp_path / "b.png", seed=1))
    alone = [next(iter(predict_all(predictor, [s], workers=1))).results for s in (picture, other)]
    mixed = [p.results for p in predict_all(predictor, [VideoSource(video), picture, other], workers=2)]
    for a, b in zip(alone, mixed[-2:], strict=True):
        assert a is not None and b is not None
        assert same(a["locate"], b["locate"])


def test_what_cannot_be_read_is_reported_in_its_place(video: Path, detector: Path, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.png", write_png(tmp_path / "good.png")
    bad.write_bytes(good.read_bytes()[:80])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    sources = [PictureSource(bad), VideoSource(broken), PictureSource(good), VideoSource(video)]
    found = list(predict_all(load(detector, threads=1), sources, workers=2))
    assert len(found) == 3 + FRAMES
    assert "truncated" in (found[0].fault or "")
    assert "cannot be read as video" in (found[1].fault or "")
    assert all(p.fault is None and p.results is not None for p in found[2:])


class Counting:
    """A source without end that counts the frames given out."""

    name, length, rate = "endless", None, None

    def __init__(self) -> None:
        self.given = 0

    def __iter__(self) -> Iterator[Frame | Fault]:
        pixels = np.zeros((20, 30, 3), np.uint8)
        while True:
            yield Frame("endless", self.given, None, lambda: pixels)
            self.given += 1


def test_memory_is_bounded_and_leaving_early_stops_every_thread(detector: Path) -> None:
    source, workers = Counting(), 2
    before = threading.active_count()
    predictions = predict_stream(load(detector, threads=1, mode="throughput"), source, workers=workers)
    for taken in range(40):
        next(predictions)
        assert source.given <= taken + 2 + HELD * workers
    predictions.close()
    assert threading.active_count() == before


def test_an_error_in_the_network_comes_out_where_the_results_do(video: Path) -> None:
    def infer(inputs: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("the network broke")

    spec = InputSpec((8, 8), frames=2)
    predictor = Predictor(Signature(("locate",), ("a",), {"clip": spec}), infer)
    with pytest.raises(RuntimeError, match="the network broke"):
        list(predict_stream(predictor, VideoSource(video), workers=2))


def test_models_that_files_cannot_feed_are_refused(video: Path) -> None:
    inputs = {"image": InputSpec((8, 8)), "depth": InputSpec((8, 8), pixels="depth16")}
    for chosen in (inputs, {"depth": inputs["depth"]}):
        predictor = Predictor(Signature(("depth",), (), chosen), lambda _: {})
        with pytest.raises(UsageError, match="the model reads"):
            list(predict_stream(predictor, VideoSource(video), workers=1))
