"""Geometry: the algebra that every label and pixel goes through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.errors import ModelError
from sightline.core.geometry import (
    box_iou,
    compose,
    fill_polygons,
    invert,
    move_boxes,
    move_points,
    place,
    place_track,
    placement,
    polygon_area,
    warp,
)
from sightline.core.specs import InputSpec

sides = st.integers(1, 3000)
fits = st.sampled_from(["letterbox", "stretch", "crop"])


@given(sides, sides, sides, sides, fits)
def test_placing_points_and_placing_back_moves_nothing(sw: int, sh: int, dw: int, dh: int, fit: str) -> None:
    matrix = placement((sw, sh), InputSpec((dw, dh), fit=fit))  # type: ignore[arg-type]
    points = np.array([[0.0, 0.0], [sw, sh], [sw / 3, sh / 7]])
    back = move_points(move_points(points, matrix), invert(matrix))
    assert np.allclose(back, points, atol=1e-6 * max(sw, sh))


@given(sides, sides, sides, sides)
def test_letterbox_keeps_the_picture_inside_and_centred(sw: int, sh: int, dw: int, dh: int) -> None:
    matrix = placement((sw, sh), InputSpec((dw, dh)))
    box = move_boxes(np.array([[0.0, 0.0, sw, sh]]), matrix)[0]
    assert box[0] >= -1e-6 and box[1] >= -1e-6 and box[2] <= dw + 1e-6 and box[3] <= dh + 1e-6
    assert np.isclose(box[0] + box[2], dw) and np.isclose(box[1] + box[3], dh)


def test_compose_applies_the_first_matrix_first() -> None:
    shift = np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 0.0]])
    double = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    assert np.allclose(move_points(np.array([[1.0, 1.0]]), compose(shift, double)), [[12.0, 2.0]])


def test_the_identity_warp_changes_no_pixel() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)
    out, _ = place(picture, InputSpec((53, 37)))
    assert np.array_equal(out, picture)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_bright_square_lands_where_its_box_lands(factor: int) -> None:
    picture = np.zeros((300, 420, 3), np.uint8)
    picture[60:120, 90:210] = 255
    spec = InputSpec((420 // factor, 300 // factor))
    out, matrix = place(picture, spec)
    x1, y1, x2, y2 = move_boxes(np.array([[90.0, 60.0, 210.0, 120.0]]), matrix)[0]
    ys, xs = np.nonzero(out[..., 0] > 127)
    assert abs(xs.min() - x1) <= 0.5 and abs(xs.max() + 1 - x2) <= 0.5
    assert abs(ys.min() - y1) <= 0.5 and abs(ys.max() + 1 - y2) <= 0.5


def test_the_centre_of_mass_does_not_move_under_odd_shrinking() -> None:
    picture = np.zeros((211, 317), np.uint8)
    picture[100:121, 150:181] = 200
    for scale in (0.9, 0.6, 0.37, 0.21):
        matrix = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
        out = warp(picture, matrix, (317, 211)).astype(float)
        ys, xs = np.mgrid[0.5:211, 0.5:317]
        centre = np.array([(out * xs).sum(), (out * ys).sum()]) / out.sum()
        assert np.allclose(centre, np.array([165.5, 110.5]) * scale, atol=0.05)


def test_iou_of_half_overlapping_boxes_is_a_third() -> None:
    assert np.isclose(box_iou(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2.0]]))[0, 0], 1 / 3)


def test_a_filled_polygon_covers_its_area() -> None:
    ring = np.array([[10.0, 10.0], [60.0, 10.0], [60.0, 40.0], [10.0, 40.0]])
    mask = fill_polygons((ring,), (80, 60))
    assert mask.sum() == polygon_area(ring)
    assert mask[20, 30] and not mask[5, 5]


@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=7))
def test_a_pixel_is_filled_exactly_where_a_ray_from_its_centre_crosses_the_ring_oddly(
    ring: list[Any],
) -> None:
    mask = fill_polygons((np.array(ring),), (20, 16))
    edges = list(zip(ring, ring[1:] + ring[:1], strict=True))
    for row in range(16):
        for column in range(20):
            x, y = column + 0.5, row + 0.5
            crossings = [
                x1 + (y - y1) * (x2 - x1) / (y2 - y1)
                for (x1, y1), (x2, y2) in edges
                if (y1 <= y) != (y2 <= y)
            ]
            if all(abs(c - x) > 1e-9 for c in crossings):
                assert mask[row, column] == (sum(c < x for c in crossings) % 2 == 1)


def test_a_hole_and_parts_outside_the_picture_stay_empty() -> None:
    outer = np.array([[-5.0, -5.0], [10.0, -5.0], [10.0, 30.0], [-5.0, 30.0]])
    hole = np.array([[2.0, 2.0], [6.0, 2.0], [6.0, 6.0], [2.0, 6.0]])
    mask = fill_polygons((outer, hole), (20, 12))
    assert mask.sum() == 10 * 12 - 16


centres = st.tuples(st.floats(-400, 2400), st.floats(-400, 1500))


@given(sides, sides, st.integers(1, 300), st.integers(1, 300), centres)
def test_a_native_window_starts_on_even_pixels_and_lies_about_its_centre(
    sw: int, sh: int, dw: int, dh: int, centre: tuple[float, float]
) -> None:
    matrix = placement((sw, sh), InputSpec((dw, dh), fit="native"), centre)
    assert np.array_equal(matrix[:, :2], np.eye(2))
    assert np.all(matrix[:, 2] % 2 == 0)
    assert np.all(np.abs(move_points(np.array(centre), matrix) - np.array([dw, dh]) / 2) <= 1)


@given(st.tuples(st.floats(-30, 70), st.floats(-30, 60)))
def test_a_native_window_is_a_copy_padded_outside_as_the_warp_would_make_it(
    centre: tuple[float, float],
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (31, 43, 3), np.uint8)
    spec = InputSpec((17, 13), fit="native", pad=99)
    out, matrix = place(picture, spec, centre)
    assert np.array_equal(out, warp(picture, matrix, (17, 13), pad=99))
    assert not np.shares_memory(out, picture)


def test_a_native_window_without_a_centre_is_in_the_middle() -> None:
    assert placement((100, 60), InputSpec((40, 20), fit="native"))[:, 2].tolist() == [-30, -20]


@pytest.mark.parametrize("centre", [(1.0, float("nan")), (1.0,), (1.0, 2.0, 3.0)])
def test_a_centre_that_is_no_point_is_refused(centre: Any) -> None:
    with pytest.raises(ModelError, match="finite"):
        placement((100, 60), InputSpec((40, 20), fit="native"), centre)


def test_hidden_rows_of_a_track_become_zeros_and_the_others_move() -> None:
    track = np.array([[10.0, 20.0, 1.0], [900.0, 30.0, 0.0]])
    placed = place_track(track, np.array([[0.5, 0.0, 3.0], [0.0, 0.5, 0.0]]))
    assert placed.dtype == np.float32 and placed.tolist() == [[8.0, 10.0, 1.0], [0.0, 0.0, 0.0]]
