from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sightline.core.errors import UsageError
from sightline.core.problem import SplitSection
from sightline.data.dataset import Dataset
from sightline.data.growing import fresh_ids
from sightline.data.importing import import_dataset
from sightline.data.split import make_split


def write_coco(folder: Path, names: dict[str, int], classes: tuple[str, ...] = ("apple", "pear")) -> Path:
    """Pictures by name and seed, one box each."""
    (folder / "images").mkdir(parents=True)
    for name, seed in names.items():
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 48, 3), np.uint8)
        cv2.imwrite(str(folder / "images" / name), pixels)
    images = [{"id": i, "file_name": n, "width": 48, "height": 32} for i, n in enumerate(names)]
    marks: list[dict[str, Any]] = [
        {
            "id": i,
            "image_id": i,
            "category_id": 1 + i % len(classes),
            "bbox": [4, 4, 20, 20],
            "area": 400,
            "iscrowd": 0,
        }
        for i in range(len(names))
    ]
    kinds = [{"id": 1 + i, "name": n} for i, n in enumerate(classes)]
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": marks, "categories": kinds}))
    return path


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    write_coco(tmp_path / "old", {f"a{i}.png": i for i in range(10)})
    dataset, _ = import_dataset(tmp_path / "old", tmp_path / "parent")
    make_split(dataset, SplitSection(by="group", train=0.6, val=0.2, test=0.2)).write()
    return dataset


def test_the_next_version_holds_both_and_knows_its_parent(parent: Dataset, tmp_path: Path) -> None:
    write_coco(tmp_path / "new", {"a0.png": 100, "b1.png": 3, "b2.png": 102})  # b1 is a3, seen again
    dataset, ledger = import_dataset(tmp_path / "new", tmp_path / "grown", onto=parent)
    assert dataset.header["parent"] == parent.fingerprint != dataset.fingerprint
    assert dataset.classes == parent.classes and len(dataset.records) == 12
    assert [r.id for r in dataset.records][:10] == [r.id for r in parent.records]
    assert fresh_ids(dataset) == [r.id for r in dataset.records][10:] and fresh_ids(parent) == []
    again = next(r for r in dataset.records if r.media.endswith("a3.png"))
    assert again.annotations[0].label == 1  # the later label
    for record in dataset.records:
        assert dataset.read(record).shape == (32, 48, 3)
    first, fresh = dataset.records[0], dataset.records[10]
    assert first.media != fresh.media and not np.array_equal(dataset.read(first), dataset.read(fresh))
    assert any("2 new, 1 labelled again" in note for note in ledger.notes)


def test_old_records_stay_in_their_part_and_new_ones_are_divided(parent: Dataset, tmp_path: Path) -> None:
    write_coco(tmp_path / "new", {f"b{i}.png": 200 + i for i in range(10)})
    dataset, _ = import_dataset(tmp_path / "new", tmp_path / "grown", onto=parent)
    old, new = parent.split("group"), dataset.split("group")
    assert {i: new.parts[i] for i in old.parts} == dict(old.parts)
    fresh = set(fresh_ids(dataset))
    assert {p: len(fresh & set(new.part(p))) for p in ("train", "val", "test")} == {
        "train": 6,
        "val": 2,
        "test": 2,
    }


def test_labels_of_another_class_are_refused(parent: Dataset, tmp_path: Path) -> None:
    write_coco(tmp_path / "new", {"b.png": 9}, ("plum",))
    with pytest.raises(UsageError, match="plum"):
        import_dataset(tmp_path / "new", tmp_path / "grown", onto=parent)
    assert not (tmp_path / "grown").exists()
    with pytest.raises(UsageError, match="keeps the classes"):
        import_dataset(tmp_path / "new", tmp_path / "grown", onto=parent, classes=["plum"])
