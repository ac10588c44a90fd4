"""What is known to be wrong with the public sets must be found, and only that must be an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.data.audit import Audit, audit
from sightline.data.importing import import_dataset
from sightline.data.split import leakage, make_split


def imported(source: Path, out: Path) -> Audit:
    dataset, _ = import_dataset(source, out / "dataset")
    return audit(dataset)


def test_bccd_has_two_empty_boxes_seven_nearly_doubled_ones_and_a_copy_across_its_split(
    shared_data: Path, tmp_path: Path
) -> None:
    dataset, _ = import_dataset(shared_data / "bccd", tmp_path / "dataset")
    found = audit(dataset)
    assert not found.errors
    assert len(found.of("box-nearly-doubled")) == 7
    (dropped,) = found.of("import-dropped")
    assert len(dropped.places) == 2
    assert "BloodImage_00338" in dropped.places[0] and "BloodImage_00343" in dropped.places[1]
    (copy,) = found.of("near-copies-across-split")
    assert copy.records == ("BloodImage_00037.jpg", "BloodImage_00038.jpg")
    author = dataset.split("author")
    assert leakage(dataset, author).near == 1
    assert leakage(dataset, make_split(dataset)).clean


@pytest.mark.slow
def test_the_shuttles_have_a_stray_class_slivers_and_copies_in_threes(
    shared_data: Path, tmp_path: Path
) -> None:
    found = imported(shared_data / "badminton_shuttle_yolo", tmp_path)
    assert not found.errors
    assert found.of("class-odd-name")[0].message.startswith("class '15'")
    assert "4 of 12338 marks" in found.of("class-rare")[0].message
    assert "3438 pictures are in 1146 groups of 3 each" in found.of("groups-of-pictures")[0].message
    assert len(found.of("box-sliver")) == 2
    assert len(found.of("empty-picture")[0].records) == 1
    (copy,) = found.of("near-copies-across-split")
    assert "val and test" in copy.message


def test_three_sign_language_pictures_are_large_and_turned(shared_data: Path, tmp_path: Path) -> None:
    found = imported(shared_data / "sign_language_digits" / "Dataset", tmp_path)
    assert not found.errors and not found.levels()["warning"]
    assert [f.records[0] for f in found.of("exif-rotated")] == [
        "7/IMG_5874.JPG",
        "7/IMG_5935.JPG",
        "7/IMG_5978.JPG",
    ]
    assert "3 pictures have over 16 times" in found.of("mixed-sizes")[0].message
