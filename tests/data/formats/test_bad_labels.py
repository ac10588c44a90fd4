"""Label files that break their grammar: an error of ours with the place, and nothing written."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.errors import FormatError, SightlineError
from sightline.core.media import write_picture
from sightline.data.formats import resolve
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions

BARE = ReadOptions(check_media=False)
SIZE = (64, 48)


def good_coco() -> dict[str, Any]:
    return {
        "images": [{"id": 3, "file_name": "a.png", "width": 64, "height": 48}],
        "categories": [{"id": 9, "name": "ant"}],
        "annotations": [
            {
                "id": 5,
                "image_id": 3,
                "category_id": 9,
                "bbox": [1, 2, 3, 4],
                "segmentation": [[1, 1, 9, 1, 5, 9]],
            }
        ],
    }


def read_coco(folder: Path, text: str | bytes) -> Any:
    path = folder / "labels.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    reading = resolve("coco").read(path, BARE, Ledger())
    assert reading.table is not None
    return reading, list(reading.table)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('{"images": [\n{"id": 1},\n}', "labels.json:3:", "is not JSON"),
        ('{"images": [', "labels.json", "cut short"),
        ("", "labels.json", "empty"),
        ("[]", "labels.json", "expected `object`"),
        ('{"images": []}', "labels.json", "missing required field `categories`"),
        ('{"images": [{"id": []}], "categories": []}', "/images/0/id", "got `array`"),
        (b'{"images": [{"id": 1, "file_name": "\xff"}], "categories": []}', "labels.json", "is not JSON"),
        ("[" * 100_000, "labels.json", "expected `object`"),
    ],
)
def test_malformed_coco_names_the_line_or_the_pointer(
    tmp_path: Path, text: str | bytes, place: str, words: str
) -> None:
    with pytest.raises(FormatError) as error:
        read_coco(tmp_path, text)
    assert place in str(error.value) and words in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[1, 2, 3, 4]", "[1, 2, NaN, 4]", "/annotations/0/bbox/2: NaN is no JSON number"),
        ("[1, 2, 3, 4]", "[1, 2, -Infinity, 4]", "/annotations/0/bbox/2: -Infinity is no JSON number"),
        ("[1, 2, 3, 4]", "[1, 2, 1e999, 4]", "/annotations/0/bbox/2: number out of range"),
        ("[1, 2, 3, 4]", "[1, 2, 3]", "/annotations/0/bbox: has 3 numbers, a box has 4"),
        ("[1, 2, 3, 4]", '"x"', "/annotations/0/bbox: expected"),
        ("[[1, 1, 9, 1, 5, 9]]", "[[1, 1, 9, 1, 5]]", "/annotations/0/segmentation/0: has 5 numbers"),
        ("[[1, 1, 9, 1, 5, 9]]", '{"size": [48, 64], "counts": [7]}', "run lengths sum to 7"),
        ("[[1, 1, 9, 1, 5, 9]]", '{"size": [48, 64], "counts": "\\u007f"}', "is no run-length string"),
        ('"width": 64', '"width": "64"', "/images/0/width: expected"),
        (
            '[{"id": 9, "name": "ant"}]',
            '[{"id": 9, "name": "ant"}, {"id": 1, "name": "ant"}]',
            "'ant' appears twice",
        ),
        (
            '[{"id": 9, "name": "ant"}]',
            '[{"id": 9, "name": "ant"}, {"id": 9, "name": "b"}]',
            "id 9 appears twice",
        ),
        (
            '[{"id": 3, "file_name": "a.png", "width": 64, "height": 48}]',
            '[{"id": 3, "file_name": "a.png"}, {"id": 3, "file_name": "b.png"}]',
            "/images/1: image id 3 appears twice",
        ),
    ],
)
def test_a_wrong_value_in_coco_names_its_pointer(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = json.dumps(good_coco())
    assert old in text
    with pytest.raises(FormatError) as error:
        read_coco(tmp_path, text.replace(old, new, 1))
    assert words in str(error.value)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    _, tables = read_coco(tmp_path, b"\xef\xbb\xbf" + json.dumps(good_coco()).encode())
    assert tables[0].num_rows == 1


def test_marks_of_unknown_images_and_categories_are_dropped_with_their_pointer(tmp_path: Path) -> None:
    tree = good_coco()
    mark = tree["annotations"][0]
    tree["annotations"] += [{**mark, "id": 6, "image_id": 4}, {**mark, "id": 7, "category_id": 1}]
    (tmp_path / "labels.json").write_text(json.dumps(tree))
    _, ledger = import_dataset(tmp_path, tmp_path / "d", options=BARE, media="none", drop_limit=1)
    assert [(e.reason, e.place) for e in ledger.entries] == [
        ("its image_id is not among the images", "labels.json: /annotations/1"),
        ("its category_id is not among the categories", "labels.json: annotation 7"),
    ]
    assert ledger.to_json()["counts"]["annotation"] == {"read": 3, "kept": 1, "fixed": 0, "dropped": 2}


def test_a_coco_polygon_of_two_points_and_keypoints_stand_in_the_ledger(tmp_path: Path) -> None:
    tree = good_coco()
    tree["annotations"][0] |= {"segmentation": [[1, 1, 9, 9]], "keypoints": [1, 1, 2]}
    (tmp_path / "labels.json").write_text(json.dumps(tree))
    _, ledger = import_dataset(tmp_path, tmp_path / "d", options=BARE, media="none", drop_limit=1)
    assert [e.reason for e in ledger.entries] == ["polygon has fewer than three points"]
    assert any("keypoints of 1 annotations are not carried" in note for note in ledger.notes)


VOC = (
    "<annotation><filename>a.png</filename><size><width>64</width><height>48</height></size>"
    "<object><name>ant</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    "</annotation>"
)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("</object>", "\n", "a.xml:2: is not well-formed XML"),
        ("<xmin>2</xmin>", "", "<bndbox> has no <xmin>"),
        ("<xmin>2</xmin>", "<xmin>two</xmin>", "a.xml:1: <xmin> is 'two', not a number"),
        ("<width>64</width>", "<width>-1</width>", "not a size in pixels"),
        ("<annotation>", "<annotations>", "not well-formed"),
        ("<annotation>", '<!DOCTYPE x [<!ENTITY e "eee">]><annotation>', "entities or external references"),
        (VOC, "", "not well-formed"),
        (VOC, "\x00", "not well-formed"),
        (VOC, "<folder/>", "its root is <folder>"),
    ],
)
def test_malformed_voc_names_file_and_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(VOC.replace(old, new, 1))
    with pytest.raises(FormatError) as error:
        resolve("voc").read(tmp_path, BARE, Ledger())
    assert words in str(error.value) and "a.xml" in str(error.value)


def test_voc_counts_from_one_and_nan_in_it_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    write_picture(tmp_path / "Annotations" / "a.png", np.zeros((48, 64, 3), np.uint8))
    second = VOC[VOC.index("<object>") : VOC.index("</annotation>")].replace(">2<", ">nan<")
    (tmp_path / "Annotations" / "a.xml").write_text(VOC.replace("</annotation>", second + "</annotation>"))
    dataset, ledger = import_dataset(tmp_path, tmp_path / "d", drop_limit=1)
    assert [a.box for a in dataset.records[0].annotations] == [(1.0, 2.0, 9.0, 9.0)]
    assert "finite" in ledger.entries[0].reason and "object 2 (line 1)" in ledger.entries[0].place


def yolo(folder: Path, header: str = "names: [ant, bee]\ntrain: images\n", line: str = "") -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    write_picture(folder / "images" / "a.png", np.zeros((48, 64, 3), np.uint8))
    (folder / "labels" / "a.txt").write_text(line)
    (folder / "data.yaml").write_text(header)
    return folder


@pytest.mark.parametrize(
    ("header", "line", "words"),
    [
        ("names: [ant", "", "data.yaml:1: is not YAML"),
        ("names: ant\ntrain: images", "", "names must be a list"),
        ("names: {1: ant}\ntrain: images", "", "they must be 0, 1, 2"),
        ("names: [ant]\nnc: 3\ntrain: images", "", "nc is 3, but there are 1 names"),
        ("names: [ant, ant]\ntrain: images", "", "'ant' appears twice"),
        ("names: [ant]\ntrain: nowhere/pictures", "", "is nowhere under"),
        ("names: [ant]\ntrain: images", "0 0.5 0.5 0.1", "a.txt:1: has 3 numbers after the class"),
        ("names: [ant]\ntrain: images", "0 0.5 0.5 0.1 0.1\n0 x 0.5 0.1 0.1", "a.txt:2: is no label"),
        ("names: [ant]\ntrain: images", "0.5 0.5 0.5 0.1 0.1", "'0.5' is no whole number"),
        ("names: [ant]\ntrain: images", "nan 0.5 0.5 0.1 0.1", "'nan' is no whole number"),
    ],
)
def test_malformed_yolo_names_file_and_line(tmp_path: Path, header: str, line: str, words: str) -> None:
    source = yolo(tmp_path / "s", header, line)
    with pytest.raises(SightlineError) as error:
        import_dataset(source, tmp_path / "d", "yolo")
    assert words in str(error.value) and error.value.exit_code == 2 and not (tmp_path / "d").exists()


def test_yolo_marks_that_cannot_be_are_dropped_with_their_line(tmp_path: Path) -> None:
    lines = "7 0.5 0.5 0.1 0.1\n0 nan 0.5 0.1 0.1\n1 0.5 0.5 0 0.1\n0 0.5 0.5 0.1 0.1\n0 3.5 0.5 0.1 0.1\n"
    source = yolo(tmp_path / "s", line=lines)
    (source / "labels" / "orphan.txt").write_text("")
    dataset, ledger = import_dataset(source, tmp_path / "d", drop_limit=1)
    found = sorted((e.place.rsplit(" ", 1)[-1], e.reason.split(" (")[0]) for e in ledger.entries)
    assert found == [
        ("1", "its class index is not declared"),
        ("2", "a coordinate is not a finite number"),
        ("3", "box has zero area"),
        ("5", "lies wholly outside the picture"),
        ("labels/orphan.txt", "label file has no picture"),
    ]
    assert np.allclose(dataset.records[0].annotations[0].box or (), (28.8, 21.6, 35.2, 26.4))


@pytest.mark.parametrize(
    "train",
    ["images", "./images", "../images", "/data/me/set/images", "C:\\Users\\me\\set\\images", "[images]"],
)
def test_yolo_paths_may_be_relative_absolute_or_of_another_machine(tmp_path: Path, train: str) -> None:
    source = yolo(tmp_path / "s", f"names: [ant]\ntrain: {train}\n", "0 0.5 0.5 0.5 0.5")
    dataset, _ = import_dataset(source, tmp_path / "d")
    assert [r.media for r in dataset.records] == ["images/a.png"] and dataset.records[0].partition == "train"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_value_anywhere_in_coco_escapes_as_another_error(data: st.DataObject) -> None:
    """One value of a good file is replaced by anything at all."""
    tree = good_coco()
    section = data.draw(st.sampled_from(["images", "categories", "annotations"]))
    target: Any = tree[section][0]
    key = data.draw(st.sampled_from(sorted(target)))
    target[key] = data.draw(values)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "labels.json").write_text(json.dumps(tree))
        try:
            dataset, ledger = import_dataset(
                Path(folder) / "labels.json", Path(folder) / "d", "coco", BARE, media="none", drop_limit=1
            )
        except SightlineError:
            assert not (Path(folder) / "d").exists()
        else:
            counts = ledger.to_json()["counts"]["picture"]
            assert counts["read"] == counts["kept"] + counts["fixed"] + counts["dropped"]
            assert len(dataset.records) == counts["read"] - counts["dropped"]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["coco", "voc", "yolo", "coco-panoptic"]), st.data())
def test_no_damage_to_a_label_file_escapes_as_another_error(format: str, data: st.DataObject) -> None:
    """Bytes are cut out, put in or changed anywhere in a good file."""
    panoptic = {**good_coco(), "annotations": [{"image_id": 3, "file_name": "a.png", "segments_info": []}]}
    text, name = {
        "coco": (json.dumps(good_coco()), "labels.json"),
        "coco-panoptic": (json.dumps(panoptic), "labels.json"),
        "voc": (VOC, "Annotations/a.xml"),
        "yolo": ("0 0.5 0.5 0.1 0.1\n1 .1 .1 .2 .2 .3 .1\n", "labels/a.txt"),
    }[format]
    raw = text.encode()
    first = data.draw(st.integers(0, len(raw)))
    last = data.draw(st.integers(first, min(len(raw), first + 30)))
    damaged = raw[:first] + data.draw(st.binary(max_size=6)) + raw[last:]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if format == "yolo":
            yolo(root)
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(damaged)
        source = path if format.startswith("coco") else root
        try:
            import_dataset(source, root / "d", format, BARE, media="none", drop_limit=1)
        except SightlineError as error:
            assert str(error) and not (root / "d").exists()
