from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats.reading_help import read
from sightline.core.errors import FormatError, SightlineError
from sightline.core.records import Record
from sightline.data.formats import sensors
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions

CLASSES = "index,name\n0,road\n1,sky\n"


def two_clocks(folder: Path) -> Path:
    """Colour at 10 a second, depth at 15 a second on a clock 3 ms late; the first picture has all maps."""
    folder.mkdir(parents=True)
    lines = ["file,sensor,time_s,group,segment,depth"]
    for i in range(3):
        cv2.imwrite(str(folder / f"rgb {i}.png"), np.full((6, 8, 3), i, np.uint8))
        maps = "labels.png,truth.png" if i == 0 else ","
        lines.append(f"rgb {i}.png,rgb,{i * 0.1:.3f},drive,{maps}")
        cv2.imwrite(str(folder / f"d{i}.png"), np.full((6, 8), 1000 + i, np.uint16))
        lines.append(f"d{i}.png,depth,{i / 15 + 0.003:.3f},drive,,")
    cv2.imwrite(str(folder / "labels.png"), np.eye(6, 8, dtype=np.uint8))
    cv2.imwrite(str(folder / "truth.png"), np.full((6, 8), 2500, np.uint16))
    (folder / "records.csv").write_text("\n".join(lines) + "\n")
    (folder / "classes.csv").write_text(CLASSES)
    return folder


def test_colour_and_depth_of_two_clocks_are_imported_with_their_maps(tmp_path: Path) -> None:
    source = two_clocks(tmp_path / "in")
    assert sensors.sniff(source) == "records.csv has the columns file,sensor,time_s,group,segment,depth"
    imported, ledger = import_dataset(source, tmp_path / "out")
    assert not ledger.entries and imported.classes == ("road", "sky")
    assert [(r.sensor, r.time_s) for r in imported.records][:4] == [
        ("rgb", 0.0),
        ("depth", 0.003),
        ("rgb", 0.1),
        ("depth", 0.07),
    ]
    first = imported.records[0]
    np.testing.assert_array_equal(imported.read_map(first, "segment"), np.eye(6, 8))
    assert imported.read_map(first, "depth") == pytest.approx(2.5)
    assert {r.group for r in imported.records} == {"drive"}


def test_records_of_two_sensors_come_back_as_they_were_written(tmp_path: Path) -> None:
    first, _ = import_dataset(two_clocks(tmp_path / "in"), tmp_path / "first")
    assert not sensors.write(first, tmp_path / "written").entries
    second, ledger = import_dataset(tmp_path / "written", tmp_path / "second")
    assert not ledger.entries and second.classes == first.classes

    def plain(r: Record) -> tuple[object, ...]:
        return Path(r.media).name, r.sensor, r.time_s, r.group, r.frame, r.partition, sorted(r.maps)

    assert [plain(r) for r in second.records] == [plain(r) for r in first.records]
    a, b = first.records[0], second.records[0]
    np.testing.assert_array_equal(first.read_map(a, "depth"), second.read_map(b, "depth"))


def test_maps_that_cannot_serve_are_left_out_with_their_place(tmp_path: Path) -> None:
    source = two_clocks(tmp_path / "in")
    cv2.imwrite(str(source / "truth.png"), np.zeros((6, 8), np.uint8))
    cv2.imwrite(str(source / "labels.png"), np.full((6, 8), 7, np.uint8))
    imported, ledger = import_dataset(source, tmp_path / "out")
    assert [(e.place, e.detail) for e in ledger.entries] == [
        ("records.csv: line 2", "labels.png: 7: 48 px"),
        ("records.csv: line 2", "truth.png is not a 16-bit grey PNG"),
    ]
    assert (imported.read_map(imported.records[0], "segment") == 255).all()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,time_s\na.png,soon\n", r":2: time_s is 'soon'"),
        ("file,time_s\na.png,nan\n", r":2: time_s is 'nan'"),
        ("file,frame\na.png,-1\n", r":2: frame is '-1'"),
        ("file,partition\na.png,dev\n", r":2: partition is 'dev'"),
        ("file,colour\na.png,red\n", r":1: unknown column 'colour'"),
        ("sensor,time_s\nrgb,1\n", r":1: has no column 'file'"),
        ("file,segment\na.png,b.png\n", r"no classes\.csv"),
    ],
)
def test_a_broken_table_is_an_error_with_its_line(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "records.csv").write_text(table)
    with pytest.raises(FormatError, match=message):
        read(sensors, tmp_path)


def test_names_that_climb_out_of_the_folder_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "records.csv").write_text('file,sensor\n../a.png,x\n/etc/a.png,x\n"line\nbreak é.png",x\n')
    found = read(sensors, tmp_path)
    assert [e.reason for e in found.ledger.entries] == [sensors.CLIMBS] * 2
    assert [r.media for r in found.records] == ["line\nbreak é.png"]


def test_any_table_is_read_or_refused_in_our_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "classes.csv").write_text(CLASSES)
    cell = st.sampled_from(["a.png", "..", "", "1", "nan", '"', "train", "\0", "1e999", "\r", "records.csv"])

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.lists(cell, min_size=5, max_size=6).map(",".join), max_size=4))
    def holds(lines: list[str]) -> None:
        table = folder / "records.csv"
        table.write_text("file,time_s,frame,segment,depth\n" + "\n".join(lines))
        try:
            list(sensors.read(folder, ReadOptions(), Ledger()).records)
        except SightlineError as error:
            assert str(table) in str(error)

    holds()
