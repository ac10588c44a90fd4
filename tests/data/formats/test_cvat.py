from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.test_frames import make_video
from data.formats.made_marks import CLASSES, assert_same_marks, record
from data.formats.reading_help import dataset, read
from sightline.core.errors import FormatError, SightlineError
from sightline.core.geometry import polygon_area
from sightline.core.records import Annotation, Record
from sightline.data.formats import cvat
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>t</name><size>10</size><start_frame>0</start_frame><stop_frame>9</stop_frame>
  <labels><label><name>unused</name></label><label><name>car</name><color>#fff</color></label></labels></task>
  <original_size><width>64</width><height>48</height></original_size><source>clip.mp4</source></meta>
"""
BOX = 'xtl="10.0" ytl="20.0" xbr="30.0" ybr="40.0"'
SHAPES = f"""  <image id="0" name="a b/ü.png" subset="Train" width="100" height="60">
    <box label="car" source="manual" occluded="1" {BOX} z_order="0" group_id="4">
      <attribute name="plate">B-X 12</attribute></box>
    <box label="car" occluded="0" {BOX} rotation="90.0"></box>
    <polygon label="leaf" points="1.5,2.5;20.00,2.5;20,30" occluded="0"></polygon>
    <points label="eye" points="5.0,6.0;7.0,8.0"></points>
    <mask label="spot" rle="1, 2, 3, 2, 1" left="10" top="20" width="3" height="3"></mask>
    <ellipse label="egg" cx="50" cy="30" rx="20" ry="10" rotation="0"></ellipse>
    <tag label="sunny"></tag>
    <polyline label="lane" points="1,2;3,4"></polyline>
    <cuboid label="crate" xtl1="1"></cuboid>
  </image>
"""


def write_xml(folder: Path, body: str, head: str = HEAD, name: str = "annotations.xml") -> Path:
    path = folder / name
    path.write_text(head + body + "</annotations>\n", encoding="utf-8")
    return path


def tracks(body: str) -> str:
    return f'<track id="7" label="car" source="manual">{body}</track>'


def test_every_shape_of_an_image_is_read_or_dropped_with_its_reason(tmp_path: Path) -> None:
    path = write_xml(tmp_path, SHAPES)
    assert cvat.sniff(path) == "annotations.xml is CVAT XML with images"
    found = read(cvat, path)
    assert found.classes == ("unused", "car", "leaf", "eye", "spot", "egg", "sunny")
    (one,) = found.records
    assert (one.media, one.size_wh, one.partition) == ("a b/ü.png", (100, 60), "train")
    box, turned, leaf, eye, other, spot, egg, sunny = one.annotations
    assert box.box == (10, 20, 30, 40)
    assert dict(box.attributes) == {"plate": "B-X 12", "occluded": "1", "group_id": "4"}
    np.testing.assert_allclose(turned.polygons[0], [(30, 20), (30, 40), (10, 40), (10, 20)], atol=1e-9)
    np.testing.assert_allclose(leaf.polygons[0], [(1.5, 2.5), (20, 2.5), (20, 30)])
    assert [eye.point, other.point] == [(5, 6), (7, 8)]
    assert spot.mask is not None
    expected = np.zeros((60, 100), bool)
    expected[20:23, 10:13] = [[0, 1, 1], [0, 0, 0], [1, 1, 0]]
    np.testing.assert_array_equal(spot.mask.decode(), expected)
    area = polygon_area(egg.polygons[0])
    assert area == pytest.approx(math.pi * 200, rel=0.002)
    assert sunny.kind == "label"
    assert [e.place for e in found.ledger.entries] == [
        "annotations.xml: line 7: polyline (line 16)",
        "annotations.xml: line 7: cuboid (line 17)",
    ]


def test_a_box_turns_clockwise_about_its_centre(tmp_path: Path) -> None:
    shape = '<box label="a" xtl="40" ytl="25" xbr="60" ybr="35" rotation="30"/>'
    path = write_xml(tmp_path, f'<image id="0" name="a.png" width="100" height="60">{shape}</image>')
    (turned,) = read(cvat, path).records[0].annotations
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    np.testing.assert_allclose(turned.polygons[0].mean(axis=0), (50, 30))
    np.testing.assert_allclose(turned.polygons[0][1], (50 + 10 * c + 5 * s, 30 + 10 * s - 5 * c))


def test_tracks_move_between_listed_frames_and_vanish_where_they_are_outside(tmp_path: Path) -> None:
    make_video(tmp_path / "clip.mp4", 10)
    body = (
        f'<box frame="1" outside="0" occluded="0" keyframe="1" {BOX}/>'
        '<box frame="3" outside="0" occluded="1" keyframe="1" xtl="14" ytl="20" xbr="34" ybr="40"/>'
        f'<box frame="4" outside="1" occluded="0" keyframe="1" {BOX}/>'
        f'<box frame="8" outside="0" occluded="0" keyframe="1" {BOX}/>'
    )
    imported, _ = import_dataset(write_xml(tmp_path, tracks(body)), tmp_path / "out")
    xs = [[a.box[0] for a in r.annotations if a.box] for r in imported.records]
    assert xs == [[], [10], [12], [14], [], [], [], [], [10], [10]]
    marks = [a for r in imported.records for a in r.annotations]
    assert {a.track for a in marks} == {"7"}
    assert [dict(a.attributes) for a in marks] == [
        {},
        {"interpolated": "true"},
        {"occluded": "1"},
        {},
        {"interpolated": "true"},
    ]
    assert imported.records[3].time_s == pytest.approx(0.3)


def test_a_point_out_of_sight_is_hidden_and_not_absent(tmp_path: Path) -> None:
    body = (
        '<points frame="0" outside="0" keyframe="1" points="1,2"/>'
        '<points frame="2" outside="1" keyframe="1" points="3,4"/>'
    )
    found = read(cvat, write_xml(tmp_path, tracks(body)))
    assert [(r.annotations[0].visible, r.annotations[0].point) for r in found.records[:4]] == [
        (True, (1, 2)),
        (True, (2, 3)),
        (False, (3, 4)),
        (False, (3, 4)),
    ]
    assert [len(r.annotations) for r in found.records] == [1] * 10


def test_frames_past_the_end_of_the_video_are_dropped(tmp_path: Path) -> None:
    make_video(tmp_path / "clip.mp4", 4)
    found = read(cvat, write_xml(tmp_path, tracks(f'<box frame="2" outside="0" keyframe="1" {BOX}/>')))
    assert [r.frame for r in found.records] == [0, 1, 2, 3]
    assert found.ledger.dropped == {"picture": 6, "annotation": 6}


def test_an_image_export_of_a_video_names_its_frames(tmp_path: Path) -> None:
    body = f'<image id="6" name="frame_000006" width="64" height="48"><box label="car" {BOX}/></image>'
    (one,) = read(cvat, write_xml(tmp_path, body)).records
    assert (one.media, one.frame, one.group) == ("clip.mp4", 6, "clip.mp4")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('<image id="0" name="a.png" width="x" height="1"/>', r":7: width is 'x'"),
        (
            '<image id="0" name="a.png">\n<box label="a" xtl="1" ytl="a" xbr="1" ybr="1"/></image>',
            r":8: ytl is 'a'",
        ),
        (
            '<image id="0" name="a.png"><box xtl="1" ytl="1" xbr="1" ybr="1"/></image>',
            r":7: <box> has no label",
        ),
        ('<image id="0" name="a.png"><box label="a" xtl="1"/></image>', r":7: <box> has no ytl"),
        (
            '<image id="0" name="a.png"><polygon label="a" points="1,2;3"/></image>',
            r":7: point '3' is not x,y",
        ),
        (
            '<image id="0" name="a.png" width="9" height="9"><mask label="a" rle="1,2" '
            'left="0" top="0" width="2" height="2"/></image>',
            r":7: run lengths sum to 3, the crop has 2x2 pixels",
        ),
        (
            '<track id="0" label="a"><box frame="99999999" xtl="1" ytl="1" xbr="2" ybr="2"/></track>',
            "the limit is",
        ),
        ("<image>", r"not well-formed XML"),
    ],
)
def test_broken_xml_is_an_error_with_its_line(tmp_path: Path, body: str, message: str) -> None:
    path = write_xml(tmp_path, body)
    with pytest.raises(FormatError, match=message):
        read(cvat, path)


def test_xml_with_entities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations><version>1.1</version>&b;</annotations>')
    with pytest.raises(FormatError, match="entities"):
        read(cvat, path)


def test_picture_names_that_climb_out_are_dropped_with_their_marks(tmp_path: Path) -> None:
    body = f'<image id="0" name="../../x.png" width="99" height="99"><box label="car" {BOX}/></image>'
    found = read(cvat, write_xml(tmp_path, body))
    assert found.ledger.dropped == {"picture": 1, "annotation": 1} and not found.records


def test_numbers_that_are_none_reach_the_checks_as_such(tmp_path: Path) -> None:
    shape = '<box label="a" xtl="nan" ytl="1" xbr="5" ybr="inf"/>'
    path = write_xml(tmp_path, f'<image id="0" name="a.png" width="9" height="9">{shape}</image>')
    options = ReadOptions(check_media=False)
    imported, ledger = import_dataset(path, tmp_path / "out", options=options, media="none", drop_limit=1.0)
    assert ledger.dropped["annotation"] == 1 and len(imported.records) == 1


def test_marks_of_pictures_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=60, deadline=None)
    @given(record())
    def holds(one: Record) -> None:
        folder = tmp_path_factory.mktemp("cvat") / "out"
        assert not cvat.write(dataset(CLASSES, [one]), folder).entries
        back = read(cvat, folder)
        assert back.classes == CLASSES
        assert (back.records[0].media, back.records[0].size_wh) == (one.media, one.size_wh)
        assert_same_marks(list(one.annotations), list(back.records[0].annotations))

    holds()


@given(st.lists(st.sampled_from("b.h"), min_size=1, max_size=12), st.sampled_from(["box", "point"]))
def test_tracks_of_videos_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, sight: list[str], kind: str
) -> None:
    """In sight (b), gone (.), or hidden (h, for points) at each frame."""
    records = []
    for i, state in enumerate(sight):
        mark = Annotation(1, (i + 1.0, 2.0, i + 5.0, 8.0), track="t") if kind == "box" else None
        mark = mark or Annotation(1, point=(i + 1.0, 2.0), visible=state == "b", track="t")
        gone = state == "." or (state == "h" and kind == "box")
        records.append(Record(f"v.mp4#{i}", "v.mp4", (64, 48), () if gone else (mark,), i, "v.mp4"))
    folder = tmp_path_factory.mktemp("tracks") / "out"
    assert not cvat.write(dataset(CLASSES, records), folder).entries
    back = read(cvat, folder).records
    assert [r.frame for r in back] == [r.frame for r in records]
    for before, after in zip(records, back, strict=True):
        shown = [[a for a in r.annotations if a.visible] for r in (before, after)]
        assert_same_marks(*shown)
        hidden = [a for a in before.annotations if not a.visible]
        assert len([a for a in after.annotations if not a.visible]) >= len(hidden)


def test_attributes_turned_boxes_and_losses_of_writing(tmp_path: Path) -> None:
    first = read(cvat, write_xml(tmp_path, SHAPES))
    ledger = cvat.write(dataset(first.classes, first.records), tmp_path / "out")
    assert not ledger.entries
    again = read(cvat, tmp_path / "out")
    assert [dict(a.attributes) for a in again.records[0].annotations] == [
        dict(a.attributes) for a in first.records[0].annotations
    ]
    assert_same_marks(list(first.records[0].annotations), list(again.records[0].annotations))
    bad = Annotation(0, (1.0, 1.0, 2.0, 2.0), crowd=True, attributes={"a\0": "b"})
    hidden = Annotation(0, point=(0.0, 0.0), visible=False)
    named = Record("a\x01.png", "a\x01.png", (9, 9), (bad,))
    ledger = cvat.write(
        dataset(("x",), [Record("p.png", "p.png", (9, 9), (bad, hidden)), named]), tmp_path / "o"
    )
    assert ledger.dropped == {"annotation": 2, "picture": 1} and ledger.fixed["annotation"] == 1


def test_any_attributes_are_read_or_refused_in_our_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    key = st.sampled_from(
        [
            "xtl",
            "ytl",
            "xbr",
            "ybr",
            "points",
            "rle",
            "left",
            "top",
            "width",
            "height",
            "cx",
            "cy",
            "rx",
            "ry",
            "rotation",
            "label",
            "frame",
        ]
    )
    value = st.sampled_from(
        ["", "1", "0", "-1", "nan", "1e400", "1,2;3,4", "99999999999", "x", "0,4", "é", "２"]
    )
    tag = st.sampled_from(["box", "polygon", "points", "mask", "ellipse", "tag", "skeleton"])

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(["image", "track"]), tag, st.dictionaries(key, value))
    def holds(parent: str, name: str, values: dict[str, str]) -> None:
        given_values = "".join(f' {k}="{v}"' for k, v in values.items())
        body = (
            f'<{parent} id="0" label="a" name="a.png" width="4" height="4"><{name}{given_values}/></{parent}>'
        )
        path = write_xml(folder, body)
        try:
            list(cvat.read(path, ReadOptions(), Ledger()).records)
        except SightlineError as error:
            assert str(path) in str(error)

    holds()
