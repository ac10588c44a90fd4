"""COCO panoptic: segments follow their numbers, also where some of them are dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.core.errors import MediaError
from sightline.core.media import read_map, write_picture
from sightline.data.dataset import Dataset
from sightline.data.formats import resolve, sniff
from sightline.data.importing import import_dataset
from sightline.data.panoptic import encode_segments, segment_numbers
from sightline.data.reading import ReadOptions

IDS = (70_000, 5, 300)


def source(
    folder: Path, boxes: dict[int, list[float]] | None = None, shape: tuple[int, int] = (24, 32)
) -> Path:
    """Three vertical strips of segments with wild ids, and a column of void."""
    numbers = np.zeros((*shape, 3), np.uint8)
    for i, number in enumerate(IDS):
        numbers[:, 8 * i : 8 * i + 8] = (number & 255, number >> 8 & 255, number >> 16)
    folder.mkdir()
    write_picture(folder / "a.png", np.zeros((24, 32, 3), np.uint8))
    (folder / "panoptic_train").mkdir()
    write_picture(folder / "panoptic_train" / "a_map.png", numbers)
    infos: list[dict[str, Any]] = [
        {"id": n, "category_id": 1 + i % 2, "bbox": (boxes or {}).get(n, [8 * i, 0, 8, 24])}
        for i, n in enumerate(IDS)
    ]
    tree = {
        "images": [{"id": 4, "file_name": "a.png", "width": 32, "height": 24}],
        "categories": [{"id": 1, "name": "sky", "isthing": 0}, {"id": 2, "name": "ant", "isthing": 1}],
        "annotations": [{"image_id": 4, "file_name": "a_map.png", "segments_info": infos}],
    }
    (folder / "panoptic_train.json").write_text(json.dumps(tree))
    return folder


def strips(dataset: Dataset) -> list[int]:
    return dataset.read_map(dataset.records[0], "panoptic")[0, ::8].tolist()


def test_segments_become_annotations_and_the_map_numbers_them(tmp_path: Path) -> None:
    folder = source(tmp_path / "s")
    assert sniff(folder)[0] == "coco-panoptic"
    dataset, ledger = import_dataset(folder, tmp_path / "d")
    assert strips(dataset) == [0, 1, 2, -1] and not ledger.entries
    record = dataset.records[0]
    assert [dataset.classes[a.label] for a in record.annotations] == ["sky", "ant", "sky"]
    assert record.partition == "train" and dataset.header["source"]["stuff"] == "sky"


@pytest.mark.parametrize("rename", [{}, {"ant": ""}])
def test_a_dropped_segment_leaves_void_and_the_others_their_numbers(
    tmp_path: Path, rename: dict[str, str]
) -> None:
    folder = source(tmp_path / "s", {} if rename else {5: [500, 500, 8, 8]})
    dataset, ledger = import_dataset(folder, tmp_path / "d", options=ReadOptions(rename=rename), drop_limit=1)
    assert strips(dataset) == [0, -1, 1, -1] and ledger.dropped["annotation"] == 1
    assert [dataset.classes[a.label] for a in dataset.records[0].annotations] == ["sky", "sky"]


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    first, _ = import_dataset(source(tmp_path / "s"), tmp_path / "a")
    lost = resolve("coco-panoptic").write(first, tmp_path / "out")
    second, ledger = import_dataset(tmp_path / "out", tmp_path / "b")
    assert not ledger.entries and not lost.entries
    assert strips(second) == strips(first) and second.classes == first.classes
    assert [a.box for a in second.records[0].annotations] == [a.box for a in first.records[0].annotations]
    assert second.header["source"]["stuff"] == "sky"


def test_a_map_of_another_size_stops_the_import(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="is 32x20, its picture is 32x24"):
        import_dataset(source(tmp_path / "s", shape=(20, 32)), tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_segments_survive_their_colours(tmp_path: Path) -> None:
    segments = np.array([[-1, 0, 254], [255, 65_534, 70_000]], np.int32)
    (tmp_path / "a.png").write_bytes(encode_segments(segments))
    assert np.array_equal(segment_numbers(read_map(tmp_path / "a.png")) - 1, segments)
