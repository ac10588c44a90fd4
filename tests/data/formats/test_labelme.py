from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats.made_marks import CLASSES, assert_same_marks, record
from data.formats.reading_help import dataset, read
from sightline.core.errors import FormatError, SightlineError
from sightline.core.geometry import polygon_area
from sightline.core.records import Annotation, Record
from sightline.data.formats import labelme
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions


def shape(kind: str, points: Any, label: str = "a", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | more


def write_file(folder: Path, shapes: Any, name: str = "a.json", **more: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    value = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "a.png", "imageData": None}
    path = folder / name
    path.write_text(json.dumps(value | {"imageHeight": 60, "imageWidth": 100} | more))
    return path


def encoded(crop: list[list[int]]) -> str:
    return base64.b64encode(bytes(cv2.imencode(".png", np.array(crop, np.uint8) * 255)[1])).decode()


def test_every_shape_is_read_or_dropped_with_its_reason(tmp_path: Path) -> None:
    shapes = [
        shape(
            "polygon", [[1, 2], [9, 2], [9, 8]], "leaf", description="old", flags={"wet": True, "dry": False}
        ),
        shape("rectangle", [[30, 40], [10, 20]]),
        shape("circle", [[50, 30], [50, 40]], "egg"),
        shape("point", [[5.5, 6]], "eye"),
        shape("mask", [[10, 20], [11, 22]], "spot", mask=encoded([[0, 1], [1, 1], [1, 0]])),
        shape("linestrip", [[1, 2], [3, 4]], "lane"),
        shape("line", [[1, 2], [3, 4]], "lane"),
    ]
    path = write_file(tmp_path, shapes, flags={"sunny": True, "night": False})
    assert labelme.sniff(tmp_path) == "a.json has shapes of LabelMe"
    found = read(labelme, path)
    leaf, box, egg, eye, spot, sunny = found.records[0].annotations
    assert found.classes == ("leaf", "a", "egg", "eye", "spot", "sunny")
    assert dict(leaf.attributes) == {"description": "old", "wet": "true"}
    assert box.box == (10, 20, 30, 40) and eye.point == (5.5, 6)
    radii = np.hypot(*(egg.polygons[0] - (50, 30)).T)
    np.testing.assert_allclose(radii, 10)
    assert spot.mask is not None
    np.testing.assert_array_equal(spot.mask.decode()[20:23, 10:12], [[0, 1], [1, 1], [1, 0]])
    assert spot.mask.decode().sum() == 4 and sunny.kind == "label"
    assert [e.place for e in found.ledger.entries] == ["a.json: /shapes/5", "a.json: /shapes/6"]


def test_polygons_of_one_group_are_rings_of_one_thing(tmp_path: Path) -> None:
    rings = [[[0, 0], [9, 0], [9, 9]], [[20, 20], [29, 20], [29, 29]]]
    shapes = [shape("polygon", ring, group_id=1) for ring in rings] + [
        shape("polygon", rings[0], "b", group_id=1)
    ]
    marks = read(labelme, write_file(tmp_path, shapes)).records[0].annotations
    assert [len(a.polygons) for a in marks] == [2, 1]


def test_pictures_are_found_beside_the_file_above_it_or_by_a_foreign_path(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "ночь 1.png"):
        cv2.imwrite(str(tmp_path / "pictures" / name), np.zeros((60, 100, 3), np.uint8))
    box = [shape("rectangle", [[1, 2], [3, 4]])]
    write_file(tmp_path / "labels", box, "a.json", imagePath="..\\pictures\\a.png")
    write_file(tmp_path / "labels", box, "b.json", imagePath="C:\\data\\ночь 1.png")
    imported, _ = import_dataset(tmp_path, tmp_path / "out")
    assert [r.media for r in imported.records] == ["pictures/a.png", "pictures/ночь 1.png"]


def test_picture_names_that_climb_out_are_dropped_with_their_marks(tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"x")
    path = write_file(tmp_path / "in", [shape("rectangle", [[1, 2], [3, 4]])], imagePath="../out.png")
    found = read(labelme, path)
    assert found.ledger.dropped == {"picture": 1, "annotation": 1} and not found.records


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (3, "/shapes: must be a list"),
        ([3], "/shapes/0: must be an object"),
        ([shape("rectangle", [[1, 2]])], "/shapes/0/points: needs 2 points, has 1"),
        ([shape("polygon", [[1, 2], [3]])], "/shapes/0/points/1: must be a pair"),
        ([shape("polygon", [[1, "2"], [3, 4]])], "/shapes/0/points/0/1: must be a number, is text"),
        ([shape("mask", [[1, 2], [3, 4]], mask="%%%")], "/shapes/0/mask: is no base64"),
        ([shape("mask", [[1, 2], [3, 4]], mask="aGVsbG8=")], "/shapes/0/mask: is no picture"),
        ([{"points": [], "shape_type": "polygon"}], "/shapes/0/label: is missing"),
    ],
)
def test_a_broken_file_is_an_error_with_its_pointer(tmp_path: Path, shapes: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(labelme, write_file(tmp_path, shapes))


def test_a_mark_without_number_or_of_two_points_is_dropped_by_the_checks(tmp_path: Path) -> None:
    shapes = [shape("polygon", [[1, 2], [3, 4]]), shape("rectangle", [[1, 2], [3, 1e400]])]
    text = write_file(tmp_path, shapes).read_text().replace("Infinity", "1e400")
    (tmp_path / "a.json").write_text(text)
    options = ReadOptions(check_media=False)
    _, ledger = import_dataset(tmp_path, tmp_path / "out", options=options, media="none", drop_limit=1.0)
    assert ledger.dropped["annotation"] == 2


def test_marks_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=60, deadline=None)
    @given(record(("box", "ring", "mask", "point")))
    def holds(one: Record) -> None:
        folder = tmp_path_factory.mktemp("labelme") / "out"
        assert not labelme.write(dataset(CLASSES, [one]), folder).entries
        back = read(labelme, folder)
        names = [
            [CLASSES[a.label] for a in one.annotations],
            [back.classes[a.label] for a in back.records[0].annotations],
        ]
        assert names[0] == names[1] and back.records[0].size_wh == one.size_wh
        renamed = [
            Annotation(CLASSES.index(n), a.box, a.polygons, a.mask, a.point)
            for n, a in zip(names[1], back.records[0].annotations, strict=True)
        ]
        assert_same_marks(list(one.annotations), renamed)

    holds()


def test_labels_rings_and_attributes_come_back_and_losses_are_told(tmp_path: Path) -> None:
    rings = tuple(np.array(r, np.float64) for r in ([[0, 0], [9, 0], [9, 9]], [[20, 20], [29, 20], [29, 29]]))
    told = {"description": "x", "wet": "true"}
    marks = (Annotation(1), Annotation(0, polygons=rings, attributes=told))
    assert not labelme.write(
        dataset(("a", "b"), [Record("p.png", "p.png", (40, 40), marks)]), tmp_path / "o"
    ).entries
    back = read(labelme, tmp_path / "o").records[0].annotations
    assert [a.kind for a in back] == ["polygon", "label"]
    assert len(back[0].polygons) == 2
    assert dict(back[0].attributes) == told | {"group_id": "rings of 1"}
    hidden = Annotation(0, point=(0.0, 0.0), visible=False)
    strange = Annotation(0, (0.0, 0.0, 1.0, 1.0), track="t", attributes={"colour": "red"})
    both = [Record("p.png", "p.png", (9, 9), (hidden, strange)), Record("p.jpg", "p.jpg", (9, 9))]
    ledger = labelme.write(dataset(("a",), both), tmp_path / "l")
    assert ledger.dropped == {"annotation": 1, "picture": 1} and ledger.fixed["annotation"] == 1


def test_a_circle_has_the_area_of_a_circle(tmp_path: Path) -> None:
    path = write_file(tmp_path, [shape("circle", [[50, 30], [60, 30]])])
    ring = read(labelme, path).records[0].annotations[0].polygons[0]
    area = polygon_area(ring)
    assert area == pytest.approx(math.pi * 100, rel=0.002)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


def test_any_value_is_read_or_refused_in_our_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    kinds = st.sampled_from(["polygon", "rectangle", "circle", "point", "mask", "x"])

    @settings(max_examples=150, deadline=None)
    @given(kinds, VALUES, VALUES, VALUES)
    def holds(kind: str, points: Any, other: Any, name: Any) -> None:
        path = write_file(folder, [shape(kind, points, mask=other, flags=other)], imagePath=name, flags=other)
        try:
            list(labelme.read(path, ReadOptions(), Ledger()).records)
        except SightlineError as error:
            assert str(path) in str(error)

    holds()
