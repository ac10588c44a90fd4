from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.geometry import box_iou, move_points, placement, warp
from sightline.core.problem import AugmentSection
from sightline.core.records import Annotation, Record, Rle
from sightline.core.specs import InputSpec
from sightline.train.augment import Draw, Move, colour_matrix, draw, generator, on_canvas, recolour
from sightline.train.labels import Labeller

SOURCE_WH, SPEC = (90, 70), InputSpec((64, 80))
BOX = (30.0, 20.0, 62.0, 48.0)
RING = np.array([[30, 20], [62, 20], [62, 48], [30, 48]], np.float64)
MOVES = st.builds(
    Move,
    flip_x=st.sampled_from([-1.0, 1.0]),
    flip_y=st.sampled_from([-1.0, 1.0]),
    degrees=st.floats(-180, 180),
    scale=st.floats(0.6, 1.6),
    shear_xy=st.tuples(st.floats(-10, 10), st.floats(-10, 10)),
    shift_xy=st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)),
)


def no_map(record: Record, task: str) -> Any:
    raise AssertionError(task)


def record(*marks: Annotation, **fields: Any) -> Record:
    return Record("r", "r.png", SOURCE_WH, marks, **fields)


def bright() -> np.ndarray:
    """A picture that is bright exactly in BOX."""
    picture = np.zeros((*SOURCE_WH[::-1], 3), np.uint8)
    picture[20:48, 30:62] = 255
    return picture


def hull(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@settings(max_examples=60, deadline=None)
@given(MOVES)
def test_boxes_masks_and_points_follow_the_pixels(move: Move) -> None:
    matrix = on_canvas(placement(SOURCE_WH, SPEC), move, SPEC.size_wh)
    pixels = warp(bright(), matrix, SPEC.size_wh)[:, :, 0] >= 128
    marks = (
        Annotation(1, box=BOX, polygons=(RING,)),
        Annotation(1, box=BOX, mask=Rle.encode(bright()[:, :, 0] > 0)),
        Annotation(0, point=(46.0, 34.0)),
    )
    labeller = Labeller({"instances", "locate"}, ("a", "b"), no_map, min_visible=0.0)
    target = labeller(record(*marks), matrix, SPEC.size_wh)
    for mask, box in zip(target["masks"], target["boxes"], strict=True):
        union = (mask | pixels).sum()
        assert (mask ^ pixels).sum() <= max(0.12 * union, 12)
        assert np.abs(np.array(hull(mask)) - box).max() <= 1.01
    x, y = move_points(np.array([46.0, 34.0]), matrix)
    inside = 0 <= x < SPEC.size_wh[0] and 0 <= y < SPEC.size_wh[1]
    assert target["visible"].tolist() == [float(inside), 0.0]
    if inside:
        assert np.allclose(target["points"][0], (x, y), atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(MOVES)
def test_a_plain_box_holds_all_of_its_pixels(move: Move) -> None:
    matrix = on_canvas(placement(SOURCE_WH, SPEC), move, SPEC.size_wh)
    pixels = warp(bright(), matrix, SPEC.size_wh)[:, :, 0] >= 128
    labeller = Labeller({"detect"}, ("a",), no_map, min_visible=0.0)
    target = labeller(record(Annotation(0, box=BOX)), matrix, SPEC.size_wh)
    if not len(target["boxes"]):
        assert pixels.sum() <= 2 * max(SPEC.size_wh)
        return
    if pixels.any():
        x1, y1, x2, y2 = target["boxes"][0]
        found = hull(pixels)
        assert x1 <= found[0] + 1 and y1 <= found[1] + 1 and x2 >= found[2] - 1 and y2 >= found[3] - 1


def test_a_quarter_turn_moves_a_box_exactly() -> None:
    matrix = on_canvas(placement((80, 80), InputSpec((80, 80))), Move(degrees=90), (80, 80))
    target = Labeller({"detect"}, ("a",), no_map)(
        Record("r", "r", (80, 80), (Annotation(0, box=(10, 20, 30, 25)),)), matrix, (80, 80)
    )
    assert np.allclose(target["boxes"], [[55, 10, 60, 30]], atol=1e-4)


def test_a_rotated_outline_gives_a_tighter_box_than_its_corners() -> None:
    angles = np.linspace(0, 2 * math.pi, 40)[:-1]
    disc = np.stack([45 + 15 * np.cos(angles), 35 + 15 * np.sin(angles)], 1)
    mark = Annotation(0, box=(30, 20, 60, 50), polygons=(disc,))
    matrix = on_canvas(placement(SOURCE_WH, InputSpec(SOURCE_WH)), Move(degrees=45), SOURCE_WH)
    (box,) = Labeller({"detect"}, ("a",), no_map)(record(mark), matrix, SOURCE_WH)["boxes"]
    assert np.allclose(box[2:] - box[:2], 30, atol=0.2)


def test_boxes_mostly_off_the_canvas_are_left_out_but_crowds_keep_their_flag() -> None:
    marks = (
        Annotation(0, box=(0, 0, 20, 20)),
        Annotation(1, box=(60, 30, 80, 50), crowd=True),
        Annotation(2, box=(17, 0, 37, 20)),
    )
    matrix = on_canvas(placement(SOURCE_WH, InputSpec(SOURCE_WH)), Move(shift_xy=(-0.2, 0)), SOURCE_WH)
    target = Labeller({"detect"}, "abc", no_map, min_visible=0.5)(record(*marks), matrix, SOURCE_WH)
    assert target["labels"].tolist() == [1, 2]
    assert target["crowd"].tolist() == [True, False]
    assert target["boxes"][1].tolist() == [0, 0, 19, 20]


def test_an_invisible_point_stays_invisible_through_a_flip() -> None:
    marks = (Annotation(0, point=(0.0, 0.0), visible=False), Annotation(1, point=(10.0, 20.0)))
    matrix = on_canvas(placement(SOURCE_WH, InputSpec(SOURCE_WH)), Move(flip_x=-1), SOURCE_WH)
    target = Labeller({"locate"}, ("a", "b"), no_map)(record(*marks), matrix, SOURCE_WH)
    assert target["visible"].tolist() == [0, 1]
    assert target["points"].tolist() == [[0, 0], [80, 20]]


def test_dense_maps_move_with_the_pixels_and_are_void_outside() -> None:
    segment = np.zeros(SOURCE_WH[::-1], np.uint8)
    segment[20:48, 30:62] = 1
    depth = np.where(segment, 2.5, 7.0).astype(np.float32)
    panoptic = segment.astype(np.int32)
    maps = {"segment": segment, "depth": depth, "panoptic": panoptic}
    spec = InputSpec((70, 110))
    matrix = on_canvas(placement(SOURCE_WH, spec), Move(flip_x=-1), spec.size_wh)
    marks = (Annotation(0, box=(0, 0, 90, 70)), Annotation(1, box=BOX))
    labeller = Labeller({"segment", "depth", "panoptic"}, ("a", "b"), lambda r, task: maps[task])
    named = dict.fromkeys(maps, "x")
    target = labeller(record(*marks, maps=named), matrix, spec.size_wh)
    assert set(np.unique(target["segment"])) == {0, 1, 255}
    assert ((target["segment"] == 1) == (target["depth"] == 2.5)).all()
    assert ((target["segment"] == 1) == (target["panoptic"] == 1)).all()
    assert ((target["segment"] == 255) == (target["panoptic"] == -1)).all()
    assert ((target["segment"] == 255) == (target["depth"] == 0)).all()


def test_segments_are_painted_from_outlines_where_there_is_no_map() -> None:
    labeller = Labeller({"segment"}, ("background", "nut"), no_map)
    matrix = placement(SOURCE_WH, InputSpec(SOURCE_WH))
    segment = labeller(record(Annotation(1, box=BOX, polygons=(RING,))), matrix, SOURCE_WH)["segment"]
    assert (segment == (bright()[:, :, 0] > 0)).all()


def test_a_picture_that_nobody_labelled_has_no_target_for_classify() -> None:
    labeller = Labeller({"classify"}, ("a",), no_map)
    assert "label" not in labeller(record(Annotation(0, box=BOX)), placement(SOURCE_WH, SPEC), SPEC.size_wh)
    assert labeller(record(Annotation(0)), placement(SOURCE_WH, SPEC), SPEC.size_wh)["label"] == 0


def test_grey_passes_saturation_and_hue_and_brightness_multiplies() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    same = colour_matrix(saturation=1.7, hue=60)
    assert np.abs(recolour(grey, Draw(colour=same)).astype(int) - 100).max() <= 1
    twice = colour_matrix(brightness=1.5)
    assert (recolour(grey, Draw(colour=twice)) == 150).all()
    assert (recolour(grey[:, :, 0], Draw(colour=twice)) == 150).all()
    assert colour_matrix() is None


def test_contrast_turns_about_middle_grey_and_a_full_hue_turn_changes_nothing() -> None:
    picture = np.random.default_rng(0).integers(40, 200, (8, 8, 3)).astype(np.uint8)
    flat = recolour(picture, Draw(colour=colour_matrix(contrast=1e-6)))
    assert np.abs(flat.astype(int) - 127).max() <= 1
    turned = recolour(picture, Draw(colour=colour_matrix(hue=360)))
    assert np.abs(turned.astype(int) - picture).max() <= 1


def test_noise_has_the_spread_it_was_drawn_with_and_is_the_same_again() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    change = Draw(noise=8.0, noise_seed=5)
    noisy = recolour(grey, change)
    assert abs(float(noisy.std()) - 8) < 0.2 and abs(float(noisy.mean()) - 128) < 0.2
    cv2.setRNGSeed(99)
    assert (recolour(grey, change) == noisy).all()


def test_draws_depend_on_seed_epoch_index_and_repeat_alone_and_stay_in_their_ranges() -> None:
    section = AugmentSection(rotate=5, scale=(0.5, 1.5), translate=0.1, shear=2, hue=20, noise=9)
    seen = set()
    for place in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]:
        first, again = draw(generator(*place), section), draw(generator(*place), section)
        assert first.move == again.move and first.noise_seed == again.noise_seed
        seen.add(first.move)
    assert len(seen) == 5
    random = generator(3, 1, 4, 1)
    drawn = [draw(random, section) for _ in range(300)]
    assert all(abs(d.move.degrees) <= 5 and 0.5 <= d.move.scale <= 1.5 for d in drawn)
    assert max(abs(d.move.shift_xy[0]) for d in drawn) <= 0.1
    assert 100 < sum(d.move.flip_x < 0 for d in drawn) < 200


def test_the_moved_box_of_a_flip_overlaps_the_flipped_pixels_fully() -> None:
    matrix = on_canvas(placement(SOURCE_WH, InputSpec(SOURCE_WH)), Move(flip_x=-1, flip_y=-1), SOURCE_WH)
    pixels = warp(bright(), matrix, SOURCE_WH)[:, :, 0] >= 128
    target = Labeller({"detect"}, ("a",), no_map)(record(Annotation(0, box=BOX)), matrix, SOURCE_WH)
    assert box_iou(target["boxes"], np.array([hull(pixels)]))[0, 0] == pytest.approx(1)
