from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data.made import make_dataset, texture
from sightline.core.errors import DatasetError
from sightline.core.problem import SplitSection
from sightline.core.records import Annotation, Record
from sightline.data.split import Split, leakage, make_split


def labelled(name: str, label: int, group: str = "", partition: str = "") -> Record:
    box = Annotation(label, (10.0, 10.0, 40.0, 40.0))
    return Record(name, name, (96, 72), (box,), group=group, partition=partition)


def fake(records: list[Record], classes: int = 4) -> Any:
    """A dataset in memory, without pictures."""
    names = tuple(f"class {i}" for i in range(classes))
    return SimpleNamespace(records=records, classes=names, root=Path("made"), fingerprint="f" * 16)


records = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=40, max_size=150).map(
    lambda rows: [labelled(f"{i}.png", label, f"g{group}") for i, (label, group) in enumerate(rows)]
)


@given(records, st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_parts_are_disjoint_and_complete_and_no_group_is_on_two_sides(rows: list[Record], seed: int) -> None:
    assume(len({r.group for r in rows}) >= 3)
    split = make_split(fake(rows), SplitSection(seed=seed), near=False)
    assert list(split.parts) == [r.id for r in rows]
    parts = {name: set(split.part(name)) for name in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == len(rows) == len(set().union(*parts.values()))
    sides = defaultdict(set)
    for row in rows:
        sides[row.group].add(split.parts[row.id])
    assert all(len(side) == 1 for side in sides.values())
    assert leakage(fake(rows), split, near=False).clean


def test_shares_are_kept_for_records_and_for_each_class() -> None:
    rng = np.random.default_rng(0)
    rows = [
        labelled(f"{i}.png", int(rng.choice(4, p=[0.6, 0.3, 0.08, 0.02])), f"g{i // 4}") for i in range(3000)
    ]
    split = make_split(fake(rows), SplitSection(train=0.8, val=0.1, test=0.1), near=False)
    for name, share in {"train": 0.8, "val": 0.1, "test": 0.1}.items():
        ids = set(split.part(name))
        assert len(ids) / len(rows) == pytest.approx(share, abs=0.01)
        for label in range(4):
            mine = [r for r in rows if r.annotations[0].label == label]
            assert sum(r.id in ids for r in mine) / len(mine) == pytest.approx(share, abs=0.03)


def test_frames_of_one_video_are_divided_only_when_told() -> None:
    rows = [
        Record(f"v{v}.mp4#{i}", f"v{v}.mp4", (96, 72), frame=i, group=f"v{v}.mp4")
        for v in range(3)
        for i in range(40)
    ]
    by_group = make_split(fake(rows), near=False)
    assert len({by_group.parts[f"v0.mp4#{i}"] for i in range(40)}) == 1
    by_frame = make_split(fake(rows), SplitSection(by="frame"), near=False)
    assert len({by_frame.parts[f"v0.mp4#{i}"] for i in range(40)}) > 1
    assert leakage(fake(rows), by_frame, near=False).group == len(
        by_frame.part("val") + by_frame.part("test")
    )


def test_fewer_groups_than_parts_are_refused_with_a_remedy() -> None:
    rows = [labelled(f"{i}.png", 0, "one") for i in range(10)]
    with pytest.raises(DatasetError, match=r"has 1 groups.*by: frame"):
        make_split(fake(rows), near=False)
    with pytest.raises(DatasetError, match="no records"):
        make_split(fake([]), near=False)


def test_a_share_of_nothing_makes_no_part() -> None:
    rows = [labelled(f"{i}.png", 0) for i in range(10)]
    split = make_split(fake(rows), SplitSection(train=0.8, val=0.2, test=0.0), near=False)
    assert split.counts() == {"train": 8, "val": 2}


def test_the_authors_parts_are_taken_and_a_missing_validation_comes_from_training_by_group() -> None:
    rows = [labelled(f"{i}.png", i % 2, f"g{i // 5}", "train" if i < 80 else "test") for i in range(100)]
    split = make_split(fake(rows), SplitSection(by="author"), near=False)
    assert split.part("test") == [r.id for r in rows[80:]]
    assert 0 < len(split.part("val")) < 40 and "author names no validation" in split.about["notes"]
    assert leakage(fake(rows), split, near=False).clean
    with pytest.raises(DatasetError, match="no training part"):
        make_split(fake([labelled("a.png", 0)]), SplitSection(by="author"), near=False)


def test_copies_of_one_picture_stay_together(tmp_path: Path) -> None:
    rows = [labelled(f"{i}.png", 0) for i in range(24)]
    pictures: dict[str, Any] = {r.media: texture(i // 2) for i, r in enumerate(rows)}
    for i in range(1, 24, 4):  # a brighter copy, and a mirrored one
        pictures[f"{i}.png"] = np.clip(texture(i // 2).astype(int) + 12, 0, 255).astype(np.uint8)
    for i in range(3, 24, 4):
        pictures[f"{i}.png"] = np.ascontiguousarray(texture(i // 2)[:, ::-1])
    dataset = make_dataset(tmp_path, rows, pictures=pictures)
    split = make_split(dataset)
    assert all(split.parts[f"{i}.png"] == split.parts[f"{i + 1}.png"] for i in range(0, 24, 2))
    assert leakage(dataset, split).clean
    careless = make_split(dataset, SplitSection(by="frame"))
    assert leakage(dataset, careless).near > 0


def test_a_split_is_written_and_read_back_and_held_to_its_dataset(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [labelled(f"{i}.png", i % 2) for i in range(12)])
    split = make_split(dataset, SplitSection(seed=4), name="mine")
    path = split.write()
    assert path == dataset.root / "splits" / "mine.parquet"
    back = Split.open(path, dataset=dataset)
    assert (back.name, dict(back.parts), back.dataset) == ("mine", dict(split.parts), dataset.fingerprint)
    assert back.about["seed"] == "4" and back.root == dataset.root
    assert dataset.split("mine").parts == split.parts
    other = make_dataset(tmp_path / "other", [labelled("0.png", 0)])
    with pytest.raises(DatasetError, match="was made for dataset"):
        Split.open(path, dataset=other)
    with pytest.raises(DatasetError, match="there are: mine"):
        Split.open(path.with_name("yours.parquet"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DatasetError, match="cannot be read as a split"):
        Split.open(path)
