from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from data.formats.reading_help import dataset, read
from sightline.core.errors import FormatError, SightlineError
from sightline.core.records import Annotation, Record
from sightline.data.formats import masks
from sightline.data.formats.masks_layout import VOID, Meaning, read_meaning
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions

SIZE_HW = (12, 20)


def save(path: Path, rgb: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(rgb)
    Image.fromarray(pixels).save(path)
    return path


def picture(path: Path) -> Path:
    return save(path, np.full((*SIZE_HW, 3), 90, np.uint8))


def colours() -> NDArray[np.uint8]:
    """Left sky, right road, one pixel of a stranger, a void row at the bottom."""
    mask = np.zeros((*SIZE_HW, 3), np.uint8)
    mask[:, :10], mask[:, 10:] = (128, 128, 128), (128, 64, 128)
    mask[0, 0], mask[-1] = (1, 2, 3), (0, 0, 0)
    return mask


def camvid(folder: Path) -> Path:
    lines = ["128 128 128\tSky", "128 64 128\t\tRoad", "0 0 0\tVoid", "64 0 128\tCar"]
    folder.mkdir()
    (folder / "label_colors.txt").write_text("\n".join(lines) + "\n")
    picture(folder / "701_StillsRaw_full" / "0001TP_006690.png")
    save(folder / "LabeledApproved_full" / "0001TP_006690_L.png", colours())
    return folder


def expected() -> NDArray[np.uint8]:
    index = np.zeros(SIZE_HW, np.uint8)
    index[:, 10:] = 1
    index[0, 0], index[-1] = VOID, VOID
    return index


def test_colour_masks_as_camvid_lays_them_out_become_index_maps(tmp_path: Path) -> None:
    source = camvid(tmp_path / "in")
    assert "label_colors.txt" in (masks.sniff(source) or "")
    imported, ledger = import_dataset(source, tmp_path / "out")
    assert imported.classes == ("Sky", "Road", "Car")
    (record,) = imported.records
    np.testing.assert_array_equal(imported.read_map(record, "segment"), expected())
    (entry,) = ledger.entries
    assert (entry.fate, entry.reason) == ("fixed", masks.UNKNOWN)
    assert entry.detail == "LabeledApproved_full/0001TP_006690_L.png: (1, 2, 3): 1 px"


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds", "instanceIds"])
def test_cityscapes_is_read_by_its_names(tmp_path: Path, kind: str) -> None:
    stem = "aachen_000000_000019"
    picture(tmp_path / "leftImg8bit" / "train" / "aachen" / f"{stem}_leftImg8bit.png")
    road, car = {"labelIds": (7, 26), "labelTrainIds": (0, 13), "instanceIds": (7, 26001)}[kind]
    ids = np.full(SIZE_HW, road, np.uint16 if kind == "instanceIds" else np.uint8)
    ids[2:5, 3:9] = car
    ids[0] = 3 if kind != "labelTrainIds" else 255
    if kind == "instanceIds":
        ids[8:, :4] = 26  # cars nobody told apart
    save(tmp_path / "gtFine" / "train" / "aachen" / f"{stem}_gtFine_{kind}.png", ids)
    imported, ledger = import_dataset(tmp_path, tmp_path / "out")
    (record,) = imported.records
    index = imported.read_map(record, "segment")
    assert imported.classes[0] == "road" and imported.classes[13] == "car" and len(imported.classes) == 19
    assert (index[0] == VOID).all() and (index[2:5, 3:9] == 13).all() and index[6, 6] == 0
    assert (record.partition, record.group) == ("train", "aachen")
    assert not ledger.entries
    if kind == "instanceIds":
        crowd, one = record.annotations
        assert crowd.crowd and not one.crowd and one.box == (3, 2, 9, 5)
        assert one.mask is not None and one.mask.decode().sum() == 18


def test_index_masks_need_a_file_that_names_their_classes(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    save(tmp_path / "masks" / "a.png", np.zeros(SIZE_HW, np.uint8))
    assert "no class file" in (masks.sniff(tmp_path) or "")
    with pytest.raises(FormatError, match=r"no file that names their classes; write one of"):
        read(masks, tmp_path)
    (tmp_path / "classes.txt").write_text("cat\ndog\nvoid\n")
    assert read(masks, tmp_path).classes == ("cat", "dog")


@pytest.mark.parametrize("palette", [False, True])
def test_index_masks_are_read_whether_grey_or_with_a_palette(tmp_path: Path, palette: bool) -> None:
    index = np.array([[0, 1, 2], [2, 9, 255]], np.uint8)
    save(tmp_path / "images" / "a.png", np.zeros((2, 3, 3), np.uint8))
    (tmp_path / "masks").mkdir()
    (tmp_path / "classes.txt").write_text("cat\nvoid\ndog\n")
    drawn = Image.fromarray(index)
    if palette:
        drawn.putpalette(list(np.random.default_rng(0).integers(0, 255, 768)))
    drawn.save(tmp_path / "masks" / "a.png")
    imported, ledger = import_dataset(tmp_path, tmp_path / "out")
    found = imported.read_map(imported.records[0], "segment")
    assert found.tolist() == [[0, 255, 1], [1, 255, 255]]
    assert "9: 1 px" in ledger.entries[0].detail


def test_plain_index_masks_are_linked_and_not_made_again(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "val" / "a.png")
    save(tmp_path / "masks" / "val" / "a.png", np.ones(SIZE_HW, np.uint8))
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    found = read(masks, tmp_path)
    assert not found.reading.made
    assert dict(found.records[0].maps) == {"segment": "masks/val/a.png"}
    assert found.records[0].partition == "val"


def test_masks_of_two_classes_drawn_black_and_white_are_understood(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    index = np.zeros(SIZE_HW, np.uint8)
    index[3:5] = 255
    save(tmp_path / "masks" / "a_mask.png", index)
    (tmp_path / "classes.txt").write_text("ground\nnut\n")
    imported, ledger = import_dataset(tmp_path, tmp_path / "out")
    assert imported.read_map(imported.records[0], "segment").sum() == 2 * SIZE_HW[1]
    assert any("255 is read as 'nut'" in note for note in ledger.notes)


def test_pictures_without_a_mask_with_another_size_or_a_broken_one_are_dropped(tmp_path: Path) -> None:
    for name in "abcd":
        picture(tmp_path / "train" / f"{name}.png")
    save(tmp_path / "trainannot" / "a.png", np.zeros(SIZE_HW, np.uint8))
    save(tmp_path / "trainannot" / "b.png", np.zeros((5, 5), np.uint8))
    (tmp_path / "trainannot" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
    save(tmp_path / "trainannot" / "z.png", np.zeros(SIZE_HW, np.uint8))
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    found = read(masks, tmp_path)
    assert [(r.media, r.partition) for r in found.records] == [("train/a.png", "train")]
    assert [e.reason for e in found.ledger.entries] == [masks.OTHER_SIZE, masks.UNREADABLE, masks.NO_MASK]
    assert found.ledger.notes == ["1 masks have no picture, first trainannot/z.png"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("label_colors.txt", "1 2 3 a\n4 5 b\n", r":2: '4 5 b' is not R G B NAME"),
        ("label_colors.txt", "1 2 300 a\n", r":1: '300' is not a value"),
        ("label_colors.txt", "1 2 3 a\n1 2 3 b\n", r":2: 'b' or its value \(1, 2, 3\) appears twice"),
        ("classes.txt", "a\na\n", r":2: 'a' or its value 1 appears twice"),
        ("classes.txt", "\n", r"names no class"),
        ("class_dict.csv", "name,r,g\na,1,2\n", r":1: has columns"),
        ("classes.csv", "index,name\n1,a\n1,b\n", r":3: 'b' or its value 1 appears twice"),
    ],
)
def test_a_broken_class_file_is_an_error_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=message):
        read_meaning(tmp_path / name)


def test_a_csv_of_colours_gives_the_same_as_a_text_of_colours(tmp_path: Path) -> None:
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nSky,128,128,128\nVoid,0,0,0\n")
    meaning = read_meaning(tmp_path / "class_dict.csv")
    assert meaning == Meaning(("Sky",), {VOID: VOID}, {(128, 128, 128): 0, (0, 0, 0): VOID})


def test_maps_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    names = st.text(min_size=1, max_size=8).filter(
        lambda t: t.strip() == t and "\r" not in t and "\0" not in t
    )

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(names.filter(lambda t: t.isprintable() or "\n" in t), min_size=1, max_size=4, unique=True),
        st.integers(0, 2**31),
    )
    def holds(classes: list[str], seed: int) -> None:
        root = tmp_path_factory.mktemp("maps")
        index = np.random.default_rng(seed).integers(0, len(classes), SIZE_HW).astype(np.uint8)
        index[0, 0] = VOID
        picture(root / "ночь a.png")
        record = Record("ночь a.png", "ночь a.png", SIZE_HW[::-1], maps={"segment": "m"}, partition="val")
        fake = dataset(tuple(classes), [record], root)
        fake.read_map = lambda record, task: index
        assert not masks.write(fake, root / "out").entries
        back = read(masks, root / "out")
        assert back.classes == tuple(classes) and back.records[0].partition == "val"
        (name,) = back.records[0].maps.values()
        data = back.reading.made[name]() if name in back.reading.made else (root / "out" / name).read_bytes()
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found, index)

    holds()


def test_what_masks_cannot_carry_is_told(tmp_path: Path) -> None:
    mark = Annotation(0, (0.0, 0.0, 1.0, 1.0))
    ledger = masks.write(dataset(("a",), [Record("a.png", "a.png", (4, 4), (mark,))]), tmp_path / "out")
    assert ledger.dropped == {"picture": 1, "annotation": 1}


def test_any_class_file_is_read_or_refused_in_our_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")

    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from(["label_colors.txt", "class_dict.csv", "classes.csv", "classes.txt"]),
        st.binary(max_size=40),
    )
    def holds(name: str, data: bytes) -> None:
        path = folder / name
        path.write_bytes(b"index,name\n" * (name == "classes.csv") + data)
        try:
            read_meaning(path)
        except SightlineError as error:
            assert str(path) in str(error)

    holds()


def test_any_bytes_in_a_mask_are_read_or_dropped(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    picture(folder / "images" / "a.png")
    whole = save(folder / "masks" / "a.png", np.zeros(SIZE_HW, np.uint8)).read_bytes()
    (folder / "classes.txt").write_text("cat\n")

    @settings(max_examples=80, deadline=None)
    @given(st.integers(0, len(whole)), st.integers(0, len(whole) - 1), st.integers(0, 255))
    def holds(length: int, at: int, value: int) -> None:
        data = bytearray(whole)
        data[at] = value
        (folder / "masks" / "a.png").write_bytes(data[:length])
        ledger = Ledger()
        records = list(masks.read(folder, ReadOptions(), ledger).records)
        assert len(records) + ledger.dropped["picture"] == 1

    holds()
