"""Importing: read = kept + fixed + dropped, on real sets and on made faults."""

from __future__ import annotations

import dataclasses
import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_records import records, same_record
from sightline.core.errors import DatasetError, FormatError, TooMuchDropped, UsageError
from sightline.core.geometry import polygon_box
from sightline.core.media import turn_upright
from sightline.core.records import Annotation, Record, Rle
from sightline.data import judging
from sightline.data.grouping import group_media
from sightline.data.importing import import_dataset
from sightline.data.importing_table import JudgedTables
from sightline.data.judging import Desk
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading, ReadOptions
from sightline.data.schema import to_records, to_table
from sightline.data.upright import turned


def balanced(ledger: Ledger) -> bool:
    return all(
        row["read"] == row["kept"] + row["fixed"] + row["dropped"] and row["kept"] >= 0
        for row in ledger.to_json()["counts"].values()
    )


def test_bccd_tells_its_two_boxes_without_area(shared_data: Path, tmp_path: Path) -> None:
    dataset, ledger = import_dataset(shared_data / "bccd", tmp_path / "d")
    assert dataset.classes == ("Platelets", "RBC", "WBC") and len(dataset.records) == 364
    (reason, places), *rest = ledger.reasons().items()
    assert not rest and reason == ("annotation", "dropped", "box has zero area")
    assert ["BloodImage_00338" in places[0], "BloodImage_00343" in places[1]] == [True, True]
    assert balanced(ledger) and ledger.read["annotation"] == 4888
    parts = [record.partition for record in dataset.records]
    assert (parts.count("train"), parts.count("val"), parts.count("test")) == (205, 87, 72)


def test_badminton_finds_its_parts_behind_windows_paths_and_keeps_copies_together(
    shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "badminton_shuttle_yolo"
    dataset, ledger = import_dataset(source, tmp_path / "d", options=ReadOptions(rename={"15": ""}))
    parts = [record.partition for record in dataset.records]
    assert (parts.count("train"), parts.count("val"), parts.count("test")) == (3438, 116, 33)
    assert dataset.classes == ("shuttlecock",) and ledger.dropped["annotation"] == 4
    assert ledger.dropped_share() == 0 and balanced(ledger)
    assert any("1 label files are empty" in note for note in ledger.notes)
    train = [record.group for record in dataset.records if record.partition == "train"]
    assert len(set(train)) * 3 == len(train)


def test_sign_language_digits_are_ten_folders_and_the_turned_pictures_are_upright(
    shared_data: Path, tmp_path: Path
) -> None:
    dataset, ledger = import_dataset(shared_data / "sign_language_digits", tmp_path / "d")
    assert dataset.classes == tuple("0123456789") and len(dataset.records) == 2062
    assert sum(record.size_wh == (3024, 3024) for record in dataset.records) == 3
    assert balanced(ledger) and not ledger.entries
    assert len({record.group for record in dataset.records}) == 2062


def picture(path: Path, width: int = 64, height: int = 48, orientation: int = 1) -> None:
    """A JPEG, with an EXIF orientation if not upright."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (width, height), (9, 99, 199)).save(path, exif=exif, quality=90)


def coco(folder: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> Path:
    tree = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "ant"}]}
    path = folder / "labels.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))
    return path


def test_labels_that_count_stored_pixels_are_turned_once_with_a_turned_picture(tmp_path: Path) -> None:
    """Declared as stored (64x48) the labels turn; declared upright (48x64) they stay."""
    for declared, want in (((64, 48), (38.0, 4.0, 44.0, 24.0)), ((48, 64), (4.0, 4.0, 24.0, 10.0))):
        folder = tmp_path / str(declared[0])
        picture(folder / "a.jpg", orientation=6)
        image = {"id": 1, "file_name": "a.jpg", "width": declared[0], "height": declared[1]}
        coco(folder, [image], [{"id": 5, "image_id": 1, "category_id": 7, "bbox": [4, 4, 20, 6]}])
        dataset, ledger = import_dataset(folder, folder / "d")
        record = dataset.records[0]
        assert record.size_wh == (48, 64) == dataset.read(record).shape[1::-1]
        assert record.annotations[0].box == want
        assert [e.reason for e in ledger.entries] == ([judging.TURNED] if declared == (64, 48) else [])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mark_turns_as_its_pixels_do(orientation: int) -> None:
    stored = np.zeros((48, 64), np.uint8)
    stored[10:14, 20:30] = 200
    mask = Rle.encode(stored > 0)
    marks = Annotation(0, box=(20, 10, 30, 14), mask=mask, point=(20.5, 10.5), polygons=(RING,))
    found = turned(marks, (64, 48), orientation)
    upright = turn_upright(stored, orientation)
    ys, xs = np.nonzero(upright)
    assert found.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert found.mask is not None and np.array_equal(found.mask.decode(), upright > 0)
    assert found.point is not None and upright[int(found.point[1]), int(found.point[0])] == 200
    assert polygon_box(found.polygons) == found.box


RING = np.array([[20.0, 10.0], [30.0, 10.0], [30.0, 14.0], [20.0, 14.0]])


def test_a_declared_size_that_is_not_the_files_is_told_and_the_files_taken(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    coco(tmp_path, [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}], [])
    dataset, ledger = import_dataset(tmp_path, tmp_path / "d")
    assert dataset.records[0].size_wh == (64, 48)
    assert [(e.reason, e.detail) for e in ledger.entries] == [
        (judging.WRONG_SIZE, "declared 640x480, is 64x48")
    ]


def test_too_much_dropped_writes_the_ledger_and_no_dataset(tmp_path: Path) -> None:
    picture(tmp_path / "s" / "a.jpg")
    image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    gone = {"id": 2, "file_name": "gone.jpg", "width": 64, "height": 48}
    marks = [{"id": i, "image_id": 1 + i % 2, "category_id": 7, "bbox": [4, 4, 20, 6]} for i in range(4)]
    coco(tmp_path / "s", [image, gone], marks)
    with pytest.raises(TooMuchDropped) as error:
        import_dataset(tmp_path / "s", tmp_path / "d")
    assert error.value.exit_code == 1 and "50.0%" in str(error.value) and "gone.jpg" in str(error.value)
    assert not (tmp_path / "d").exists()
    beside = json.loads((tmp_path / "d.ledger.json").read_text())
    assert beside["counts"]["annotation"] == {"read": 4, "kept": 2, "fixed": 0, "dropped": 2}
    dataset, ledger = import_dataset(tmp_path / "s", tmp_path / "d", drop_limit=0.5)
    assert [r.id for r in dataset.records] == ["a.jpg"] and balanced(ledger)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty (0 bytes)"),
        (b"not a picture at all", "is no picture we read"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "header is cut short"),
    ],
)
def test_a_file_that_is_no_picture_is_dropped_with_its_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    picture(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(content)
    coco(tmp_path, [{"id": i, "file_name": f"{n}.jpg"} for i, n in enumerate("ab")], [])
    _, ledger = import_dataset(tmp_path, tmp_path / "d", drop_limit=1)
    assert [e.reason for e in ledger.entries if reason in e.reason] and ledger.dropped["picture"] == 1


@pytest.mark.parametrize(
    "name", ["../../secret.jpg", "/etc/hostname", "C:\\x\\secret.jpg", "a\0.jpg", "x" * 400]
)
def test_names_that_climb_out_or_are_absolute_reach_nothing_outside(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "secret.jpg")
    picture(tmp_path / "in" / "s" / "a.jpg")
    coco(tmp_path / "in" / "s", [{"id": 0, "file_name": "a.jpg"}, {"id": 1, "file_name": name}], [])
    for check in (True, False)[: 1 + (len(name) < 255)]:
        out = tmp_path / f"d{check}"
        dataset, ledger = import_dataset(
            tmp_path / "in" / "s", out, options=ReadOptions(check_media=check), drop_limit=1
        )
        assert dataset.records[0].id == "a.jpg"
        linked = [p.resolve() for p in (out / "media").rglob("*") if p.is_symlink()]
        assert all(p.is_relative_to(tmp_path / "in") for p in linked)
        assert ledger.read["picture"] == 2


def test_file_names_with_spaces_line_breaks_and_other_letters_are_carried(tmp_path: Path) -> None:
    names = ["a b.jpg", "новый\nкадр.jpg", "ß/蜻 蛉.jpg", "%41.jpg", "'.jpg"]
    for name in names:
        picture(tmp_path / name)
    coco(tmp_path, [{"id": i, "file_name": name} for i, name in enumerate(names)], [])
    dataset, ledger = import_dataset(tmp_path, tmp_path / "d")
    assert [r.media for r in dataset.records] == names and not ledger.entries
    assert all(dataset.read(r).shape == (48, 64, 3) for r in dataset.records)


def test_a_name_to_rename_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    coco(tmp_path, [{"id": 0, "file_name": "a.jpg"}], [])
    with pytest.raises(UsageError, match="did you mean 'ant'"):
        import_dataset(tmp_path, tmp_path / "d", options=ReadOptions(rename={"ent": "x"}))
    with pytest.raises(UsageError, match="is no label format; did you mean 'yolo'"):
        import_dataset(tmp_path, tmp_path / "d", "yola")
    with pytest.raises(FormatError, match="does not exist"):
        import_dataset(tmp_path / "absent", tmp_path / "d")
    (tmp_path / "e").mkdir()
    with pytest.raises(FormatError, match="no label format we know"):
        import_dataset(tmp_path / "e", tmp_path / "d")


def test_a_dataset_is_not_imported_again(tmp_path: Path) -> None:
    picture(tmp_path / "s" / "a.jpg")
    coco(tmp_path / "s", [{"id": 0, "file_name": "a.jpg"}], [])
    import_dataset(tmp_path / "s", tmp_path / "d")
    with pytest.raises(FormatError, match="is a dataset already; use it as it is"):
        import_dataset(tmp_path / "d", tmp_path / "e")


def test_an_import_that_fails_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "s"
    coco(source, [{"id": 0, "file_name": "a.jpg"}], [{"id": 1, "image_id": 0, "category_id": 7, "bbox": [1]}])
    with pytest.raises(FormatError, match=r"/annotations/0/bbox"):
        import_dataset(source, tmp_path / "d", options=ReadOptions(check_media=False))
    with pytest.raises(DatasetError, match="no picture is left"):
        coco(source, [{"id": 0, "file_name": "a.jpg"}], [])
        import_dataset(source, tmp_path / "d")
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_disk_that_is_full_is_an_error_of_ours_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "s" / "a.jpg")
    coco(tmp_path / "s", [{"id": 0, "file_name": "a.jpg"}], [])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sightline.data.media_store.shutil.copyfile", full)
    with pytest.raises(DatasetError, match="No space left on device"):
        import_dataset(tmp_path / "s", tmp_path / "d", media="copy")
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


class Given:
    """Tables of records, as a fast format gives them."""

    def __init__(self, rows: list[Record], size: int = 3) -> None:
        self.rows, self.size = rows, size
        self.media = [r.media for r in rows]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self.rows), self.size):
            yield to_table(self.rows[start : start + self.size])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefg").flatmap(records), min_size=1, max_size=9),
    st.sampled_from([[0, 1, 2], [2, 0, 1], [0, -1, 1], [0, 0, 1]]),
)
def test_tables_are_judged_as_records_are(rows: list[Record], numbers: list[int]) -> None:
    rows = [dataclasses.replace(r, frame=-1, maps={}, group="") for r in rows]
    options, root = ReadOptions(check_media=False), Path("/nowhere")
    desks = []
    for table in (None, Given(rows)):
        ledger = Ledger()
        ledger.saw("picture", len(rows))
        ledger.saw("annotation", sum(len(r.annotations) for r in rows))
        reading = Reading(("x", "y", "z"), rows if table is None else (), root, table=table)
        desks.append(Desk(reading, numbers, options, ledger))
    slow = [r for r in (judging.judged(desks[0], row) for row in rows) if r is not None]
    assert desks[1].reading.table is not None
    tables = JudgedTables(desks[1].reading.table, desks[1], "none", None)
    fast = [r for table in tables for r in to_records(table)]
    assert len(fast) == len(slow) and all(map(same_record, slow, fast))
    a, b = (desk.ledger.to_json() for desk in desks)
    assert a["counts"] == b["counts"] and sorted(map(str, a["entries"])) == sorted(map(str, b["entries"]))


def test_groups_come_from_names_only_where_names_show_sequences() -> None:
    def groups(names: list[str], rule: str = "auto") -> list[str]:
        return group_media(names, rule)[0]

    assert set(groups([f"BloodImage_{i:05}.jpg" for i in range(50)])) == {""}
    clips = [f"clip{c}_{i:04}.jpg" for c in "abcdef" for i in range(4)]
    assert groups(clips)[:5] == ["./clipa"] * 4 + ["./clipb"]
    folders = [f"v{c}/{i:04}.jpg" for c in "abcdef" for i in range(4)]
    assert groups(folders)[:5] == ["va"] * 4 + ["vb"]
    assert groups(["a.rf.0123456789.jpg", "a.rf.9876543210.jpg", "b.jpg"]) == ["a", "a", ""]
    assert groups(["s1_x.jpg", "s2_y.jpg"], r"^(s\d)") == ["s1", "s2"]
    with pytest.raises(UsageError, match="regular expression"):
        groups(["a"], "(")
    with pytest.raises(UsageError, match="matches no media name"):
        groups(["a"], "z")


def test_nuts_start_their_ids_at_zero_and_lose_nothing(shared_data: Path, tmp_path: Path) -> None:
    dataset, ledger = import_dataset(shared_data / "nuts_coco_instances", tmp_path / "d")
    names = [dataset.classes[a.label] for r in dataset.records for a in r.annotations]
    assert {n: names.count(n) for n in set(names)} == {"date": 71, "hazelnut": 53, "fig": 41}
    assert len(dataset.records) == 18 and not ledger.entries and balanced(ledger)
    assert all(a.kind == "polygon" for r in dataset.records for a in r.annotations)
    assert dataset.header["source"]["licence"]["file"] == "LICENSE"
