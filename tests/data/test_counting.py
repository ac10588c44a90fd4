"""What a record shows: marks, and pixels of dense labels, wherever classes are counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data.made import make_dataset
from sightline.cli.split_command import table_of
from sightline.core.errors import MediaError
from sightline.core.media import write_picture
from sightline.core.problem import SplitSection
from sightline.core.records import Annotation, Record, Rle
from sightline.data.audit import audit
from sightline.data.counting import shown, shown_by_all
from sightline.data.dataset import Dataset
from sightline.data.split import make_split

SIZE = (10, 6)
RING = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])
CLASSES = ("road", "sign", "tram")


def memory(classes: tuple[str, ...] = CLASSES, truth: Any = None, records: Any = ()) -> Any:
    def read_map(record: Record, task: str) -> Any:
        if truth is None:
            raise MediaError("cannot be decoded", where=record.id)
        return truth(record) if callable(truth) else truth

    return SimpleNamespace(
        classes=classes, read_map=read_map, records=records, root=Path("made"), fingerprint="f" * 16
    )


def mapped(name: str, *marks: Annotation) -> Record:
    return Record(name, name, SIZE, marks, maps={"segment": f"{name}.map.png"})


def test_a_segment_map_is_counted_in_pixels_without_void_and_values_that_are_no_class() -> None:
    truth = np.zeros((6, 10), np.uint8)
    truth[0, :3], truth[1], truth[2] = 1, 255, 9
    seen = shown(memory(truth=truth), mapped("a"))
    assert seen.pixels.tolist() == [37, 3, 0] and seen.marks.tolist() == [0, 0, 0]
    assert seen.labels == [0, 1]


def test_marks_count_each_and_crowds_and_hidden_points_do_not() -> None:
    marks = (
        Annotation(1, box=(1, 1, 3, 3)),
        Annotation(1, box=(2, 1, 3, 3)),
        Annotation(0, box=(1, 1, 3, 3), crowd=True),
        Annotation(2, point=(1, 1), visible=False),
    )
    seen = shown(memory(), Record("a", "a", SIZE, marks))
    assert seen.labels == [1, 1] and not seen.pixels.any()


def test_what_polygons_leave_is_background_where_a_class_says_so() -> None:
    record = Record("a", "a", SIZE, (Annotation(1, box=(1, 1, 4, 3), polygons=(RING,)),))
    assert shown(memory(), record).pixels.tolist() == [0, 0, 0]
    assert shown(memory(), record, outlines=True).pixels.tolist() == [0, 6, 0]
    ground = shown(memory(("background", "sign", "tram")), record)
    assert ground.pixels.tolist() == [54, 6, 0] and ground.labels == [0, 1]


def test_a_map_that_cannot_be_read_counts_nothing_and_stops_nothing() -> None:
    assert shown(memory(), mapped("a", Annotation(1))).labels == [1]
    other = Record("b", "b", SIZE, (Annotation(1, box=(0, 0, 1, 1), mask=Rle((5, 5), (0, 25))),))
    assert not shown(memory(), other, outlines=True).pixels.any()


def test_many_records_come_in_their_order() -> None:
    rows = [Record(str(i), str(i), SIZE, maps={"segment": "x"} if i % 300 < 2 else {}) for i in range(700)]
    found = shown_by_all(memory(truth=lambda r: np.full((1, int(r.id) + 1), 2)), rows)
    sizes = [int(seen.pixels[2]) for seen in found]
    assert sizes == [i + 1 if i % 300 < 2 else 0 for i in range(700)]


def dense_dataset(folder: Path) -> Dataset:
    """Forty pictures of road; four have a few pixels of tram, one of these a sign."""
    pictures: dict[str, Any] = {}
    records = []
    for i in range(40):
        truth = np.zeros((72, 96), np.uint8)
        truth[0, : 4 * (i % 10 == 0)] = 2
        truth[1, : 9 * (i == 10)] = 1
        pictures[f"{i}.map.png"] = truth
        records.append(Record(f"{i}.png", f"{i}.png", (96, 72), maps={"segment": f"{i}.map.png"}))
    media = folder / "source"
    media.mkdir(parents=True)
    for name, truth in pictures.items():
        write_picture(media / name, truth)
    return make_dataset(folder, records, CLASSES)


@pytest.mark.parametrize("seed", range(3))
def test_a_split_shares_out_the_classes_of_dense_labels(tmp_path: Path, seed: int) -> None:
    dataset = dense_dataset(tmp_path)
    split = make_split(dataset, SplitSection(train=0.5, val=0.25, test=0.25, seed=seed), near=False)
    trams = [split.parts[f"{i}.png"] for i in (0, 10, 20, 30)]
    assert sorted(trams) == ["test", "train", "train", "val"]
    table = table_of(dataset, split)
    cells = {str(name): row for name, *row in zip(*(c._cells for c in table.columns), strict=True)}
    assert cells["tram"][::2] == ["2", "1", "1"]


def test_an_audit_finds_dense_classes_uneven_unused_and_absent_from_a_part(tmp_path: Path) -> None:
    dataset = dense_dataset(tmp_path)
    split = make_split(dataset, SplitSection(train=0.5, val=0.25, test=0.25), near=False)
    found = audit(dataset, split)
    road, sign, tram = found.classes
    assert (road.marks, sign.marks, tram.marks) == (40, 1, 4)
    assert (sign.pixels, tram.pixels) == (9, 16) and tram.weight > 100 * road.weight
    assert sum(tram.parts.values()) == 4 and len(sign.parts) == 1
    kinds = {finding.kind: finding.message for finding in found.findings}
    assert "times the pixels of 'sign'" in kinds["class-imbalance"]
    assert "'sign' has no mark in" in kinds["class-not-in-part"]
    assert "class-unused" not in kinds
