"""Importing: read = kept + fixed + dropped, on real sets and on made faults."""

from __future__ import annotations

from pathlib import Path

from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions


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
