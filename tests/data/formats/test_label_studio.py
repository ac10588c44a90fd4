from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import label_studio_cases as cases
from data.formats.reading_help import Read, dataset, read
from sightline.core import label_studio_rle
from sightline.core.errors import FormatError, SightlineError
from sightline.core.geometry import fill_polygons
from sightline.core.records import Annotation, Record, Rle
from sightline.data.formats import label_studio
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions

FIXTURES = Path(__file__).parent / "label_studio"
EXPORTS = ["export.json", "min.json", "export.csv"]
CONTROLS = sorted(p.name for p in FIXTURES.iterdir() if p.is_dir())


def made(control: str, export: str = "export.json") -> Read:
    return read(label_studio, FIXTURES / control / export, media=FIXTURES / control / "media")


def pixels(control: str, name: str) -> np.ndarray:
    picture = cv2.imread(str(FIXTURES / control / "media" / name))
    assert picture is not None
    return np.asarray(picture[:, :, 0] > 128)


def assert_covers(found: np.ndarray, painted: np.ndarray) -> None:
    """Equal but for the rim, a pixel wide: OpenCV paints every pixel that an edge touches."""
    core, hull = (f(painted.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for f in (cv2.erode, cv2.dilate))
    assert core.any() and not (core & ~found).any() and not (found & ~hull).any()


def write_tasks(folder: Path, result: Any, **more: Any) -> Path:
    task = {"id": 1, "data": {"image": "a.png"}, "annotations": [{"id": 1, "result": result}]} | more
    path = folder / "export.json"
    path.write_text(json.dumps([task]))
    return path


def test_there_is_a_fixture_of_the_real_server_for_every_control() -> None:
    assert sorted(cases.CONFIGS) == CONTROLS


@pytest.mark.parametrize("export", EXPORTS)
@pytest.mark.parametrize("control", CONTROLS)
def test_every_export_of_every_control_is_sniffed_and_read(control: str, export: str) -> None:
    assert export in (label_studio.sniff(FIXTURES / control / export) or "")
    found = made(control, export)
    assert found.records
    assert {r.media for r in found.records} >= {
        next(iter((FIXTURES / control / "media").iterdir())).name
    } or (control == "rectangle")


@pytest.mark.parametrize("export", EXPORTS)
def test_a_turned_rectangle_lies_on_the_pixels_painted_under_it(export: str) -> None:
    found = made("rectangle", export)
    plain, turned = found.marks("cells one.png")
    assert found.names("cells one.png") == ["red cell", "細胞"]
    assert plain.box == pytest.approx((16, 9, 64, 36)) and plain.kind == "box"
    np.testing.assert_allclose(turned.polygons[0], cases.turned(*cases.TURNED), atol=1e-6)
    painted = pixels("rectangle", "cells one.png")
    painted[:, :80] = False
    assert_covers(fill_polygons(turned.polygons, cases.SIZE_WH), painted)
    assert turned.box == pytest.approx((90, 15, 134.641016, 52.320508))


@pytest.mark.parametrize("export", EXPORTS)
def test_the_latest_of_several_annotators_is_read_and_the_rest_is_noted(export: str) -> None:
    found = made("rectangle", export)
    (only,) = found.marks("two opinions.png")
    assert only.box == pytest.approx((20, 10, 60, 30))
    assert any("1 others with 2 marks are left out" in note for note in found.ledger.notes)


def test_skipped_tasks_are_dropped_and_predictions_noted_but_neither_counts_against_the_limit() -> None:
    found = made("rectangle")
    assert [e.reason for e in found.ledger.entries] == [label_studio_tasks_skipped()]
    assert found.ledger.dropped_share() == 0
    assert any(note.startswith("1 predictions") for note in found.ledger.notes)
    assert "zellen_ü.png" not in {r.media for r in found.records}


def label_studio_tasks_skipped() -> str:
    from sightline.data.formats.label_studio_tasks import SKIPPED

    return SKIPPED


def test_media_elsewhere_keep_their_address_and_server_names_lose_their_hash() -> None:
    media = [r.media for r in made("rectangle").records]
    assert media == [
        "cells one.png",
        "two opinions.png",
        "https://example.org/far/one.jpg",
        "s3://bucket/two.jpg",
        "set/a b.png",
    ]


@pytest.mark.parametrize("export", EXPORTS)
def test_a_polygon_and_an_ellipse_lie_on_the_pixels_painted_under_them(export: str) -> None:
    (leaf,) = made("polygon", export).marks("leaf.png")
    np.testing.assert_allclose(leaf.polygons[0], cases.RING, atol=1e-9)
    (egg,) = made("ellipse", export).marks("egg.png")
    assert_covers(fill_polygons(egg.polygons, cases.SIZE_WH), pixels("ellipse", "egg.png"))


@pytest.mark.parametrize("export", EXPORTS)
def test_a_brush_is_the_mask_that_was_painted_and_that_the_servers_converter_draws(export: str) -> None:
    (stain,) = made("brush", export).marks("stain.png")
    assert stain.mask is not None
    np.testing.assert_array_equal(stain.mask.decode(), cases.brush_mask())
    drawn = cv2.imread(str(FIXTURES / "brush" / "converter.png"), cv2.IMREAD_UNCHANGED)
    assert drawn is not None
    np.testing.assert_array_equal(stain.mask.decode(), drawn > 0)


@pytest.mark.parametrize("export", EXPORTS)
def test_a_point_is_visible_and_frames_without_one_or_marked_invisible_are_not(export: str) -> None:
    found = made("keypoint", export)
    seen, told, empty = [r.annotations for r in found.records]
    assert seen[0].point == pytest.approx(cases.BALL) and seen[0].visible
    assert [(a.visible, a.kind) for a in (*told, *empty)] == [(False, "point")] * 2
    assert found.classes == ("ball",)


@pytest.mark.parametrize("export", EXPORTS)
def test_choices_become_labels_of_the_whole_picture(export: str) -> None:
    found = made("choices", export)
    assert found.names("a.png") == ["cat"]
    assert found.names("b.png") == ["cat", "dog, small"]
    assert {a.kind for r in found.records for a in r.annotations} == {"label"}


def test_results_that_share_an_id_are_one_region_with_its_words_as_attributes() -> None:
    box, ring = made("regions").marks("street.png")
    assert (box.kind, ring.kind) == ("box", "polygon")
    assert dict(box.attributes) == {"state": "parked", "plate": "B-X 12"}


@pytest.mark.parametrize("export", ["min.json", "export.csv"])
def test_words_beside_regions_are_dropped_where_the_export_does_not_say_whose_they_are(export: str) -> None:
    found = made("regions", export)
    assert [a.kind for a in found.marks("street.png")] == ["box", "polygon"]
    assert found.ledger.dropped["annotation"] == 2


@pytest.mark.parametrize("export", EXPORTS)
def test_a_video_gives_a_record_a_frame_with_boxes_between_key_frames(export: str) -> None:
    found = made("video", export)
    assert [r.frame for r in found.records] == list(range(cases.FRAMES))
    assert found.records[3].time_s == pytest.approx(0.3)
    boxes = [[a for a in r.annotations if a.kind == "box"] for r in found.records]
    assert [len(b) for b in boxes] == [1] * 8 + [0, 0, 1, 1]
    xs = [b[0].box[0] for b in boxes if b and b[0].box]
    assert xs == pytest.approx([8, 18, 28, 38, 48, 52, 56, 60, 90, 90])
    assert len({b[0].track for b in boxes if b}) == 1
    phases = [sum(a.kind == "label" for a in r.annotations) for r in found.records]
    assert phases == [0, 0, 1, 1, 1, 1] + [0] * 6


def test_a_video_labelled_at_another_rate_is_matched_by_time(tmp_path: Path) -> None:
    task = json.loads((FIXTURES / "video" / "export.json").read_text())
    value = task[0]["annotations"][0]["result"][0]["value"]
    value["framesCount"] = 24  # 20 frames a second on the page, 10 in the file
    for key in value["sequence"]:
        key["frame"] = (key["frame"] - 1) * 2 + 1
    path = tmp_path / "export.json"
    path.write_text(json.dumps(task))
    found = read(label_studio, path, media=FIXTURES / "video" / "media")
    xs = [a.box[0] for r in found.records for a in r.annotations if a.kind == "box" and a.box]
    assert xs == pytest.approx([8, 18, 28, 38, 48, 52, 56, 60, 90, 90])
    assert any("matched by time" in note for note in found.ledger.notes)


def test_a_folder_is_read_by_its_native_export_though_lesser_ones_lie_beside_it() -> None:
    assert label_studio.sniff(FIXTURES / "polygon")
    assert made("polygon", ".").marks("leaf.png")[0].source.startswith("/0/annotations/0/result/0")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[{", ":1:3"),
        ('[{"data": {"image": "a.png"}, "annotations":\n [{"result": [NaN]}]}]', ":2:15"),
        ('[{"data": {"image": "a.png"}, "annotations": 3}]', "/0/annotations"),
        ('[{"data": [], "annotations": []}]', "/0/data"),
        (
            '[{"data": {"image": "a.png"}, "annotations": [{"result": [{"value": 1}]}]}]',
            "/0/annotations/0/result/0/value",
        ),
        ("[3]", "/0"),
        ("3", "list of tasks"),
    ],
)
def test_broken_json_is_an_error_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "export.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=place.replace("/", r"\/")):
        read(label_studio, path)


def test_a_value_of_the_wrong_kind_is_named_by_its_pointer(tmp_path: Path) -> None:
    value = {"x": "far", "y": 1, "width": 2, "height": 3, "rectanglelabels": ["a"]}
    path = write_tasks(tmp_path, [{"id": "r", "original_width": 4, "original_height": 4, "value": value}])
    with pytest.raises(FormatError, match="/0/annotations/0/result/0/value/x: must be a number"):
        read(label_studio, path)


def test_a_byte_order_mark_and_names_with_line_breaks_are_read(tmp_path: Path) -> None:
    value = {"x": 10, "y": 1, "width": 2, "height": 3, "rectanglelabels": ["two\nlines", "ночь"]}
    path = write_tasks(tmp_path, [{"id": "r", "original_width": 100, "original_height": 50, "value": value}])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    found = read(label_studio, path)
    assert found.classes == ("two\nlines", "ночь")
    assert found.records[0].annotations[0].box == pytest.approx((10, 0.5, 12, 2))


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.png", "/data/local-files/?d=../a.png", "/data/upload/1/%2e%2e/../x.png"]
)
def test_picture_names_that_climb_out_are_dropped_with_their_marks(tmp_path: Path, name: str) -> None:
    value = {"x": 1, "y": 1, "width": 2, "height": 3, "rectanglelabels": ["a"]}
    path = write_tasks(tmp_path, [{"id": "r", "value": value}], data={"image": name})
    found = read(label_studio, path)
    assert not any(".." in r.media for r in found.records)


@pytest.mark.parametrize(
    ("value", "more", "reason"),
    [
        ({"x": 1, "y": 1, "width": 2, "height": 3}, {}, "no label"),
        ({"vertices": [], "vectorlabels": ["a"]}, {}, "vector regions"),
        (
            {"x": 1, "y": 1, "width": 2, "height": 3, "rectanglelabels": ["a"]},
            {"image_rotation": 90},
            "turned",
        ),
        ({"x": 1, "y": 1, "width": 2, "height": 3, "rectanglelabels": ["a"]}, {"original_width": 0}, "size"),
        ({"text": ["hello"]}, {}, "no choice"),
    ],
)
def test_what_cannot_be_expressed_is_dropped_with_its_reason(
    tmp_path: Path, value: dict[str, Any], more: dict[str, Any], reason: str
) -> None:
    result = {"id": "r", "from_name": "c", "original_width": 10, "original_height": 10, "value": value} | more
    found = read(label_studio, write_tasks(tmp_path, [result]))
    (entry,) = found.ledger.entries
    assert reason in entry.reason


@given(st.integers(1, 40), st.integers(1, 30), st.randoms(use_true_random=False))
def test_brush_masks_come_back_from_their_stream(width: int, height: int, random: Any) -> None:
    mask = np.array([[random.random() < 0.4 for _ in range(width)] for _ in range(height)])
    stream = bytes(label_studio_rle.encode(mask))
    np.testing.assert_array_equal(label_studio_rle.decode(stream, (width, height)), mask)


def test_long_runs_are_split_and_a_stream_cut_short_is_refused() -> None:
    mask = np.ones((300, 400), bool)
    stream = bytes(label_studio_rle.encode(mask))
    assert label_studio_rle.decode(stream, (400, 300)).all()
    with pytest.raises(FormatError, match="cut short"):
        label_studio_rle.decode(stream[:-3], (400, 300))
    with pytest.raises(FormatError, match="values"):
        label_studio_rle.decode(stream, (300, 300))


numbers = st.floats(0, 100, allow_nan=False)
sizes = st.tuples(st.integers(8, 200), st.integers(8, 200))


@st.composite
def marked(draw: st.DrawFn) -> Record:
    width, height = draw(sizes)
    marks: list[Annotation] = []
    for kind in draw(st.lists(st.sampled_from(["box", "ring", "mask", "point", "label"]), max_size=4)):
        x1, y1 = draw(st.floats(0, width - 2)), draw(st.floats(0, height - 2))
        x2, y2 = draw(st.floats(x1 + 1, width)), draw(st.floats(y1 + 1, height))
        if kind == "box":
            marks.append(Annotation(0, (x1, y1, x2, y2)))
        elif kind == "ring":
            ring = np.array([[x1, y1], [x2, y1], [x2, y2]])
            marks.append(Annotation(1, (x1, y1, x2, y2), (ring,)))
        elif kind == "mask":
            mask = np.zeros((height, width), bool)
            mask[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1] = True
            marks.append(Annotation(0, mask=Rle.encode(mask)))
        elif kind == "point":
            marks.append(Annotation(1, point=(x1, y1)))
        else:
            marks.append(Annotation(draw(st.integers(0, 1))))
    return Record("a.png", "a.png", (width, height), tuple(marks), group="g")


def accept(folder: Path) -> Path:
    """What an annotator does who agrees with every pre-annotation."""
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        task["annotations"] = [
            {"id": 1, "completed_by": 1, "result": p["result"]} for p in task["predictions"]
        ]
        task["annotations"] = task["annotations"] or [{"id": 1, "completed_by": 1, "result": []}]
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json"


def test_marks_come_back_from_tasks_that_were_accepted(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=60, deadline=None)
    @given(marked())
    def holds(record: Record) -> None:
        folder = tmp_path_factory.mktemp("tasks") / "out"
        ledger = label_studio.write(dataset(("a & b", '"c"'), [record]), folder)
        assert ledger.dropped["annotation"] == ledger.fixed["annotation"] == 0
        (back,) = read(label_studio, accept(folder)).records
        assert back.group == "g" and back.size_wh in (record.size_wh, (0, 0))
        assert_same(record, back)

    holds()


def assert_same(record: Record, back: Record) -> None:
    """The same marks, whatever their order; points of a class that no picture marks are hidden ones."""
    for kind in ("box", "polygon", "mask", "point", "label"):
        before = [a for a in record.annotations if a.kind == kind]
        after = [a for a in back.annotations if a.kind == kind and a.visible]
        if kind == "label":
            assert {a.label for a in before} == {a.label for a in after}
            continue
        assert [a.label for a in before] == [a.label for a in after]
        for a, b in zip(before, after, strict=True):
            if kind == "mask":
                assert a.mask == b.mask
            elif kind == "polygon":
                np.testing.assert_allclose(a.polygons[0], b.polygons[0], atol=1e-6)
            else:
                assert (a.box or a.point) == pytest.approx(b.box or b.point, abs=1e-6)


@pytest.mark.parametrize("control", ["rectangle", "video"])
def test_what_was_read_from_the_server_is_written_and_read_back(control: str, tmp_path: Path) -> None:
    first = made(control)
    ledger = label_studio.write(dataset(first.classes, first.records), tmp_path / "out")
    assert ledger.dropped["annotation"] == 0
    second = read(label_studio, accept(tmp_path / "out"), media=FIXTURES / control / "media")
    assert second.classes == first.classes

    def plain(found: Read) -> list[Any]:
        return [
            (
                Path(r.media).name,
                r.frame,
                a.label,
                a.kind,
                np.round(a.box or (), 6).tolist(),
                a.attributes.get("rotation"),
            )
            for r in found.records
            for a in sorted(r.annotations, key=lambda a: a.kind)
        ]

    assert plain(second) == plain(first)


def test_the_configuration_lists_every_class_and_gives_the_order_back(tmp_path: Path) -> None:
    record = Record("a.png", "a.png", (10, 10), (Annotation(2, (1.0, 1.0, 2.0, 2.0)),))
    label_studio.write(dataset(("x", "y", "z"), [record]), tmp_path / "out")
    assert read(label_studio, accept(tmp_path / "out")).classes == ("x", "y", "z")


def test_losses_of_writing_are_in_the_ledger(tmp_path: Path) -> None:
    marks = (
        Annotation(0, (1.0, 1.0, 2.0, 2.0), track="t", attributes={"state": "parked"}, crowd=True),
        Annotation(0, (0.0, 0.0, 9.0, 9.0), (np.array([[1.0, 1], [5, 1], [5, 5]]),)),
    )
    unknown = Record("b.png", "b.png", (0, 0), (Annotation(0, (1.0, 1.0, 2.0, 2.0)),))
    ledger = label_studio.write(
        dataset(("x",), [Record("a.png", "a.png", (10, 10), marks), unknown]), tmp_path / "o"
    )
    assert ledger.fixed["annotation"] == 2 and ledger.dropped["annotation"] == 1
    assert len(ledger.entries) == 5


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["x", "y", "width", "height", "points", "rle", "sequence", "frame", "ranges", "choices"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_any_value_in_a_result_is_read_or_refused_in_our_words(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")

    @settings(max_examples=150, deadline=None)
    @given(JSON, st.sampled_from(["a.png", "a.mp4"]))
    def holds(value: Any, media: str) -> None:
        result = [{"id": "r", "from_name": "c", "original_width": 8, "original_height": 9, "value": value}]
        path = write_tasks(folder, result, data={"image": media})
        try:
            label_studio.read(path, ReadOptions(), Ledger())
        except SightlineError as error:
            assert str(path) in str(error)

    holds()


@pytest.mark.parametrize("kind", ["min.json", "rows.csv"])
def test_any_cell_of_the_lesser_exports_is_read_or_refused_in_our_words(
    tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / kind

    @settings(max_examples=120, deadline=None)
    @given(JSON, JSON, st.sampled_from(["a.png", "a.mp4"]))
    def holds(box: Any, other: Any, media: str) -> None:
        row = {"image": media, "id": 1, "annotation_id": 2, "annotator": 3, "box": [box], "other": other}
        if kind.endswith("json"):
            path.write_text(json.dumps([row, row | {"id": 1, "updated_at": "2026"}]))
        else:
            with path.open("w", newline="") as file:
                cells = [v if isinstance(v, str | int) else json.dumps(v) for v in row.values()]
                csv.writer(file).writerows([list(row), cells])
        try:
            label_studio.read(path, ReadOptions(), Ledger())
        except SightlineError as error:
            assert str(path) in str(error)

    holds()
