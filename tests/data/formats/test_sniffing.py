"""`--format auto`: every format is told from every other, and says what it saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.formats import test_ball_track, test_cvat, test_labelme, test_masks, test_sensors
from sightline.core.errors import FormatError
from sightline.data.formats import FORMATS, resolve, sniff

LABEL_STUDIO = Path(__file__).parent / "label_studio"


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((20, 40, 3), np.uint8))


def coco(folder: Path) -> None:
    picture(folder / "a.png")
    (folder / "instances.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}], "annotations": '
        '[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}], '
        '"categories": [{"id": 1, "name": "cat"}]}'
    )


def voc(folder: Path) -> None:
    picture(folder / "JPEGImages" / "a.png")
    (folder / "Annotations").mkdir()
    (folder / "Annotations" / "a.xml").write_text(
        "<annotation><filename>a.png</filename><size><width>40</width><height>20</height><depth>3</depth></size>"
        "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>"
        "</object></annotation>"
    )


def yolo(folder: Path) -> None:
    picture(folder / "train" / "images" / "a.png")
    (folder / "train" / "labels").mkdir()
    (folder / "train" / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (folder / "data.yaml").write_text("train: train/images\nnames: [cat]\nnc: 1\n")


def folders(folder: Path) -> None:
    for name in ("cat", "dog"):
        picture(folder / name / "a.png")


def ball_track(folder: Path) -> None:
    test_ball_track.write_csv(folder, "Frame,Visibility,X,Y\n0,1,4,4\n")
    test_ball_track.write_frames(folder, "rally", [0])


def cityscapes(folder: Path) -> None:
    picture(folder / "leftImg8bit" / "train" / "aachen" / "a_1_2_leftImg8bit.png")
    picture(folder / "gtFine" / "train" / "aachen" / "a_1_2_gtFine_labelIds.png")


def cvat_images(folder: Path) -> None:
    test_cvat.write_xml(folder, test_cvat.SHAPES)


def cvat_video(folder: Path) -> None:
    test_cvat.write_xml(folder, test_cvat.tracks(f'<box frame="1" outside="0" {test_cvat.BOX}/>'))


def labelme(folder: Path) -> None:
    picture(folder / "a.png")
    test_labelme.write_file(folder, [test_labelme.shape("point", [[1, 2]])])


def collected(folder: Path) -> None:
    picture(folder / "media" / "a.png")
    (folder / "collected.jsonl").write_text('{"media": "a.png", "why": ["every"]}\n')


MADE: list[tuple[str, Callable[[Path], object], str]] = [
    ("coco", coco, "instances.json"),
    ("voc", voc, "Annotations/a.xml"),
    ("yolo", yolo, "data.yaml"),
    ("folders", folders, "cat, dog"),
    ("ball-track", ball_track, "Frame,Visibility,X,Y"),
    ("masks", lambda folder: test_masks.camvid(folder / "set"), "label_colors.txt"),
    ("masks", cityscapes, "leftImg8bit and gtFine"),
    ("sensors", lambda folder: test_sensors.two_clocks(folder / "set"), "records.csv"),
    ("cvat", cvat_images, "CVAT XML with images"),
    ("cvat", cvat_video, "CVAT XML with tracks"),
    ("labelme", labelme, "a.json has shapes"),
    ("collected", collected, "collected.jsonl"),
]


def place(folder: Path, make: Callable[[Path], object]) -> Path:
    make(folder)
    return folder / "set" if (folder / "set").is_dir() else folder


@pytest.mark.parametrize(("name", "make", "seen"), MADE)
def test_a_source_is_told_apart_and_what_was_seen_is_said(
    tmp_path: Path, name: str, make: Callable[[Path], object], seen: str
) -> None:
    found, why = sniff(place(tmp_path, make))
    assert found == name and seen in why


@pytest.mark.parametrize(("name", "make", "seen"), MADE)
def test_no_other_format_takes_a_source_for_its_own(
    tmp_path: Path, name: str, make: Callable[[Path], object], seen: str
) -> None:
    """The order of asking matters for one alone: folders of pictures, which is asked last."""
    source = place(tmp_path, make)
    assert list(FORMATS)[-1] == "folders"
    taken = [other for other in FORMATS if resolve(other).sniff(source)]
    assert [other for other in taken if other != "folders" or name == "folders"] == [name]


@pytest.mark.parametrize("control", sorted(p.name for p in LABEL_STUDIO.iterdir()))
@pytest.mark.parametrize("export", ["", "export.json", "min.json", "export.csv"])
def test_exports_of_label_studio_are_told_apart(control: str, export: str) -> None:
    source = LABEL_STUDIO / control / export
    found, why = sniff(source)
    assert found == "label-studio"
    assert (export or "export.json") in why
    assert [other for other in FORMATS if resolve(other).sniff(source)] == ["label-studio"]


def test_every_built_in_format_is_in_the_matrix() -> None:
    assert {name for name, _, _ in MADE} | {"label-studio"} >= FORMATS.keys() - {"coco-panoptic"}


@pytest.mark.parametrize("name", ["empty", "strange.json", "strange.csv", "strange.xml", "a.bin"])
def test_what_nobody_knows_is_an_error_that_lists_the_formats(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    if name == "empty":
        source.mkdir()
    else:
        source.write_bytes(b"\xff\xfe{[<")
    with pytest.raises(FormatError, match="label-studio"):
        sniff(source)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_sniffing_never_raises(tmp_path: Path, name: str) -> None:
    module = resolve(name)
    (tmp_path / "dir.json").mkdir()
    for source in (tmp_path, tmp_path / "absent", tmp_path / "dir.json"):
        assert module.sniff(source) is None


REAL = {
    "bccd": "voc",
    "badminton_shuttle_yolo": "yolo",
    "sign_language_digits": "folders",
    "nuts_coco_instances": "coco",
    "volleyball_ball_clip": "ball-track",
    "tracknetv3_badminton_test_labels": "ball-track",
}


@pytest.mark.parametrize(("folder", "name"), REAL.items())
def test_real_sets_are_told_apart(shared_data: Path, folder: str, name: str) -> None:
    assert sniff(shared_data / folder)[0] == name
