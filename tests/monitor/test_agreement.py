from __future__ import annotations

import numpy as np
import pytest

from sightline.core.results import (
    ClassScores,
    DepthMap,
    Detections,
    PanopticMap,
    Points,
    SemanticMap,
)
from sightline.monitor.agreement import agreement

NAMES = ("apple", "pear")
BOXES = np.array([[0, 0, 10, 10], [20, 20, 40, 40], [50, 0, 60, 10]], np.float32)


def boxes(*rows: int, label: int = 0, shift: float = 0.0) -> Detections:
    chosen = BOXES[list(rows)] + np.float32(shift)
    return Detections(chosen, np.linspace(0.9, 0.5, len(rows)), np.full(len(rows), label), NAMES)


def test_what_is_the_same_agrees_and_what_shares_nothing_does_not() -> None:
    area = np.array([[0, 1], [1, 255]], np.uint8)
    segments = np.array([[0, 0], [1, -1]], np.int32)
    other = np.array([[-1, 1], [0, 0]], np.int32)
    pairs = {
        "classify": (ClassScores([0.9, 0.1], NAMES), ClassScores([0.4, 0.6], NAMES)),
        "detect": (boxes(0, 1), boxes(0, 1, label=1)),
        "segment": (SemanticMap(area, NAMES), SemanticMap(np.array([[1, 0], [0, 255]], np.uint8), NAMES)),
        "panoptic": (PanopticMap(segments, [0.9, 0.8], [0, 1], NAMES),
                     PanopticMap(other, [0.9, 0.8], [0, 1], NAMES)),
        "locate": (Points([[5, 5]], [0.9], ("ball",)), Points([[5, 12]], [0.9], ("ball",))),
        "depth": (DepthMap(np.full((2, 2), 2.0)), DepthMap(np.full((2, 2), 3.0))),
    }  # fmt: skip
    for task, (a, b) in pairs.items():
        assert agreement({task: a}, {task: a}) == {task: 1.0}
        assert agreement({task: a}, {task: b}) == {task: 0.0}


def test_boxes_agree_by_the_share_that_has_a_partner() -> None:
    assert agreement({"detect": boxes(0, 1, 2)}, {"detect": boxes(0)}) == {"detect": pytest.approx(0.5)}
    assert agreement({"detect": boxes(0)}, {"detect": boxes(0, shift=1)}) == {"detect": 1.0}
    assert agreement({"detect": boxes()}, {"detect": boxes()}) == {"detect": 1.0}


def test_points_agree_within_four_pixels_or_where_both_see_none() -> None:
    seen = Points([[5, 5], [9, 9]], [0.9, 0.1], ("a", "b"))
    near = Points([[8, 5], [50, 50]], [0.8, 0.2], ("a", "b"))
    lost = Points([[8, 5], [9, 9]], [0.1, 0.9], ("a", "b"))
    assert agreement({"locate": seen}, {"locate": near}) == {"locate": 1.0}
    assert agreement({"locate": seen}, {"locate": lost}) == {"locate": 0.0}


def test_tasks_of_one_alone_and_results_of_other_kinds_are_left_out() -> None:
    a = {"detect": boxes(0), "depth": DepthMap(np.ones((2, 2)))}
    assert agreement(a, {"classify": ClassScores([1.0, 0.0], NAMES)}) == {}
    assert agreement(a, {"detect": boxes(0), "depth": DepthMap(np.ones((3, 3)))}) == {"detect": 1.0}
