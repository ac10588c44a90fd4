from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.core.records import Annotation, Record, Rle
from sightline.core.results import (
    RESULT_TYPES,
    ClassScores,
    DepthMap,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)
from sightline.draw import contact_sheet, draw_comparison, draw_record, draw_result, draw_results
from sightline.draw.text import cut, one_line, put_text, text_size
from sightline.draw.theme import class_colour, ink_on

NAMES = ("ball", "球", "a name that is far too long to fit the picture it stands on")


def grey(width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 120, np.uint8)


def shows(drawn: NDArray[np.uint8], row: int, column: int, colour: tuple[int, int, int]) -> bool:
    """Whether a colour stands at a pixel or beside it; lines are smoothed, so nearly is enough."""
    near = drawn[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3).astype(float)
    return bool((np.abs(near - colour).max(axis=1) < 25).any())


def result_of(task: str, width: int, height: int) -> Result:
    box = np.array([[0.1 * width, 0.2 * height, 0.8 * width, 0.9 * height]])
    mask = np.zeros((1, height, width), bool)
    mask[:, height // 4 : height // 2 + 1, width // 4 : width // 2 + 1] = True
    segments = np.where(mask[0], 0, -1)
    made: dict[str, Result] = {
        "classify": ClassScores(np.array([0.2, 0.7, 0.1]), NAMES),
        "detect": Detections(box, np.array([0.9]), np.array([1]), NAMES),
        "segment": SemanticMap(np.where(mask[0], 1, 255), NAMES),
        "instances": Instances(box, np.array([0.9]), np.array([2]), mask, NAMES),
        "panoptic": PanopticMap(segments, np.array([0.9]), np.array([0]), NAMES),
        "locate": Points(np.array([[width / 2, height / 2]]), np.array([0.8]), NAMES[:1]),
        "depth": DepthMap(np.where(mask[0], 3.0, 0.0)),
    }
    return made[task]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size_wh", [(1, 1), (7, 300), (100, 100), (640, 480), (2000, 30)])
@pytest.mark.parametrize("task", RESULT_TYPES)
def test_a_result_of_every_type_is_drawn_at_any_picture_size(
    task: str, size_wh: tuple[int, int], dark: bool
) -> None:
    picture = grey(*size_wh)
    drawn = draw_result(picture, result_of(task, *size_wh), dark=dark)
    assert drawn.shape == picture.shape and drawn.dtype == np.uint8
    assert (picture == 120).all(), "the source picture is not touched"
    if min(size_wh) >= 48:  # smaller ones have no room for names
        assert (drawn != picture).any()


def test_a_box_is_drawn_in_its_class_colour_where_it_is() -> None:
    result = Detections(np.array([[20.5, 30.5, 80.5, 90.5]]), np.array([1.0]), np.array([1]), NAMES)
    drawn = draw_result(grey(200, 200), result)
    assert shows(drawn, 60, 20, class_colour(1))
    assert tuple(drawn[60, 50]) == (120, 120, 120), "the inside stays as it was"


def test_scale_enlarges_picture_and_labels_together() -> None:
    record = Record("a", "a", (50, 40), (Annotation(0, (10.0, 10.0, 40.0, 30.0)),))
    drawn = draw_record(grey(50, 40), record, NAMES, scale=8)
    assert drawn.shape == (320, 400, 3)
    assert shows(drawn, 160, 80, class_colour(0))


def test_rows_below_the_least_score_are_left_out() -> None:
    result = Detections(np.array([[20.0, 30.0, 80.0, 90.0]]), np.array([0.3]), np.array([1]), NAMES)
    assert (draw_result(grey(200, 200), result, min_score=0.5) == 120).all()


def test_a_record_with_every_kind_of_mark_is_drawn() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:20, 10:20] = True
    ring = np.array([(30.0, 5.0), (60.0, 5.0), (45.0, 30.0)])
    marks = (
        Annotation(0, (5.0, 30.0, 25.0, 55.0), crowd=True),
        Annotation(1, (30.0, 5.0, 60.0, 30.0), polygons=(ring,)),
        Annotation(2, (10.0, 10.0, 20.0, 20.0), mask=Rle.encode(mask)),
        Annotation(0, point=(70.0, 50.0)),
        Annotation(0, point=(60.0, 50.0), visible=False),
        Annotation(9),
    )
    drawn = draw_record(grey(80, 60), Record("a", "a", (80, 60), marks), NAMES, scale=3)
    at_mask, at_ring, at_hidden = drawn[45, 45], drawn[45, 135], drawn[149, 180]
    assert all((at != 120).any() for at in (at_mask, at_ring, at_hidden))


def test_emphasised_marks_stand_out_from_the_others() -> None:
    marks = (Annotation(0, (20.0, 20.0, 80.0, 80.0)), Annotation(0, (100.0, 100.0, 180.0, 180.0)))
    record = Record("a", "a", (200, 200), marks)
    drawn = draw_record(grey(200, 200), record, NAMES, emphasis={1})
    assert tuple(drawn[50, 20]) != tuple(drawn[140, 100])


def test_truth_and_result_stand_side_by_side() -> None:
    record = Record("a", "a", (100, 80), (Annotation(0, (10.0, 10.0, 40.0, 30.0)),))
    both = {"detect": result_of("detect", 100, 80), "classify": result_of("classify", 100, 80)}
    assert draw_comparison(grey(100, 80), record, both, NAMES).shape[1] > 200
    assert draw_comparison(grey(100, 80), record, both["detect"], NAMES).shape[0] > 80


def test_several_tasks_are_drawn_on_one_picture() -> None:
    results = {task: result_of(task, 200, 150) for task in RESULT_TYPES}
    assert draw_results(grey(200, 150), results).shape == (150, 200, 3)


def test_a_trail_has_a_gap_where_the_object_was_not_in_sight() -> None:
    trail = np.array([(10.0, 100.0), (40.0, 100.0), (np.nan, np.nan), (120.0, 100.0), (150.0, 100.0)])
    point = Points(np.array([(150.0, 100.0)]), np.array([0.9]), ("ball",))
    drawn = draw_result(grey(300, 200), point, trails=[trail])
    assert (drawn[100, 25] != 120).any() and (drawn[100, 80] == 120).all()


def test_a_contact_sheet_holds_every_picture_and_refuses_what_does_not_match() -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    pictures = [np.full((30 + 10 * i, 40, 3), c, np.uint8) for i, c in enumerate(colours)]
    sheet = contact_sheet(pictures, ["a", "b", "c"], title="three", dark=True)
    found = {tuple(int(v) for v in c) for c in sheet.reshape(-1, 3)}
    assert set(colours) <= found
    with pytest.raises(UsageError, match="at least one"):
        contact_sheet([])
    with pytest.raises(UsageError, match="2 captions for 3"):
        contact_sheet(pictures, ["a", "b"])


@given(st.text(max_size=40), st.floats(12, 60), st.floats(5, 400))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_cut_to_a_width_and_drawn(text: str, height: float, width: float) -> None:
    short = cut(text, height, width)
    assert short == "" or text_size(short, height)[0] <= width
    assert not any(c in "\n\r\t\0" for c in one_line(text))
    page: Any = np.zeros((80, 420, 3), np.uint8)
    put_text(page, short, (0, 0), height, (255, 255, 255))


def test_ink_contrasts_with_every_class_colour() -> None:
    def luminance(colour: tuple[int, int, int]) -> float:
        linear = [
            (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in np.array(colour) / 255
        ]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for index in range(40):
        pair = sorted((luminance(class_colour(index)), luminance(ink_on(class_colour(index)))))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, index


def test_the_first_twenty_one_class_colours_differ() -> None:
    assert len({class_colour(i) for i in range(21)}) == 21


def test_a_mark_that_is_no_number_is_left_out() -> None:
    marks = (Annotation(0, (float("nan"), 1.0, 2.0, 3.0)), Annotation(1, point=(float("inf"), 2.0)))
    assert (draw_record(grey(80, 60), Record("a", "a", (80, 60), marks), NAMES) == 120).all()


def test_hundreds_of_boxes_are_drawn() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 400, (800, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 60, (800, 2))], axis=1)
    result = Detections(boxes, np.linspace(1, 0, 800), rng.integers(0, 3, 800), NAMES)
    assert draw_result(grey(460, 460), result).shape == (460, 460, 3)
