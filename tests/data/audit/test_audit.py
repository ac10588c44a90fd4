from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.made import make_dataset, texture
from sightline.core.errors import AuditFailed
from sightline.core.media import write_picture
from sightline.core.records import Annotation, Record, Rle
from sightline.data.audit import Audit, audit
from sightline.data.audit.facts import media_facts
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.split import Split, make_split

SIZE = (96, 72)
GOOD = (10.0, 10.0, 40.0, 40.0)


def record(name: str, *marks: Annotation, **fields: Any) -> Record:
    return Record(name, name, fields.pop("size_wh", SIZE), marks or (Annotation(0, GOOD),), **fields)


def audited(folder: Path, records: list[Record], **options: Any) -> Audit:
    return audit(make_dataset(folder, records, **options))


def clean(count: int = 6) -> list[Record]:
    return [record(f"clean{i}.png", Annotation(i % 2, GOOD)) for i in range(count)]


def test_a_clean_dataset_has_no_errors_and_no_warnings(tmp_path: Path) -> None:
    found = audited(tmp_path, clean())
    assert found.levels()["error"] == found.levels()["warning"] == 0, found.findings
    found.check()
    assert "leaks are not checked" in found.unchecked[0]


def jpeg(seed: int) -> bytes:
    return cv2.imencode(".jpg", texture(seed))[1].tobytes()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (None, "missing-file"),
        (b"", "empty-file"),
        (jpeg(1)[:400], "truncated-file"),
        (cv2.imencode(".png", texture(1))[1].tobytes()[:900], "truncated-file"),
        (b"this is no picture at all", "unreadable-file"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path, content: bytes | None, kind: str
) -> None:
    found = audited(tmp_path, [*clean(), record("bad.png")], pictures={"bad.png": content})
    assert [f.kind for f in found.errors] == [kind]
    assert found.errors[0].records == ("bad.png",)
    with pytest.raises(AuditFailed, match=r"1 errors stand .*bad\.png"):
        found.check()


RING = np.array([(5.0, 5.0), (40.0, 5.0), (40.0, 40.0)])
BOWTIE = np.array([(5.0, 5.0), (40.0, 40.0), (40.0, 5.0), (5.0, 40.0)])
BOWTIE_BOX = (5.0, 5.0, 40.0, 40.0)


@pytest.mark.parametrize(
    ("mark", "level", "kind"),
    [
        (Annotation(0, (80.0, 10.0, 120.0, 40.0)), "error", "box-outside"),
        (Annotation(0, (-9.0, 10.0, 20.0, 40.0)), "error", "box-outside"),
        (Annotation(0, (10.0, 10.0, 10.0, 40.0)), "error", "box-empty"),
        (Annotation(0, (40.0, 40.0, 10.0, 10.0)), "error", "box-inverted"),
        (Annotation(0, (10.0, 10.0, 60.0, 11.0)), "warning", "box-sliver"),
        (Annotation(0, (10.0, 10.0, float("nan"), 11.0)), "error", "not-finite"),
        (Annotation(0, (0.0, 0.0, 300.0, 40.0), (RING * 7,)), "error", "box-outside"),
        (Annotation(0, BOWTIE_BOX, (BOWTIE,)), "error", "box-empty"),
        (Annotation(0, BOWTIE_BOX, (np.vstack([BOWTIE, (2.0, 20.0)]),)), "warning", "polygon-crosses-itself"),
        (Annotation(0, GOOD, mask=Rle.encode(np.zeros((72, 96), bool))), "error", "box-empty"),
        (Annotation(0, GOOD, mask=Rle.encode(np.ones((10, 10), bool))), "error", "box-outside"),
        (Annotation(0, point=(0.0, 0.0)), "error", "point-at-origin"),
        (Annotation(0, point=(0.5, 0.5)), "error", "point-at-origin"),
        (Annotation(0, point=(200.0, 10.0)), "error", "point-outside"),
    ],
)
def test_a_faulty_mark_is_found_where_it_is(tmp_path: Path, mark: Annotation, level: str, kind: str) -> None:
    faulty = record("bad.png", Annotation(1, (50.0, 50.0, 70.0, 65.0)), mark, source="labels.xml")
    found = audited(tmp_path, [*clean(), faulty])
    about = [f for f in found.findings if f.level != "info"]
    assert [(f.level, f.kind) for f in about] == [(level, kind)]
    assert about[0].marks == {"bad.png": (1,)} and about[0].places == ("labels.xml",)


@pytest.mark.parametrize(
    "mark",
    [
        Annotation(0, (0.0, 0.0, 96.0, 72.0)),
        Annotation(0, (95.0, 70.0, 96.4, 72.0), crowd=True),
        Annotation(0, point=(0.0, 0.0), visible=False),
        Annotation(0, point=(0.0, 30.0)),
        Annotation(0, (5.0, 5.0, 40.0, 40.0), (RING,)),
    ],
)
def test_a_mark_at_the_border_or_hidden_is_no_error(tmp_path: Path, mark: Annotation) -> None:
    assert not audited(tmp_path, [*clean(), record("fine.png", mark)]).errors


def test_doubled_marks_are_found_and_neighbours_are_not(tmp_path: Path) -> None:
    twice = record("twice.png", Annotation(0, GOOD), Annotation(0, GOOD))
    nearly = record("nearly.png", Annotation(0, GOOD), Annotation(0, (11.0, 10.0, 41.0, 40.5)))
    two = record("two.png", Annotation(0, GOOD), Annotation(1, GOOD))
    label = record("label.png", Annotation(1), Annotation(1))
    near_by = record("neighbours.png", Annotation(0, GOOD), Annotation(0, (18.0, 10.0, 48.0, 40.0)))
    found = audited(tmp_path, [*clean(), twice, nearly, two, label, near_by])
    kinds = {f.records[0]: f.kind for f in found.findings if f.records}
    assert kinds["twice.png"] == kinds["label.png"] == "box-doubled"
    assert (kinds["nearly.png"], kinds["two.png"]) == ("box-nearly-doubled", "box-two-classes")
    assert "neighbours.png" not in kinds


def test_a_declared_size_that_is_not_the_files_is_an_error(tmp_path: Path) -> None:
    found = audited(tmp_path, [*clean(), record("bad.png", size_wh=(72, 96))])
    assert [f.kind for f in found.errors] == ["size-differs"]
    assert "declared 72x96, the file is 96x72" in found.errors[0].message


def turned(orientation: int) -> bytes:
    """A JPEG with an EXIF orientation."""
    tags = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes(
        [orientation, 0, 0, 0, 0, 0, 0, 0]
    )
    data = jpeg(5)
    return data[:2] + b"\xff\xe1" + (len(tags) + 2).to_bytes(2, "big") + tags + data[2:]


def test_a_turned_picture_is_told_and_its_upright_size_is_what_counts(tmp_path: Path) -> None:
    rows = [*clean(), record("turned.jpg", size_wh=(72, 96))]
    found = audited(tmp_path, rows, pictures={"turned.jpg": turned(6)})
    assert not found.errors
    assert [f.records for f in found.of("exif-rotated")] == [("turned.jpg",)]
    assert "2 sizes: 96x72 (6), 72x96 (1)" in found.of("mixed-sizes")[0].message


def split_of(dataset: Any, **parts: str) -> Split:
    rest = {r.id: "train" for r in dataset.records}
    names = {f"{key}.png": part for key, part in parts.items()}
    return Split("test", {**rest, "clean0.png": "val", **names}, dataset.fingerprint)


def test_copies_are_found_and_are_errors_where_they_cross_the_split(tmp_path: Path) -> None:
    same, bright = texture(7), np.clip(texture(8).astype(int) + 10, 0, 255).astype(np.uint8)
    flipped = np.ascontiguousarray(texture(9)[:, ::-1])
    pictures = {"a.png": same, "b.png": same, "c.png": texture(8), "d.png": bright}
    pictures |= {"e.png": texture(9), "f.png": flipped}
    rows = [*clean(), *(record(f"{name}.png") for name in "abcdef")]
    dataset = make_dataset(tmp_path, rows, pictures=pictures)
    apart = audit(dataset, split_of(dataset))
    copies = {f.kind: f.records for f in apart.findings if f.kind.endswith("copies")}
    assert copies == {
        "exact-copies": ("a.png", "b.png"),
        "near-copies": ("c.png", "d.png"),
        "mirrored-copies": ("e.png", "f.png"),
    }
    assert not apart.errors
    crossing = audit(dataset, split_of(dataset, b="test", d="val", f="test"))
    assert [f.kind for f in crossing.errors] == ["exact-copies-across-split"]
    assert len(crossing.of("near-copies-across-split")) == 2


def test_the_authors_split_can_only_warn_unless_it_is_named(tmp_path: Path) -> None:
    same = texture(7)
    rows = [
        record("a.png", group="g", partition="train"),
        record("b.png", group="g", partition="val"),
        record("c.png", partition="train"),
        record("d.png", Annotation(1, GOOD), partition="val"),
    ]
    dataset = make_dataset(tmp_path, rows, pictures={"a.png": same, "b.png": same})
    unasked = audit(dataset)
    assert not unasked.errors and unasked.split == "author"
    assert {"exact-copies-across-split", "group-across-split"} <= {f.kind for f in unasked.findings}
    named = audit(dataset, dataset.split("author"))
    assert {f.kind for f in named.errors} == {"exact-copies-across-split", "group-across-split"}


def test_copies_that_are_labelled_differently_are_found(tmp_path: Path) -> None:
    same, other = texture(7), texture(8)
    rows = [
        *clean(),
        record("a.png", Annotation(0, GOOD)),
        record("b.png", Annotation(1, GOOD)),
        record("c.png", Annotation(0)),
        record("d.png", Annotation(1)),
        record("e.png", Annotation(0, GOOD)),
        record("f.png", Annotation(0, (11.0, 10.0, 41.0, 41.0))),
    ]
    third = texture(9)
    names = {"a": same, "b": same, "c": other, "d": other, "e": third, "f": third}
    found = audited(tmp_path, rows, pictures={f"{k}.png": v for k, v in names.items()})
    told = [f.records for f in found.of("labels-disagree")]
    assert told == [("a.png", "b.png"), ("c.png", "d.png")], "half a pixel is no disagreement"
    assert all(f.level == "error" for f in found.of("labels-disagree"))


def test_classes_that_are_unused_rare_uneven_or_badly_named_are_found(tmp_path: Path) -> None:
    many = tuple(Annotation(0, (i * 1.0, 5.0, i + 20.0, 50.0)) for i in range(0, 60, 6))
    rows = [record(f"{i}.png", *many) for i in range(20)]
    rows.append(record("odd.png", Annotation(1, GOOD)))
    found = audited(tmp_path, rows, classes=("car", "15", "Car ", "bus"))
    assert [f.message for f in found.of("class-unused")] == [
        "class 'Car ' (index 2) is declared and never used",
        "class 'bus' (index 3) is declared and never used",
    ]
    assert found.of("class-rare")[0].records == ("odd.png",)
    assert "'15' is a number" in found.of("class-odd-name")[0].message
    assert "'car', 'Car '" in found.of("class-names-alike")[0].message
    assert "200 times" in found.of("class-imbalance")[0].message
    row = found.classes[0]
    assert (row.marks, row.records) == (200, 20)
    # Cui et al. 2019 with beta = (N - 1) / N, N = 201
    assert row.effective == pytest.approx((1 - (200 / 201) ** 200) * 201)


def test_a_class_that_a_part_lacks_and_records_in_no_part_are_told(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, clean())
    parts = {f"clean{i}.png": part for i, part in enumerate(["train", "train", "train", "val", "test"])}
    found = audit(dataset, Split("mine", parts, dataset.fingerprint))
    absent = [f.message for f in found.of("class-not-in-part")]
    assert absent == ["class 'ball' has no mark in val", "class 'cup' has no mark in test"]
    assert found.of("not-in-split")[0].records == ("clean5.png",)


def test_the_ledger_of_the_import_is_part_of_the_audit(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.drop("annotation", "box has zero area", "a.xml: line 7")
    ledger.fix("annotation", "box corners were inverted", "a.xml: line 9")
    found = audited(tmp_path, clean(), ledger=ledger)
    assert found.of("import-dropped")[0].places == ("a.xml: line 7",)
    assert found.of("import-fixed")[0].level == "info"


def test_maps_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    fine = np.zeros((72, 96), np.uint8)
    fine[0, 0] = 255
    wrong = fine.copy()
    wrong[5, 5] = 9
    rows = [
        Record("a.png", "a.png", SIZE, maps={"segment": "a_map.png"}),
        Record("b.png", "b.png", SIZE, maps={"segment": "b_map.png"}),
        Record("c.png", "c.png", SIZE, maps={"segment": "c_map.png"}),
        Record("d.png", "d.png", SIZE, maps={"segment": "absent.png"}),
    ]
    source = tmp_path / "source"
    source.mkdir()
    for name, values in {"a": fine, "b": wrong, "c": fine[:40]}.items():
        cv2.imwrite(str(source / f"{name}_map.png"), values)
    found = audited(tmp_path, rows)
    faults = {f.records[0]: f.message for f in found.of("map-fault")}
    assert set(faults) == {"b.png", "c.png", "d.png"}
    assert "holds value 9, there are 2 classes" in faults["b.png"]


def test_facts_are_kept_beside_the_dataset_and_renewed_when_a_file_changes(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, clean(3))
    first = media_facts(dataset)
    assert (dataset.root / "cache" / "media-facts.npz").is_file()
    again = media_facts(dataset)
    assert [f.digest for f in again.values()] == [f.digest for f in first.values()]
    path = tmp_path / "source" / "clean1.png"
    path.write_bytes(jpeg(77)[:500])
    assert media_facts(dataset)["clean1.png"].fault == "truncated"
    (dataset.root / "cache" / "media-facts.npz").write_bytes(b"damaged")
    assert media_facts(dataset)["clean0.png"].digest == first["clean0.png"].digest


def test_the_page_is_one_file_with_thumbnails_and_no_unescaped_names(tmp_path: Path) -> None:
    bad = record("<b>bad & ugly</b>.png", Annotation(0, (80.0, 10.0, 120.0, 40.0)))
    dataset = make_dataset(tmp_path, [*clean(), bad], classes=("<script>", "cup"))
    found = audit(dataset)
    data, html = found.write(tmp_path / "out", dataset)
    page = html.read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in page and "<script>" not in page and "<b>bad" not in page
    assert "http://" not in page and "https://" not in page, "it opens offline"
    value = json.loads(data.read_text(encoding="utf-8"))
    assert value["levels"]["error"] == len(found.errors) == 1
    assert value["findings"][0]["kind"] == "box-outside"
    assert "Mark leaves the picture" in found.to_html(), "also without pictures"


def video(seeds: list[int]) -> bytes:
    """A video with one texture a frame, each a key frame, so that equal textures decode alike."""
    import io

    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"g": "1", "qp": "0", "preset": "ultrafast"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for seed in seeds:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(texture(seed), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def frames(name: str, count: int) -> list[Record]:
    return [
        Record(f"{name}#{i}", name, SIZE, (Annotation(0, GOOD),), frame=i, group=name) for i in range(count)
    ]


def test_the_frames_of_a_video_are_read_and_one_behind_its_end_is_an_error(tmp_path: Path) -> None:
    found = audited(tmp_path, frames("v.mp4", 8), pictures={"v.mp4": video([1] * 6)})
    assert [f.records[0] for f in found.of("missing-frame")] == ["v.mp4#6", "v.mp4#7"]
    assert not found.of("exact-copies") and not found.of("near-copies"), "frames of one video are no copies"


def test_a_copied_video_is_found_and_one_that_shares_a_title_or_a_camera_is_not(tmp_path: Path) -> None:
    seeds = list(range(1, 9))
    pictures: dict[str, Any] = {
        "a.mp4": video(seeds),
        "copy.mp4": video(seeds),
        "title.mp4": video([1, *range(20, 27)]),
    }
    rows = [row for name in pictures for row in frames(name, 8)]
    found = audited(tmp_path, rows, pictures=pictures)
    copies = found.of("exact-copies")
    assert len(copies) == 8
    assert {i.split("#")[0] for f in copies[1:] for i in f.records} == {"a.mp4", "copy.mp4"}


def test_videos_of_one_fixed_camera_are_not_copies_of_one_another(tmp_path: Path) -> None:
    def scene(seed: int) -> Any:
        picture = texture(5)
        cv2.circle(picture, (10 + 9 * seed, 30), 3, (255, 255, 255), -1)
        return picture

    rows = [
        Record(f"{v}/{i}.png", f"{v}/{i}.png", SIZE, (Annotation(0, GOOD),), frame=i, group=v)
        for v in "abcd"
        for i in range(2)
    ]
    pictures = {r.media: scene(n) for n, r in enumerate(rows)}
    dataset = make_dataset(tmp_path, rows, pictures=pictures)
    found = audit(dataset)
    assert not [f for f in found.findings if "cop" in f.kind or f.kind == "labels-disagree"]
    assert set(make_split(dataset).counts()) == {"train", "val", "test"}


def test_a_box_of_another_picture_that_reaches_into_this_one_is_a_warning(tmp_path: Path) -> None:
    """The box was drawn on the large picture and is filed under the small one, where a corner is inside."""
    source = tmp_path / "source"
    source.mkdir()
    write_picture(source / "large.png", texture(1, 400, 300))
    write_picture(source / "small.png", texture(2))
    boxes = {7: [80, 60, 200, 150], 8: [70, 40, 40, 30], 9: [10, 10, 20, 20]}
    labels = {
        "images": [
            {"id": 1, "file_name": "large.png", "width": 400, "height": 300},
            {"id": 2, "file_name": "small.png", "width": 96, "height": 72},
        ],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [{"id": i, "image_id": 2, "category_id": 1, "bbox": box} for i, box in boxes.items()],
    }
    (source / "instances.json").write_text(json.dumps(labels))
    dataset, ledger = import_dataset(source, tmp_path / "dataset")
    assert ledger.to_json()["counts"]["annotation"] == {"read": 3, "kept": 1, "fixed": 2, "dropped": 0}
    found = audit(dataset)
    (cut,) = found.of("import-cut")
    assert cut.level == "warning" and len(cut.places) == 1 and "annotation 7" in cut.places[0]
    assert "more than half of its area" in cut.message
    assert [f.level for f in found.of("import-fixed")] == ["info"]
