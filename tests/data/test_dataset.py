"""The dataset folder: what goes in comes out, and what is not whole is refused."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from made_records import SIZE, records, same_record
from sightline.core.errors import DatasetError, MediaError, UsageError
from sightline.core.media import write_picture
from sightline.core.records import Annotation, Record
from sightline.data.dataset import Dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading
from sightline.data.schema import to_records, to_table
from sightline.data.writing import write_dataset


def made(folder: Path, count: int = 3, media: str = "link", name: str = "d") -> Dataset:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    rows = []
    for i in range(count):
        write_picture(source / f"{i}.png", np.full((SIZE[1], SIZE[0], 3), i % 256, np.uint8))
        mark = Annotation(i % 2, box=(1.0, 2.0, 30.5, 40.25), attributes={"who": "me"}, source=f"line {i}")
        part = "train" if i else "test"
        rows.append(Record(f"{i}.png", f"{i}.png", SIZE, (mark,), partition=part, source="labels.txt"))
    reading = Reading(("ant", "bee"), rows, source)
    return write_dataset(folder / name, reading, Ledger(), media=media)  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(st.lists(records("a"), max_size=4))
def test_every_field_of_a_record_comes_back_as_it_went_in(rows: list[Record]) -> None:
    back = to_records(to_table(rows))
    assert len(back) == len(rows) and all(map(same_record, rows, back))


def test_records_are_a_sequence_by_number_slice_and_id(tmp_path: Path) -> None:
    dataset = made(tmp_path, 600)
    assert len(dataset.records) == 600
    assert dataset.records[599].id == dataset.records[-1].id == "599.png"
    assert [r.id for r in dataset.records[255:258]] == ["255.png", "256.png", "257.png"]
    assert [r.id for r in dataset.records] == [f"{i}.png" for i in range(600)]
    assert same_record(dataset.record("300.png"), dataset.records[300])
    with pytest.raises(IndexError):
        dataset.records[600]
    with pytest.raises(DatasetError, match="no record 'x'"):
        dataset.record("x")


@pytest.mark.parametrize("media", ["link", "copy", "none"])
def test_pixels_are_read_however_the_media_are_kept(tmp_path: Path, media: str) -> None:
    dataset = made(tmp_path, media=media)
    assert int(dataset.read(dataset.record("2.png"))[0, 0, 0]) == 2
    inside = dataset.root / "media" / "2.png"
    assert (inside.is_symlink(), inside.exists()) == (media == "link", media != "none")


def test_the_fingerprint_names_the_content_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = made(tmp_path / "a"), made(tmp_path / "b", media="copy")
    assert first.fingerprint == second.fingerprint == Dataset.open(first.root).fingerprint
    assert made(tmp_path / "b", 4, name="e").fingerprint != first.fingerprint


def test_a_dataset_travels_to_another_process(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.fingerprint == dataset.fingerprint and copy.record("1.png").id == "1.png"


def test_the_authors_parts_are_a_split(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    assert dataset.split("author").part("train") == ["1.png", "2.png"]
    assert dataset.split("author").dataset == dataset.fingerprint
    with pytest.raises(DatasetError, match="is no split"):
        dataset.split("absent")
    with pytest.raises(UsageError, match="climbs out"):
        dataset.split("../../x")


def test_a_folder_that_is_no_dataset_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no dataset.yaml; make one with: sightline import"):
        Dataset.open(tmp_path)
    with pytest.raises(DatasetError, match="is no dataset folder"):
        Dataset.open(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("format: [", "cannot be read"),
        ("- 1\n", "names no format"),
        ("format: 99\n", "newer than 1"),
        ("format: 1\nclasses: []\n", "lacks the key 'fingerprint'"),
        ("\x00", "cannot be read"),
    ],
)
def test_a_header_that_does_not_hold_is_refused(tmp_path: Path, text: str, words: str) -> None:
    dataset = made(tmp_path)
    (dataset.root / "dataset.yaml").write_text(text)
    with pytest.raises(DatasetError, match=words):
        Dataset.open(dataset.root)


def test_records_that_were_changed_or_cut_short_are_refused(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    table = dataset.root / "records.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[:-20])
    with pytest.raises(DatasetError, match="changed or cut short"):
        Dataset.open(dataset.root)
    with pytest.raises(DatasetError, match="cannot be read"):
        len(Dataset.open(dataset.root, verify=False).records)
    table.unlink()
    with pytest.raises(DatasetError, match=r"holds no records.parquet"):
        Dataset.open(dataset.root)


def test_a_class_name_twice_an_id_twice_or_a_label_that_is_none_writes_nothing(tmp_path: Path) -> None:
    record = Record("a", "a.png", SIZE, (Annotation(1),))
    faults = [
        (Reading(("x", "x"), [record], tmp_path), "'x' appears twice"),
        (Reading(("x", " "), [record], tmp_path), "has no name"),
        (Reading(("x", "y"), [record, record], tmp_path), "'a' appears twice"),
        (Reading(("x",), [record], tmp_path), "class index 1"),
    ]
    for reading, words in faults:
        with pytest.raises(DatasetError, match=words):
            write_dataset(tmp_path / "d", reading, Ledger(), media="none")
    assert not list(tmp_path.iterdir())


def test_replace_takes_a_datasets_place_and_nothing_elses(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    reading = Reading(("x",), [Record("a", "a.png", SIZE)], tmp_path)
    with pytest.raises(UsageError, match="--replace"):
        write_dataset(dataset.root, reading, Ledger(), media="none")
    again = write_dataset(dataset.root, reading, Ledger(), media="none", replace=True)
    assert [r.id for r in again.records] == ["a"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is no dataset, so it is not replaced"):
        write_dataset(tmp_path / "mine", reading, Ledger(), media="none", replace=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_media_names_that_climb_out_or_are_addresses_are_refused(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    for name in ("../dataset.yaml", "/etc/hostname"):
        with pytest.raises(MediaError, match="climbs out"):
            dataset.media_path(name)
    with pytest.raises(MediaError, match="--fetch"):
        dataset.media_path("https://example.org/a.jpg")


def test_classes_keep_their_names_through_yaml(tmp_path: Path) -> None:
    names = ("no", "15", "1e3", "a: b", "蜻蛉", "null", " x", "#")
    reading = Reading(names, [Record("a", "a.png", SIZE)], tmp_path)
    dataset = write_dataset(tmp_path / "d", reading, Ledger(), media="none")
    assert Dataset.open(dataset.root).classes == names
    assert yaml.safe_load((dataset.root / "dataset.yaml").read_text())["records"] == 1


def test_maps_are_read_by_task(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_picture(source / "a.png", np.zeros((4, 6, 3), np.uint8))
    write_picture(source / "seg.png", np.full((4, 6), 255, np.uint8))
    write_picture(source / "depth.png", np.full((4, 6), 1500, np.uint16))
    numbers = np.zeros((4, 6, 3), np.uint8)
    numbers[0, 0] = (2, 1, 0)
    write_picture(source / "pan.png", numbers)
    maps = {"segment": "seg.png", "depth": "depth.png", "panoptic": "pan.png"}
    reading = Reading(("x",), [Record("a", "a.png", (6, 4), maps=maps)], source)
    dataset = write_dataset(tmp_path / "d", reading, Ledger())
    record = dataset.records[0]
    assert dataset.read_map(record, "segment").dtype == np.uint8
    assert np.allclose(dataset.read_map(record, "depth"), 1.5)
    panoptic = dataset.read_map(record, "panoptic")
    assert panoptic[0, 0] == 257 and panoptic[1, 1] == -1
    with pytest.raises(DatasetError, match="no height map"):
        dataset.read_map(record, "height")


@settings(max_examples=15, deadline=None)
@given(st.lists(records("a"), min_size=1, max_size=1), st.lists(records("b"), min_size=1, max_size=1))
def test_a_dataset_goes_through_pandas_and_comes_back_the_same(a: list[Record], b: list[Record]) -> None:
    from dataclasses import replace

    from sightline.data.checks import admit
    from sightline.data.reading import ReadOptions

    def admitted(record: Record) -> Record:
        rows = (admit(x, record.size_wh, ReadOptions(), Ledger(), "x") for x in record.annotations)
        return replace(record, annotations=tuple(x for x in rows if x is not None))

    rows = [admitted(record) for record in (*a, *b)]
    with tempfile.TemporaryDirectory() as folder:
        reading = Reading(("x", "y", "z"), rows, Path(folder))
        before = write_dataset(Path(folder) / "before", reading, Ledger(), media="none")
        after = Dataset.from_pandas(before.to_pandas(), before, Path(folder) / "after")
        assert all(map(same_record, before.records, after.records)) and after.classes == before.classes
        assert after.fingerprint == before.fingerprint and after.header["parent"] == before.fingerprint


def test_cleaning_by_hand_is_checked(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    frame = dataset.to_pandas()
    assert frame["class"].tolist() == ["ant", "bee", "ant"] and frame["x2"].tolist() == [30.5] * 3
    kept = Dataset.from_pandas(frame[frame["id"] != "1.png"], dataset, tmp_path / "e")
    assert [len(r.annotations) for r in kept.records] == [1, 0, 1]
    gone = Dataset.from_pandas(frame[frame["id"] != "1.png"], dataset, tmp_path / "f", absent="drop")
    assert [r.id for r in gone.records] == ["0.png", "2.png"]
    cut = frame.assign(x2=[100.0, 30.5, 0.0])
    fixed = Dataset.from_pandas(cut, dataset, tmp_path / "g")
    assert fixed.records[0].annotations[0].box == (1.0, 2.0, 64.0, 40.25)
    counts = fixed.ledger()["counts"]["annotation"]
    assert counts == {"read": 3, "kept": 1, "fixed": 2, "dropped": 0}
    assert int(fixed.read(fixed.records[2])[0, 0, 0]) == 2


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("class", "wasp", "'wasp' is not one of ant, bee"),
        ("x1", "left", "cannot be read"),
        ("width", None, "read"),
    ],
)
def test_a_frame_that_cannot_be_a_dataset_names_the_row(
    tmp_path: Path, column: str, value: object, words: str
) -> None:
    dataset = made(tmp_path)
    frame = dataset.to_pandas().astype({column: object})
    frame.loc[1, column] = value
    with pytest.raises(DatasetError, match=words) as error:
        Dataset.from_pandas(frame, dataset, tmp_path / "e")
    assert str(error.value).startswith("row 1") and not (tmp_path / "e").exists()
    with pytest.raises(DatasetError, match="lacks the columns x1"):
        Dataset.from_pandas(frame.drop(columns="x1"), dataset, tmp_path / "e")
