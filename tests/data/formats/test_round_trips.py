"""What a format writes it reads back: the same marks on the same pictures, the rest told in the ledger."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_records import NAMES, masks
from sightline.core.media import write_picture
from sightline.core.records import Annotation, Record, Rle
from sightline.data.dataset import Dataset
from sightline.data.formats import coco_rle, resolve, sniff
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading
from sightline.data.writing import write_dataset

SIZE = (64, 48)
CLASSES = ("ant", "bee & <wasp>", "15", "蜻蛉")
FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_SCRATCH = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)

number = st.integers(0, 400).map(lambda n: n / 10)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    x, y = draw(number), draw(number)
    w, h = draw(st.floats(1.5, 20)), draw(st.floats(1.5, 6))
    return x, y, min(x + w, 64.0), min(y + h, 48.0)


@st.composite
def outlines(draw: st.DrawFn) -> np.ndarray:
    x1, y1, x2, y2 = draw(boxes())
    tips = [[x1, y1], [x2, y1], [x2, y2], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2]]
    return np.array(tips[: draw(st.integers(3, 5))])


@st.composite
def marks(draw: st.DrawFn, kind: str) -> Annotation:
    label = draw(st.integers(0, len(CLASSES) - 1))
    if kind == "box":
        return Annotation(label, box=draw(boxes()))
    if kind == "polygon":
        return Annotation(label, polygons=(draw(outlines()),))
    if kind == "mask":
        mask = draw(masks(SIZE).filter(lambda m: any(m.counts[1::2])))
        return Annotation(label, mask=mask, crowd=draw(st.booleans()))
    return Annotation(label)


@st.composite
def sets(draw: st.DrawFn, kinds: list[str], most: int = 3, least: int = 0) -> list[Record]:
    names = draw(
        st.lists(
            NAMES.filter(lambda n: n.isprintable() and not n.startswith(".")),
            min_size=1,
            max_size=3,
            unique_by=str.casefold,
        )
    )
    partition = st.sampled_from(["train", "val", "test"])
    return [
        Record(
            f"{name}.png",
            f"{name}.png",
            SIZE,
            tuple(draw(st.lists(st.sampled_from(kinds).flatmap(marks), min_size=least, max_size=most))),
            partition=draw(partition),
        )
        for name in names
    ]


def round_trip(
    records: list[Record], format: str, classes: tuple[str, ...] = CLASSES
) -> tuple[Dataset, Dataset, Ledger]:
    """The dataset before, after, and the ledger of the write."""
    folder = Path(tempfile.mkdtemp(dir=_SCRATCH.name))
    media = folder / "pictures"
    for record in records:
        path = media / record.media
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, np.full((SIZE[1], SIZE[0], 3), 7, np.uint8))
    before = write_dataset(folder / "before", Reading(classes, records, media), Ledger())
    lost = resolve(format).write(before, folder / "out")
    assert sniff(folder / "out")[0] == format
    after, ledger = import_dataset(folder / "out", folder / "after")
    assert not [entry for entry in ledger.entries if entry.unit == "picture"], ledger.entries
    return before, after, lost


def by_name(dataset: Dataset) -> dict[str, Record]:
    return {record.media.rsplit("/", 1)[-1]: record for record in dataset.records}


def assert_same_marks(before: Dataset, after: Dataset, tolerance: float = 1e-6) -> None:
    old, new = by_name(before), by_name(after)
    assert set(old) == set(new)
    for name, record in old.items():
        found = new[name]
        assert found.size_wh == SIZE and found.partition == record.partition
        assert len(found.annotations) == len(record.annotations)
        for a, b in zip(record.annotations, found.annotations, strict=True):
            assert (
                before.classes[a.label] == after.classes[b.label] and a.kind == b.kind and a.crowd == b.crowd
            )
            if a.box is not None:
                assert np.allclose(a.box, b.box, atol=tolerance)
            assert a.mask == b.mask and len(a.polygons) == len(b.polygons)
            for x, y in zip(a.polygons, b.polygons, strict=True):
                assert np.allclose(x, y, atol=tolerance)


@FEW
@given(sets(["box", "polygon", "mask", "label"]))
def test_coco_carries_boxes_polygons_masks_crowds_and_labels(records: list[Record]) -> None:
    before, after, lost = round_trip(records, "coco")
    assert_same_marks(before, after)
    assert after.classes == CLASSES and not lost.entries


@FEW
@given(sets(["box"]))
def test_voc_carries_boxes_and_no_shift_of_a_pixel(records: list[Record]) -> None:
    before, after, lost = round_trip(records, "voc")
    assert_same_marks(before, after)
    assert not lost.entries


@FEW
@given(sets(["box", "polygon"]))
def test_yolo_carries_boxes_and_polygons(records: list[Record]) -> None:
    before, after, lost = round_trip(records, "yolo")
    assert_same_marks(before, after)
    assert after.classes == CLASSES and not lost.entries


@FEW
@given(sets(["label"], most=1, least=1))
def test_folders_carry_one_label_a_picture(records: list[Record]) -> None:
    # Two classes at least, or the folder could be anything.
    spare = [
        Record(f"spare{i}.png", f"spare{i}.png", SIZE, (Annotation(i),), partition="train") for i in (0, 2)
    ]
    taken = {record.media for record in records}
    records = records + [r for r in spare if r.media not in taken]
    before, after, lost = round_trip(records, "folders")
    assert_same_marks(before, after)
    assert not lost.entries


def test_what_a_format_cannot_carry_stands_in_its_ledger() -> None:
    ring = np.array([[1.0, 1], [9, 1], [5, 9]])
    record = Record(
        "a.png",
        "a.png",
        SIZE,
        (
            Annotation(0, box=(1.0, 1.0, 9.0, 9.0), polygons=(ring,), track="7", attributes={"who": "me"}),
            Annotation(1, point=(3.0, 3.0)),
            Annotation(1, box=(3.0, 3.0, 4.0, 9.0)),
        ),
        partition="train",
    )
    _, after, lost = round_trip([record], "voc")
    assert [e.reason for e in lost.entries] == [
        "of a polygon only the box is carried",
        "its track is not carried",
        "its attributes are not carried",
        "VOC cannot carry a point",
        "VOC cannot tell a box one pixel wide or high from an empty one",
    ]
    assert len(after.records[0].annotations) == 1 and after.records[0].annotations[0].box == (1, 1, 9, 9)
    assert lost.to_json()["counts"]["annotation"] == {"read": 3, "kept": 0, "fixed": 1, "dropped": 2}
    _, after, lost = round_trip([record], "coco")
    assert [e.reason for e in lost.entries] == ["COCO carries no points without a skeleton"]
    kept = after.records[0].annotations[0]
    assert kept.track == "7" and dict(kept.attributes) == {"who": "me"}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 1 << 40), max_size=30))
def test_packing_run_lengths_and_unpacking_gives_them_back(counts: list[int]) -> None:
    assert coco_rle.unpack(coco_rle.pack(counts)) == counts


@settings(max_examples=30, deadline=None)
@given(masks((13, 9)))
def test_packed_run_lengths_are_those_of_pycocotools(mask) -> None:  # type: ignore[no-untyped-def]
    theirs = pytest.importorskip("pycocotools.mask")
    dense = mask.decode()
    packed = theirs.encode(np.asfortranarray(dense.astype(np.uint8)))
    runs = Rle.encode(dense).counts
    assert packed["counts"].decode() == coco_rle.pack(runs) and coco_rle.unpack(coco_rle.pack(runs)) == list(
        runs
    )
