"""Clean sets and the faults planted in them, for `label_faults.py`. One function a label format.

Each takes an empty folder and the folder of real sets, writes a clean set (real pictures and labels, known
faults left out), plants faults where told, and gives them with what must be found: any of the kinds, and a
word that the finding's message, records or places must hold.
"""

from __future__ import annotations

import csv
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np


@dataclass(frozen=True)
class Fault:
    """What was planted, and what counts as found."""

    what: str
    kinds: tuple[str, ...]
    word: str


@dataclass
class Planted:
    """A set with its faults, and how it is imported."""

    source: Path
    faults: list[Fault] = field(default_factory=list)
    format: str = "auto"

    def add(self, what: str, kinds: str, word: str) -> None:
        """Note a fault; `kinds` are separated by blanks."""
        self.faults.append(Fault(what, tuple(kinds.split()), word))


Maker = Callable[[Path, Path, bool], Planted]

DROPPED, FIXED = "import-dropped", "import-fixed"


def changed(source: Path, target: Path, change: Callable[[Any], Any], quality: int = 60) -> None:
    """A picture read, changed and written again."""
    cv2.imwrite(str(target), change(cv2.imread(str(source))), [cv2.IMWRITE_JPEG_QUALITY, quality])


def brighter(picture: Any) -> Any:
    return cv2.convertScaleAbs(picture, alpha=1.05, beta=6)


def turned(data: bytes, orientation: int) -> bytes:
    """JPEG bytes with an EXIF orientation."""
    tags = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, *[0] * 7])
    return data[:2] + b"\xff\xe1" + (len(tags) + 2).to_bytes(2, "big") + tags + data[2:]


# Pascal VOC: blood cells


def _box(root: ET.Element, name: str, corners: Sequence[float | str]) -> None:
    thing = ET.SubElement(root, "object")
    ET.SubElement(thing, "name").text = name
    box = ET.SubElement(thing, "bndbox")
    for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
        ET.SubElement(box, tag).text = str(value)


def _corners(thing: ET.Element) -> list[int]:
    return [int(thing.findtext(f"bndbox/{tag}", "0")) for tag in ("xmin", "ymin", "xmax", "ymax")]


def voc(folder: Path, real: Path, plant: bool) -> Planted:
    """Sixty pictures of BCCD."""
    origin = real / "bccd" / "BCCD"
    faulty = {f"BloodImage_{n:05d}" for n in (13, 20, 37, 38, 100, 104)}
    names = [p.stem for p in sorted((origin / "Annotations").glob("*.xml")) if p.stem not in faulty][:60]
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for name in names:
        shutil.copy(origin / "Annotations" / f"{name}.xml", folder / "Annotations")
        shutil.copy(origin / "JPEGImages" / f"{name}.jpg", folder / "JPEGImages")
    planted = Planted(folder)
    extra: dict[str, str] = _plant_voc(planted, names) if plant else {}
    parts = {name: ("train", "val", "test")[i % 3] for i, name in enumerate(names)} | extra
    for part in ("train", "val", "test"):
        listed = [name for name, where in parts.items() if where == part]
        (folder / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(listed) + "\n")
    return planted


def _plant_voc(planted: Planted, names: list[str]) -> dict[str, str]:
    pictures, labels = planted.source / "JPEGImages", planted.source / "Annotations"

    def picture(i: int) -> Path:
        return pictures / f"{names[i]}.jpg"

    picture(0).unlink()
    planted.add("picture file removed", f"missing-file {DROPPED}", names[0])
    picture(1).write_bytes(b"")
    planted.add("picture emptied", f"empty-file {DROPPED}", names[1])
    data = picture(2).read_bytes()
    picture(2).write_bytes(data[: len(data) // 2])
    planted.add("picture cut in half", f"truncated-file {DROPPED}", names[2])
    picture(3).write_text("<html>404 not found</html>")
    planted.add("picture is an error page", f"unreadable-file {DROPPED}", names[3])
    _plant_voc_marks(planted, labels, names)
    copy = {names[40]: "voc_same_a", names[41]: "voc_same_b", names[42]: "voc_near"}
    for source, target in copy.items():
        text = (labels / f"{source}.xml").read_text().replace(f"{source}.jpg", f"{target}.jpg")
        (labels / f"{target}.xml").write_text(text)
        shutil.copy(pictures / f"{source}.jpg", pictures / f"{target}.jpg")
    planted.add("copy of a training picture in val", "exact-copies-across-split", "voc_same_a")
    tree = ET.parse(labels / "voc_same_b.xml")
    for thing in tree.findall("object")[:3]:
        tree.getroot().remove(thing)
    tree.write(labels / "voc_same_b.xml")
    planted.add("copy with three boxes fewer", "labels-disagree", "voc_same_b")
    changed(pictures / "voc_near.jpg", pictures / "voc_near.jpg", brighter)
    planted.add("recompressed, brighter copy in another part", "near-copies-across-split", "voc_near")
    sides = ("train", "val", "test")
    return {"voc_same_a": sides[(40 + 1) % 3], "voc_same_b": sides[41 % 3], "voc_near": sides[(42 + 1) % 3]}


def _plant_voc_marks(planted: Planted, labels: Path, names: list[str]) -> None:
    def edit(i: int, change: Callable[[ET.Element], None]) -> None:
        path = labels / f"{names[i]}.xml"
        tree = ET.parse(path)
        change(tree.getroot())
        tree.write(path)

    def add(i: int, what: str, kinds: str, corners: Sequence[float | str], name: str = "RBC") -> None:
        edit(i, lambda root: _box(root, name, corners))
        planted.add(what, kinds, names[i])

    def resize(root: ET.Element) -> None:
        for tag, value in (("width", "480"), ("height", "640")):
            place = root.find(f"size/{tag}")
            assert place is not None
            place.text = value

    edit(4, resize)
    planted.add("width and height exchanged", f"size-differs {FIXED}", names[4])
    add(5, "box leaves the picture", f"box-outside {FIXED} {DROPPED}", (600, 300, 700, 400))
    add(6, "box in another picture's coordinates", f"box-outside {DROPPED}", (900, 700, 990, 790))
    add(7, "box without area", f"box-empty {DROPPED}", (300, 200, 300, 200))
    add(8, "box inverted", f"box-inverted {FIXED}", (400, 300, 330, 250))
    add(9, "box that is not a number", f"not-finite {DROPPED}", ("nan", 20, 90, 90))
    add(10, "box two pixels high", "box-sliver", (100, 200, 220, 201), "WBC")

    def twice(shift: int, name: str = "") -> Callable[[ET.Element], None]:
        def change(root: ET.Element) -> None:
            thing = root.findall("object")[0]
            x1, y1, x2, y2 = _corners(thing)
            _box(root, name or thing.findtext("name", ""), (x1, y1, x2 - shift, y2))

        return change

    edit(11, twice(0))
    planted.add("box written twice", "box-doubled", names[11])
    edit(12, twice(5))
    planted.add("box drawn twice", "box-nearly-doubled box-doubled", names[12])
    edit(13, twice(0, "Platelets"))
    planted.add("one box with two classes", "box-two-classes", names[13])
    add(14, "class name misspelled", "class-names-alike", (100, 100, 180, 190), "rbc")
    planted.faults[-1] = Fault("class name misspelled", ("class-names-alike",), "rbc")


# YOLO: shuttlecocks


def yolo(folder: Path, real: Path, plant: bool) -> Planted:
    """The validation part of the shuttlecock set as train and valid, without its near copies."""
    origin = real / "badminton_shuttle_yolo" / "valid"
    known = ("vid6000", "_MG_6371", "_MG_6373", "_MG_6485", "_MG_6486")
    pictures = [p for p in sorted((origin / "images").glob("*.jpg")) if not p.name.startswith(known)][:80]
    lines: dict[str, list[str]] = {}
    for i, path in enumerate(pictures):
        part = "valid" if i % 4 == 0 else "train"
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
        name = f"{part}/labels/{path.stem}.txt"
        shutil.copy(path, folder / part / "images")
        lines[name] = [
            "0" + line[1:] for line in (origin / "labels" / f"{path.stem}.txt").read_text().splitlines()
        ]
    classes = ["shuttlecock"]
    planted = Planted(folder)
    if plant:
        classes.append("racket")
        _plant_yolo(planted, lines)
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + ("\n" if rows else ""))
    where = "train: ../train/images\nval: ../valid/images\n"
    (folder / "data.yaml").write_text(f"{where}nc: {len(classes)}\nnames: {json.dumps(classes)}\n")
    return planted


def _plant_yolo(planted: Planted, lines: dict[str, list[str]]) -> None:
    names = sorted(name for name in lines if name.startswith("train"))

    def line(i: int, what: str, kinds: str, text: str) -> None:
        lines[names[i]].append(text)
        planted.add(what, kinds, Path(names[i]).stem[:30])

    planted.add("class declared and never used", "class-unused", "racket")
    line(0, "class index that is not declared", f"class-undeclared {DROPPED}", "7 0.5 0.5 0.1 0.1")
    line(1, "box over the border", f"box-outside {FIXED} {DROPPED}", "0 0.98 0.5 0.2 0.2")
    line(2, "pixels where shares belong", f"box-outside {DROPPED}", "0 160 120 40 40")
    line(3, "negative width", f"box-inverted box-empty {FIXED} {DROPPED}", "0 0.5 0.5 -0.1 0.1")
    line(4, "infinite coordinate", f"not-finite {DROPPED}", "0 inf 0.5 0.1 0.1")
    line(5, "line written twice", "box-doubled", lines[names[5]][0])
    line(6, "sliver", "box-sliver", "0 0.5 0.3 0.4 0.002")
    lines[names[7]] = []
    planted.add("label file emptied", "empty-picture", Path(names[7]).stem[:30])
    pictures = planted.source / "train" / "images"
    stem = Path(names[8]).stem
    flipped = planted.source / "valid" / "images" / "flipped.jpg"
    changed(pictures / f"{stem}.jpg", flipped, lambda p: p[:, ::-1], 90)
    x, rest = lines[names[8]][0].split()[1], lines[names[8]][0].split()[2:]
    lines["valid/labels/flipped.txt"] = [" ".join(["0", f"{1 - float(x):.6f}", *rest])]
    planted.add("mirrored copy in valid", "near-copies-across-split", "flipped")
    source = stem.split(".rf.")[0]
    moved = planted.source / "valid" / "images" / f"{source}.rf.0123456789abcdef.jpg"
    changed(pictures / f"{stem}.jpg", moved, lambda p: p[p.shape[0] // 3 :, p.shape[1] // 3 :])
    lines[f"valid/labels/{moved.stem}.txt"] = []
    planted.add("augmented copy of a training source in valid", "group-across-split", source)


# COCO: nuts


def coco(folder: Path, real: Path, plant: bool) -> Planted:
    """The nuts, polygons."""
    origin = real / "nuts_coco_instances" / "data"
    shutil.copytree(origin / "images", folder / "images")
    value = json.loads((origin / "trainval.json").read_text())
    planted = Planted(folder)
    if plant:
        _plant_coco(planted, value)
    (folder / "annotations.json").write_text(json.dumps(value))
    return planted


def _plant_coco(planted: Planted, value: dict[str, Any]) -> None:
    marks, images = value["annotations"], value["images"]
    next_id = max(mark["id"] for mark in marks) + 1

    def add(image: int, what: str, kinds: str, ring: list[float], **changes: Any) -> None:
        nonlocal next_id
        xs, ys = ring[0::2], ring[1::2]
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        mark = {"id": next_id, "image_id": images[image]["id"], "category_id": 1, "iscrowd": 0}
        mark |= {"segmentation": [ring], "bbox": box, "area": box[2] * box[3], **changes}
        marks.append(mark)
        planted.add(what, kinds, str(next_id))
        next_id += 1

    square = [10.0, 10.0, 90.0, 10.0, 90.0, 90.0, 10.0, 90.0]
    far = [v + 2000 for v in square]
    add(0, "polygon over the border", f"box-outside {FIXED}", [-30.0, 10.0, 60.0, 10.0, 60.0, 90.0])
    add(1, "polygon outside the picture", f"box-outside {DROPPED}", far)
    add(2, "polygon of two points", f"box-empty {DROPPED} {FIXED}", [10.0, 10.0, 90.0, 90.0])
    add(3, "polygon without area", f"box-empty {DROPPED} {FIXED}", [10.0, 10.0, 50.0, 50.0, 90.0, 90.0])
    crossing = [10.0, 10.0, 90.0, 90.0, 90.0, 10.0, 10.0, 90.0, 5.0, 50.0]
    add(4, "polygon that crosses itself", "polygon-crosses-itself", crossing)
    add(5, "category that is not declared", f"class-undeclared {DROPPED}", square, category_id=99)
    add(6, "annotation of no image", DROPPED, square, image_id=123456)
    # Its picture is not known, so the place is a pointer.
    planted.faults[-1] = Fault("annotation of no image", (DROPPED,), f"/annotations/{len(marks) - 1}")
    original = next(mark for mark in marks if mark["image_id"] == images[7]["id"])
    add(7, "annotation written twice", "box-doubled", original["segmentation"][0])
    marks[-1] |= {"category_id": original["category_id"], "bbox": original["bbox"]}
    images[8]["width"], images[8]["height"] = 1600, 1200
    planted.add("declared size is twice the file's", f"size-differs {FIXED}", images[8]["file_name"])
    (planted.source / "images" / images[9]["file_name"]).unlink()
    planted.add("picture file removed", f"missing-file {DROPPED}", images[9]["file_name"])
    value["categories"].append({"id": 4, "name": "walnut", "supercategory": ""})
    planted.add("category never used", "class-unused", "walnut")


# Folders: hands


def folders(folder: Path, real: Path, plant: bool) -> Planted:
    """Forty hands of each of four digits."""
    origin = real / "sign_language_digits" / "Dataset"
    for digit in "0123":
        (folder / digit).mkdir(parents=True)
        for path in sorted((origin / digit).glob("*.JPG"))[:40]:
            shutil.copy(path, folder / digit)
    planted = Planted(folder)
    if not plant:
        return planted
    chosen = {digit: sorted((folder / digit).glob("*.JPG")) for digit in "0123"}
    shutil.copy(chosen["0"][0], folder / "1" / "misfiled.JPG")
    planted.add("picture also in another class's folder", "labels-disagree", "misfiled")
    shutil.copy(chosen["0"][1], folder / "0" / "again.JPG")
    planted.add("picture twice in its folder", "exact-copies", "again")
    double = folder / "2" / "double.JPG"
    changed(chosen["2"][0], double, lambda p: cv2.resize(p, None, fx=2, fy=2), 90)
    planted.add("resized copy", "near-copies", "double")
    planted.add("one picture of another size", "mixed-sizes", "200x200")
    upright = cv2.imencode(".jpg", cv2.imread(str(chosen["3"][0])))[1].tobytes()  # without its own EXIF
    chosen["3"][0].write_bytes(turned(upright, 6))
    planted.add("picture stored turned", "exif-rotated", chosen["3"][0].name)
    chosen["3"][1].write_bytes(b"")
    planted.add("picture emptied", f"empty-file {DROPPED}", chosen["3"][1].name)
    for path in chosen["1"][3:]:
        path.unlink()
    planted.add("class with few examples left", "class-rare", "'1'")
    return planted


# Ball tracks: real rallies, made frames


def tracks(folder: Path, real: Path, plant: bool) -> Planted:
    """Four real rallies over made frames."""
    files = sorted((real / "tracknetv3_badminton_test_labels").rglob("*.csv"))
    planted = Planted(folder)
    (folder / "csv").mkdir(parents=True)
    kept = 0
    for number, path in enumerate(files):
        rows = list(csv.DictReader(path.open()))[:150]
        if any(r["Visibility"] == "1" and float(r["X"]) == float(r["Y"]) == 0 for r in rows):
            continue
        name = f"rally{kept}"
        _video(folder / "csv" / f"{name}.mp4", len(rows), number)
        if plant:
            _plant_track(planted, rows, name, kept)
        with (folder / "csv" / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["Frame", "Visibility", "X", "Y"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        kept += 1
        if kept == 4:
            break
    return planted


def _video(path: Path, frames: int, seed: int) -> None:
    import av

    rng = np.random.default_rng(seed)
    ground = cv2.resize(
        rng.integers(0, 255, (9, 16, 3), np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC
    )
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "40"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ground, format="rgb24")))
        container.mux(stream.encode())


def _plant_track(planted: Planted, rows: list[dict[str, str]], name: str, number: int) -> None:
    seen = [
        i for i in range(20, len(rows) - 20) if all(rows[k]["Visibility"] == "1" for k in range(i - 6, i + 7))
    ]
    at = seen[len(seen) // 2]
    frame = rows[at]["Frame"]
    if number == 0:
        rows[at] |= {"X": "0", "Y": "0"}
        planted.add("visible at (0, 0)", "point-at-origin", f"{name}.mp4#{frame}")
        other = seen[len(seen) // 4]
        x = float(rows[other]["X"])
        rows[other]["X"] = str(x + 420 if x < 640 else x - 420)
        planted.add("point far from its neighbours", "jump", f"{name}.mp4#{rows[other]['Frame']}")
    elif number == 1:
        rows[at] |= {"X": "1900", "Y": "1000"}
        planted.add("point in another picture's coordinates", f"point-outside {DROPPED}", f"{name}.csv")
    elif number == 2:
        rows.append({"Frame": "400", "Visibility": "1", "X": "300", "Y": "300"})
        planted.add("frame behind the video's end", f"missing-frame {DROPPED}", f"{name}.csv")
        rows.append(dict(rows[30]))
        planted.add("frame listed twice", DROPPED, f"{name}.csv")
    else:
        for row in rows:
            row["Visibility"] = "0"
        planted.add("nothing marked visible", "never-visible", f"{name}.mp4")


SETS: dict[str, Maker] = {"voc": voc, "yolo": yolo, "coco": coco, "folders": folders, "tracks": tracks}
