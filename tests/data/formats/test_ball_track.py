from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.test_frames import make_video
from data.formats.reading_help import dataset, read
from sightline.core.errors import FormatError, SightlineError
from sightline.core.records import Annotation, Record
from sightline.data.dataset import Dataset
from sightline.data.formats import ball_track
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions


def write_csv(folder: Path, text: str, name: str = "rally_ball.csv") -> Path:
    path = folder / "csv" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_frames(folder: Path, name: str, numbers: list[int]) -> None:
    place = folder / "frame" / name
    place.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(place / f"{number}.png"), np.zeros((20, 40, 3), np.uint8))


def test_counted_pixels_get_half_a_pixel_and_a_point_at_the_origin_stays_there(tmp_path: Path) -> None:
    write_csv(tmp_path, "Frame,Visibility,X,Y\n0,1,10,5\n1,0,0,0\n2,1,0,0\n3,2,39,19\n4,3,7,7\n")
    write_frames(tmp_path, "rally", [0, 1, 2, 3, 4])
    found = read(ball_track, tmp_path)
    marks = [r.annotations[0] for r in found.records]
    assert [(a.point, a.visible) for a in marks] == [
        ((10.5, 5.5), True),
        ((0.0, 0.0), False),
        ((0.0, 0.0), True),
        ((39.5, 19.5), True),
        ((7.5, 7.5), False),
    ]
    assert [dict(a.attributes) for a in marks[3:]] == [{"visibility": "2"}, {"visibility": "3"}]
    assert [r.media for r in found.records] == [f"frame/rally/{i}.png" for i in range(5)]
    assert {(r.group, r.size_wh) for r in found.records} == {("frame/rally", (40, 20))}
    assert [r.frame for r in found.records] == [0, 1, 2, 3, 4]
    assert "1 points are visible at (0, 0), where tools write a point they do not have" in found.ledger.notes


def test_parts_of_the_sides_are_told_by_their_values(tmp_path: Path) -> None:
    write_csv(tmp_path, "frame_num,x,y,visible\n0,0.25,0.5,1\n1,,,0\n", "rally.csv")
    write_frames(tmp_path, "rally", [0, 1])
    seen, hidden = [r.annotations[0] for r in read(ball_track, tmp_path).records]
    assert seen.point == (10.5, 10.5) and not hidden.visible and hidden.point == (0.0, 0.0)


def test_parts_of_the_sides_of_pictures_that_are_not_there_are_dropped(tmp_path: Path) -> None:
    write_csv(tmp_path, "frame_num,x,y,visible\n0,0.25,0.5,1\n1,0,0,0\n")
    found = read(ball_track, tmp_path)
    assert [e.reason for e in found.ledger.entries] == [ball_track.NO_SIZE] * 2
    assert len(found.records) == 1


def test_frames_of_a_video_are_matched_and_rows_past_its_end_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    make_video(tmp_path / "video" / "rally.mp4", 3)
    write_csv(tmp_path, "Frame,Visibility,X,Y\n" + "".join(f"{i},1,4,4\n" for i in range(5)))
    found = read(ball_track, tmp_path)
    assert [(r.id, r.time_s) for r in found.records] == [
        ("video/rally.mp4#0", 0.0),
        ("video/rally.mp4#1", pytest.approx(0.1)),
        ("video/rally.mp4#2", pytest.approx(0.2)),
    ]
    assert [e.place for e in found.ledger.entries if e.unit == "picture"] == [
        "csv/rally_ball.csv: line 5",
        "csv/rally_ball.csv: line 6",
    ]


def test_frames_counted_from_one_are_moved_where_only_that_fits(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    make_video(tmp_path / "video" / "rally.mp4", 3)
    write_csv(tmp_path, "Frame,Visibility,X,Y\n1,1,4,4\n2,1,4,4\n3,1,4,4\n")
    found = read(ball_track, tmp_path)
    assert [r.frame for r in found.records] == [0, 1, 2]
    assert "csv/rally_ball.csv: frames are counted from 1" in found.ledger.notes


def test_a_label_file_beside_its_pictures_names_them(tmp_path: Path) -> None:
    write_frames(tmp_path, "clip", [3, 4])
    path = tmp_path / "frame" / "clip" / "Label.csv"
    path.write_text(
        "file name,visibility,x-coordinate,y-coordinate,status\n0003.jpg,1,4,5,0\n0004.jpg,0,,,0\n"
    )
    found = read(ball_track, tmp_path)
    assert [(r.media, r.annotations[0].visible) for r in found.records] == [
        ("frame/clip/3.png", True),
        ("frame/clip/4.png", False),
    ]


def test_frames_listed_twice_are_dropped_and_frames_without_a_line_are_noted(tmp_path: Path) -> None:
    write_csv(tmp_path, "Frame,Visibility,X,Y\n0,1,4,4\n0,1,5,5\n")
    write_frames(tmp_path, "rally", [0, 1, 2])
    found = read(ball_track, tmp_path)
    assert found.ledger.dropped == {"picture": 1, "annotation": 1}
    assert "2 frames have no line in their CSV and are left out" in found.ledger.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Frame,Visibility,X,Y\n0,1,ten,4\n", r":2: x is 'ten'"),
        ("Frame,Visibility,X,Y\n0,1,1,4\n\n0.5,1,1,1\n", r":4: frame is '0.5'"),
        ("Frame,Visibility,X,Y\n0,7,1,4\n", r":2: visibility is '7'"),
        ("Frame,Visibility,X,Y\n0,1,1\n", r":2: has 3 cells, the header names 4"),
        ("Frame,Visibility,X,Y\n-1,1,1,1\n", r":2: frame is '-1'"),
        ("Frame,Visibility,X,X,Y\n0,1,1,1,1\n", r":1: a column is named twice"),
        ('Frame,Visibility,X,Y\n"0,1,1,1\n', r"no CSV"),
        ("a,b\n1,2\n", "holds no CSV with the columns"),
    ],
)
def test_a_broken_file_is_an_error_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    write_csv(tmp_path, text)
    with pytest.raises(FormatError, match=message):
        read(ball_track, tmp_path)


def test_points_that_are_no_number_reach_the_checks_as_such(tmp_path: Path) -> None:
    write_csv(tmp_path, "\ufeffFrame,Visibility,X,Y\n0,1,nan,4\n1,1,5,5\n")
    write_frames(tmp_path, "rally", [0, 1])
    imported, ledger = import_dataset(tmp_path, tmp_path / "out", drop_limit=1.0)
    assert ledger.dropped["annotation"] == 1
    assert [len(r.annotations) for r in imported.records] == [0, 1]


@pytest.mark.parametrize("kind", ["images_dataset", "video_dataset"])
def test_the_volleyball_clip_is_imported_from_pictures_and_from_video(
    shared_data: Path, tmp_path: Path, kind: str
) -> None:
    source = shared_data / "volleyball_ball_clip" / "example_datasets" / kind
    hidden, _ = import_dataset(source, tmp_path / "hidden")
    shown, ledger = import_dataset(source, tmp_path / "shown", options=ReadOptions(visible="all"))
    assert [len(list(d.records)) for d in (hidden, shown)] == [21, 21]
    assert not any(r.annotations[0].visible for r in hidden.records)
    assert all(r.annotations[0].visible for r in shown.records)
    assert any("21 points are taken as visible against their column" in note for note in ledger.notes)
    assert shown.records[0].annotations[0].point == pytest.approx((561.5, 458.5))
    assert shown.read(shown.records[20]).shape == (720, 1280, 3)


def test_labels_of_rallies_without_media_are_imported_alone(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "tracknetv3_badminton_test_labels"
    imported, ledger = import_dataset(
        source, tmp_path / "out", options=ReadOptions(check_media=False), media="none"
    )
    assert len(imported.records) == 12656
    assert ledger.dropped["annotation"] == 0
    assert len({r.group for r in imported.records}) == 29
    at_origin = [r for r in imported.records if r.annotations[0].visible and r.annotations[0].point == (0, 0)]
    assert len(at_origin) == 3
    assert any(note.startswith("3 points are visible at (0, 0)") for note in ledger.notes)


coordinate = st.integers(1, 39) | st.floats(1.0, 39.0).map(lambda v: round(v, 3))


@st.composite
def tracks(draw: st.DrawFn) -> list[Record]:
    frames = sorted(draw(st.sets(st.integers(0, 30), min_size=1, max_size=8)))
    out = []
    for frame in frames:
        seen, x, y = draw(st.booleans()), float(draw(coordinate)), float(draw(coordinate))
        mark = Annotation(0, point=(x + 0.5, y + 0.5) if seen else (0.0, 0.0), visible=seen)
        out.append(Record(f"v.mp4#{frame}", "v.mp4", (0, 0), (mark,), frame, "v.mp4"))
    return out


def test_a_track_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=50, deadline=None)
    @given(tracks())
    def holds(records: list[Record]) -> None:
        folder = tmp_path_factory.mktemp("track") / "out"
        ledger = ball_track.write(dataset(("ball",), records), folder)
        assert not ledger.entries
        back = read(ball_track, folder).records
        assert [r.frame for r in back] == [r.frame for r in records]
        for a, b in zip(records, back, strict=True):
            assert a.annotations[0].visible == b.annotations[0].visible
            assert a.annotations[0].point == pytest.approx(b.annotations[0].point, abs=1e-9)

    holds()


def test_pictures_travel_with_their_track_and_other_marks_are_told_of(tmp_path: Path) -> None:
    write_csv(tmp_path / "in", "Frame,Visibility,X,Y\n3,1,10,5\n4,0,0,0\n")
    write_frames(tmp_path / "in", "rally", [3, 4])
    first, _ = import_dataset(tmp_path / "in", tmp_path / "first")
    ball_track.write(first, tmp_path / "written")
    second, _ = import_dataset(tmp_path / "written", tmp_path / "second")
    assert [r.annotations[0].point for r in second.records] == [r.annotations[0].point for r in first.records]
    assert isinstance(second, Dataset) and second.read(second.records[0]).shape == (20, 40, 3)
    box = Annotation(0, (1.0, 1.0, 2.0, 2.0))
    ledger = ball_track.write(dataset(("a",), [Record("p.png", "p.png", (9, 9), (box,))]), tmp_path / "none")
    assert ledger.dropped == {"picture": 1, "annotation": 1}


def test_any_text_is_read_or_refused_in_our_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    cell = st.sampled_from(
        ["0", "1", "2", "-1", "1e99", "inf", "nan", "", "x", '"', "0.5", "\x00", "\r", "१"]
    )

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.lists(cell, min_size=3, max_size=5).map(",".join), max_size=5))
    def holds(lines: list[str]) -> None:
        path = write_csv(folder, "Frame,Visibility,X,Y\n" + "\n".join(lines))
        try:
            list(ball_track.read(path, ReadOptions(), Ledger()).records)
        except SightlineError as error:
            assert str(path) in str(error)

    holds()
