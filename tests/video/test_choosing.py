"""What the rules of `collect` ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sightline.core.errors import UsageError
from sightline.core.results import ClassScores, Detections, Points, Result, SemanticMap
from sightline.core.specs import InputSpec, Signature
from sightline.video.choosing import Every, Look, Motion, Rule, Scenes, Unsure, doubt
from sightline.video.sources import Frame, Pixels


def look(index: int, pixels: Pixels | None = None, time_s: float | None = None) -> Look:
    picture = np.zeros((90, 160, 3), np.uint8) if pixels is None else pixels
    return Look(Frame("film", index, time_s, lambda: picture))


def asked(rule: Rule, looks: list[Look], *, keeping: bool = True) -> list[int]:
    """Places the rule asks for, each kept where it does."""
    rule.begin()
    out = []
    for at, found in enumerate(looks):
        if rule.why(found):
            out.append(at)
            if keeping:
                rule.kept(found)
    return out


def square(left: int, grey: int = 90) -> Pixels:
    picture = np.full((90, 160, 3), grey, np.uint8)
    picture[30:60, left : left + 30] = 250
    return picture


def test_every_takes_one_in_so_many_frames_from_the_first_on() -> None:
    assert asked(Every(3), [look(i) for i in range(8)]) == [0, 3, 6]


def test_every_in_seconds_goes_by_the_frames_own_times_whatever_the_rate() -> None:
    assert asked(Every(seconds=1), [look(i, time_s=0.3 * i) for i in range(9)]) == [0, 4, 8]


def test_every_in_seconds_starts_again_where_a_clock_is_set_back() -> None:
    times = [100.0, 100.5, 101.0, 3.0, 3.5, 4.0]
    assert asked(Every(seconds=1), [look(i, time_s=t) for i, t in enumerate(times)]) == [0, 2, 3, 5]


def test_every_counts_pictures_over_all_of_them() -> None:
    assert asked(Every(2), [look(-1) for _ in range(5)]) == [0, 2, 4]


@pytest.mark.parametrize("values", [{}, {"frames": 2, "seconds": 1.0}, {"frames": -1}])
def test_every_names_one_positive_step(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Every(**values)


def test_motion_asks_when_enough_changed_since_the_last_one_kept_and_not_for_noise() -> None:
    random = np.random.default_rng(0)
    still = [
        np.clip(square(20) + random.normal(0, 4, (90, 160, 3)), 0, 255).astype(np.uint8) for _ in range(4)
    ]
    moved = [square(20 + 2 * i) for i in range(1, 9)]
    places = asked(Motion(0.02), [look(i, p) for i, p in enumerate(still + moved)])
    assert places and places[0] >= 4
    # 30 rows by 2 columns a step, at both ends: 2% of 14,400 pixels need three steps.
    assert np.diff(places).min() >= 2


def test_scenes_ask_at_the_start_and_at_a_cut_but_not_while_a_picture_changes_slowly() -> None:
    slow = [square(20, 90 + 2 * i) for i in range(10)]
    cut = [square(100, 220) for _ in range(3)]
    assert asked(Scenes(), [look(i, p) for i, p in enumerate(slow + cut)]) == [0, 10]


def test_scenes_do_not_take_a_shaking_camera_for_cuts() -> None:
    random = np.random.default_rng(1)
    wild = [random.integers(0, 2, (18, 32, 3)).astype(np.uint8) * 255 for _ in range(20)]
    places = asked(Scenes(), [look(i, p.repeat(5, 0).repeat(5, 1)) for i, p in enumerate(wild)])
    assert len(places) <= 2


NAMES = ("a", "b")


def boxes(*scores: float) -> Detections:
    rows = np.tile(np.float32([0, 0, 5, 5]), (len(scores), 1))
    return Detections(rows, np.float32(scores), np.zeros(len(scores), np.int64), NAMES)


@pytest.mark.parametrize(
    ("result", "task", "expected"),
    [
        (ClassScores(np.float32([0.5, 0.5]), NAMES), "classify", 1.0),
        (ClassScores(np.float32([0.9, 0.1]), NAMES), "classify", 0.2),
        (boxes(), "detect", 0.0),
        (boxes(0.4), "detect", 1.0),
        (boxes(1.0, 0.1), "detect", 0.25),
        (boxes(0.7), "detect", 0.5),
        (Points(np.float32([[1, 1]]), np.float32([0.5]), NAMES), "locate", 1.0),
        (Points(np.float32([[1, 1]]), np.float32([0.95]), NAMES), "locate", 0.1),
        (SemanticMap(np.zeros((2, 2), np.uint8), NAMES), "segment", 0.0),
    ],
)
def test_doubt_is_one_at_the_threshold_and_none_at_the_ends(
    result: Result, task: str, expected: float
) -> None:
    assert doubt({task: result}, {"detect": 0.4}) == pytest.approx(expected, abs=1e-6)


class Doubting:
    """Answers with the brightness of the picture as its score, and remembers how many streams were opened."""

    signature = Signature(("locate",), ("ball",), {"image": InputSpec((32, 32))})

    def __init__(self) -> None:
        self.opened = 0

    def open_stream(self) -> Doubting:
        self.opened += 1
        return self

    def push(self, inputs: dict[str, Pixels]) -> dict[str, Result]:
        score = np.float32([inputs["image"].mean() / 255])
        return {"locate": Points(np.float32([[3, 4]]), score, ("ball",))}

    def predict(self, batch: Any) -> Any:
        raise AssertionError("frames in order go through a stream")


def test_unsure_asks_for_the_frames_a_model_doubts_and_keeps_its_answer() -> None:
    model = Doubting()
    rule = Unsure(model, 0.8)  # type: ignore[arg-type]
    greys = (5, 120, 250, 128)
    places = asked(rule, [look(i, np.full((9, 16, 3), grey, np.uint8)) for i, grey in enumerate(greys)])
    assert places == [1, 3] and model.opened == 1
    assert rule.results["locate"].visible[0] == pytest.approx(128 / 255)  # type: ignore[union-attr]


def test_unsure_refuses_a_model_without_scores() -> None:
    model = Doubting()
    model.signature = Signature(("segment",), ("ball",), {"image": InputSpec((32, 32))})
    with pytest.raises(UsageError, match="no scores to doubt"):
        Unsure(model, 0.5)  # type: ignore[arg-type]
