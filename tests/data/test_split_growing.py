"""A grown dataset is divided so that what was held out stays held out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sightline.core.errors import DatasetError
from sightline.core.media import write_picture
from sightline.core.problem import SplitSection
from sightline.core.records import Annotation, Record
from sightline.data.dataset import Dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading
from sightline.data.split import PARTS, Split, make_split
from sightline.data.split_growing import grown_split, section_of
from sightline.data.writing import write_dataset


def records(folder: Path, count: int, first: int = 0, group: str = "") -> list[Record]:
    """Pictures of noise, none like another; `group` with a {} in it takes the number."""
    folder.mkdir(exist_ok=True)
    found = []
    for n in range(first, first + count):
        write_picture(folder / f"{n}.png", np.random.default_rng(n).integers(0, 256, (24, 24, 3), np.uint8))
        mark = (Annotation(n % 2),)
        found.append(Record(f"{n}.png", f"{n}.png", (24, 24), mark, group=group.format(n)))
    return found


def dataset(folder: Path, rows: list[Record], name: str) -> Dataset:
    return write_dataset(folder / name, Reading(("a", "b"), rows, folder / "media"), Ledger())


@pytest.mark.parametrize("by", ["group", "frame"])
def test_the_new_ones_are_divided_by_the_rule_and_shares_of_the_old(tmp_path: Path, by: str) -> None:
    section = SplitSection.model_validate({"by": by, "train": 0.5, "val": 0.25, "test": 0.25, "seed": 7})
    rows = records(tmp_path / "media", 16)
    old = make_split(dataset(tmp_path, rows, "old"), section, name="run")
    new = grown_split(dataset(tmp_path, [*rows, *records(tmp_path / "media", 16, 16)], "new"), old)
    assert {i: new.parts[i] for i in old.parts} == dict(old.parts)
    fresh = [new.parts[i] for i in new.parts if i not in old.parts]
    assert [fresh.count(part) for part in PARTS] == [8, 4, 4]
    assert new.name == "run" and section_of(new) == section_of(old) == section
    assert new.about["grown_from"] == old.fingerprint


def test_a_split_that_says_nothing_of_its_rule_is_gone_on_with_in_its_proportions() -> None:
    parts = {str(n): PARTS[min(n // 4, 2)] for n in range(16)}
    assert section_of(Split("x", parts, "d")) == SplitSection(train=0.25, val=0.25, test=0.5)


def test_members_of_old_groups_and_copies_of_old_pictures_follow_them(tmp_path: Path) -> None:
    rows = records(tmp_path / "media", 8, group="v{}")
    old = make_split(dataset(tmp_path, rows, "old"), SplitSection(train=0.5, val=0.25, test=0.25))
    held = [r for r in rows if old.parts[r.id] == "test"]
    member = replace(records(tmp_path / "media", 1, 50)[0], group=held[0].group)
    copy = again(tmp_path, held[0], "another")
    torn = again(tmp_path, held[1], next(r.group for r in rows if old.parts[r.id] == "train"))
    new = grown_split(dataset(tmp_path, [*rows, member, copy, torn], "new"), old)
    assert new.parts[member.id] == new.parts[copy.id] == "test"
    assert torn.id not in new.parts and "1 new records are alike to records of several" in new.about["notes"]


def again(folder: Path, record: Record, group: str) -> Record:
    """The same picture under another name."""
    name = f"again-{record.id}"
    shutil.copy(folder / "media" / record.media, folder / "media" / name)
    return replace(record, id=name, media=name, group=group)


def test_by_frame_new_frames_of_an_old_video_are_divided_like_any(tmp_path: Path) -> None:
    rows = records(tmp_path / "media", 12, group="film")
    section = SplitSection(by="frame", train=0.5, val=0.25, test=0.25)
    old = make_split(dataset(tmp_path, rows, "old"), section)
    more = records(tmp_path / "media", 8, 12, group="film")
    new = grown_split(dataset(tmp_path, [*rows, *more], "new"), old)
    assert [sum(new.parts[r.id] == part for r in more) for part in PARTS] == [4, 2, 2]


def test_a_dataset_without_the_old_records_is_refused(tmp_path: Path) -> None:
    rows = records(tmp_path / "media", 4)
    with pytest.raises(DatasetError, match="none of the 1 records"):
        grown_split(dataset(tmp_path, rows, "new"), Split("x", {"other": "train"}, "d"))
