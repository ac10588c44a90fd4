"""Answers on frames: drawn on the planes as they would be on RGB."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.core.picture import Yuv420, from_rgb
from sightline.core.results import Detections, Points, Result
from sightline.draw import draw_results
from sightline.video.overlay import drawn_on, to_av

SIZE_WH = (1280, 720)


def ground(size_wh: tuple[int, int] = SIZE_WH) -> Yuv420:
    columns, rows = np.meshgrid(np.linspace(40, 200, size_wh[0]), np.linspace(0, 50, size_wh[1]))
    rgb = np.stack([columns, columns / 2 + rows, 200 - rows], -1).astype(np.uint8)
    return from_rgb(rgb, "bt709", False)


def located(*places: tuple[float, float], visible: float = 1.0) -> dict[str, Result]:
    points = np.array(places, np.float32)
    return {"locate": Points(points, np.full(len(places), visible, np.float32), ("shuttle",))}


@pytest.mark.parametrize("place", [(640.0, 360.0), (3.0, 2.0), (1279.5, 719.5), (700.25, 10.0)])
def test_points_and_trails_look_as_they_do_when_the_whole_frame_is_drawn(place: tuple[float, float]) -> None:
    picture, results = ground(), located(place)
    trail = np.array([place]) + np.linspace(-60, 0, 12)[:, None] * (1, -0.5)
    trail[4] = np.nan
    drawn = drawn_on(picture, results, [trail])
    whole = draw_results(picture.rgb(), results, trails=[trail])
    assert isinstance(drawn, Yuv420)
    # Chroma has half the size, so colours differ at the marks' edges; luma must not.
    luma = from_rgb(whole, "bt709", False).y.astype(int)
    assert np.abs(drawn.y.astype(int) - luma).max() <= 8
    assert np.abs(drawn.y.astype(int) - picture.y).max() > 60


def test_the_frame_itself_is_left_alone_and_far_from_marks_nothing_changes() -> None:
    picture = ground()
    before = picture.copied()
    drawn = drawn_on(picture, located((200.0, 200.0)))
    assert isinstance(drawn, Yuv420)
    assert np.array_equal(picture.y, before.y) and np.array_equal(picture.u, before.u)
    assert np.array_equal(drawn.y[:, 640:], before.y[:, 640:])
    assert np.array_equal(drawn.v[:, 320:], before.v[:, 320:])


def test_a_frame_without_anything_in_sight_is_a_plain_copy() -> None:
    picture = ground()
    drawn = drawn_on(picture, located((200.0, 200.0), visible=0.1))
    assert isinstance(drawn, Yuv420)
    assert np.array_equal(drawn.y, picture.y) and drawn.y is not picture.y


def test_other_answers_and_small_or_odd_frames_are_drawn_whole() -> None:
    boxes = np.array([[10, 10, 90, 90]], np.float32)
    found = Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int64), ("a",))
    assert isinstance(drawn_on(ground(), {"detect": found}), np.ndarray)
    assert isinstance(drawn_on(ground((320, 240)), located((50.0, 50.0))), np.ndarray)
    assert isinstance(drawn_on(ground().rgb(), located((50.0, 50.0))), np.ndarray)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_frames_for_encoding_name_their_colours_and_keep_them(matrix: str, full: bool) -> None:
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[:, :48] = (200, 40, 30)
    frame = to_av(from_rgb(rgb, matrix, full))  # type: ignore[arg-type]
    assert (frame.width, frame.height, frame.format.name) == (96, 64, "yuv420p")
    back = frame.to_ndarray(format="rgb24")
    assert np.abs(back[:, :40].astype(int) - (200, 40, 30)).max() <= 4
    assert np.abs(back[:, 56:].astype(int)).max() <= 4


def test_odd_sides_are_made_even() -> None:
    picture = Yuv420(np.zeros((51, 61), np.uint8), np.zeros((26, 31), np.uint8), np.zeros((26, 31), np.uint8))
    for odd in (picture, picture.rgb()):
        frame = to_av(odd)
        assert (frame.width, frame.height) == (62, 52)
