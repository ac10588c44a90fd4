from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.core.errors import DatasetError, MediaError
from sightline.core.picture import as_rgb
from sightline.core.results import Points
from sightline.core.specs import InputSpec, Signature
from sightline.data.dataset import Dataset
from sightline.evaluate.evaluation import evaluate
from sightline.evaluate.films import follow, in_order, pictures_of
from train.dots import dot_dataset


class Brightest:
    """Finds the mean place of bright pixels; its stream counts the frames it was shown."""

    def __init__(self) -> None:
        self.signature = Signature(("locate",), ("ball",), {"clip": InputSpec((96, 64), frames=3)})
        self.shown: list[int] = []

    def predict(self, batch: Any) -> Any:
        raise AssertionError("films are answered by the stream")

    def open_stream(self) -> Any:
        self.shown.append(0)
        return self

    def push(self, inputs: Any) -> Any:
        self.shown[-1] += 1
        ys, xs = np.nonzero(as_rgb(inputs["clip"])[..., 0] > 150)
        seen = len(xs) > 4
        point = (xs.mean() + 0.5, ys.mean() + 0.5) if seen else (0.0, 0.0)
        return {"locate": Points(np.array([point], np.float32), np.array([seen], np.float32), ("ball",))}


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dot_dataset(tmp_path_factory.mktemp("dots"), films=3, frames=10)


def test_every_frame_of_every_film_is_answered_in_order_by_a_stream_of_its_own(dots: Dataset) -> None:
    finder = Brightest()
    found = follow(finder, dots, [r.id for r in dots.records])
    assert finder.shown == [10, 10, 10]
    figures = found.columns().values()
    assert figures["f1"][0] == 1 and figures["median_px"][0] < 0.6 and figures["false_alarms"][0] == 0


def test_frames_between_the_records_are_shown_and_not_measured(dots: Dataset) -> None:
    finder = Brightest()
    ids = [r.id for r in dots.records if r.frame in (3, 8)]
    answered = [sample.target.id for sample, _ in in_order(finder, dots, ids)]
    assert answered == ids and finder.shown == [9, 9, 9]


def test_a_report_over_films_has_the_figures_of_tracks(dots: Dataset, tmp_path: Path) -> None:
    report = evaluate(Brightest(), dots, [r.id for r in dots.records], films=True, gallery=0, bootstrap=20)
    assert report.metrics["locate.hit_f1"].value == 1 and report.metrics["locate.jumps"].value == 0
    assert report.metrics["locate.jitter_px"].value < 1.5


def test_pictures_have_no_order(dots: Dataset) -> None:
    class Still:
        def record(self, name: str) -> Any:
            from dataclasses import replace

            return replace(dots.record(name), frame=-1)

    with pytest.raises(DatasetError, match="no frame of a video"):
        next(in_order(Brightest(), Still(), [dots.records[0].id]))  # type: ignore[arg-type]


def test_what_is_no_film_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(MediaError, match=r"a\.mp4"):
        next(pictures_of(tmp_path / "a.mp4"))
