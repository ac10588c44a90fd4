"""Samples: single pictures, clips that go back in time, and sensors paired by their clocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from sightline.core.errors import DatasetError, MediaError
from sightline.core.media import write_picture
from sightline.core.predictor import Predictor
from sightline.core.records import Annotation, Record
from sightline.core.specs import InputSpec, Signature
from sightline.data.dataset import Dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading
from sightline.data.samples import read_inputs, samples
from sightline.data.writing import write_dataset

SIZE = (32, 24)


def dataset(folder: Path, records: list[Record]) -> Dataset:
    """Pictures whose grey level is the number in their name; depth is a thousand times it."""
    source = folder / "source"
    for record in records:
        path = source / record.media
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            level = int("".join(filter(str.isdigit, path.stem)))
            shape = (SIZE[1], SIZE[0])
            depth = record.sensor == "depth"
            pixels = (
                np.full(shape, level * 1000, np.uint16) if depth else np.full((*shape, 3), level, np.uint8)
            )
            write_picture(path, pixels)
    return write_dataset(folder / "d", Reading(("ball",), records, source), Ledger())


def levels(clip: np.ndarray) -> list[int]:
    return [int(frame.flat[0]) for frame in clip]


def frames(group: str, numbers: list[int], start: int = -1) -> list[Record]:
    return [
        Record(
            f"{group}/{n}.png",
            f"{group}/{n}.png",
            SIZE,
            (Annotation(0, point=(1.0, 1.0)),),
            frame=n,
            group=group,
        )
        for n in numbers
    ]


def test_a_single_picture_is_its_own_sample(tmp_path: Path) -> None:
    data = dataset(tmp_path, frames("a", [1, 2]))
    spec = {"image": InputSpec((16, 16))}
    found = samples(data, ["a/2.png", "a/1.png"], spec)
    assert [s.id for s in found] == ["a/2.png", "a/1.png"] and not found.unpaired
    assert found[0].target.annotations and found[0].group == "a"
    assert read_inputs(data, found[0], spec)["image"].shape == (24, 32, 3)
    grey = {"image": InputSpec((16, 16), pixels="grey8")}
    assert read_inputs(data, found[0], grey)["image"].shape == (24, 32)


def test_a_clip_goes_back_by_its_stride_and_stops_at_the_start_of_its_group(tmp_path: Path) -> None:
    data = dataset(tmp_path, frames("a", [1, 2, 3, 4, 5]) + frames("b", [6, 7, 8]))
    spec = {"clip": InputSpec((16, 16), frames=3, stride=2)}
    ids = ["a/5.png", "a/2.png", "b/6.png", "b/8.png"]
    clips = [read_inputs(data, s, spec)["clip"] for s in samples(data, ids, spec)]
    assert [levels(c) for c in clips] == [[1, 3, 5], [1, 1, 2], [6, 6, 6], [6, 6, 8]]
    assert clips[0].shape == (3, 24, 32, 3)


def test_a_gap_in_numbered_pictures_is_filled_by_the_next_later_one(tmp_path: Path) -> None:
    data = dataset(tmp_path, frames("a", [1, 2, 5, 6]))
    spec = {"clip": InputSpec((16, 16), frames=3)}
    (found,) = samples(data, ["a/6.png"], spec)
    assert levels(read_inputs(data, found, spec)["clip"]) == [5, 5, 6]


def test_pictures_without_frame_numbers_follow_their_names_as_numbers(tmp_path: Path) -> None:
    rows = [Record(f"a/{n}.png", f"a/{n}.png", SIZE, group="a") for n in (10, 9, 100, 11)]
    data = dataset(tmp_path, rows)
    spec = {"clip": InputSpec((16, 16), frames=3)}
    (found,) = samples(data, ["a/100.png"], spec)
    assert levels(read_inputs(data, found, spec)["clip"]) == [10, 11, 100]


def test_a_video_has_its_past_whether_or_not_it_is_labelled(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with av.open(str(source / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for n in range(12):
            picture = np.full((24, 32, 3), 20 * n, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = dataset(tmp_path, [Record(f"v.mp4#{n}", "v.mp4", SIZE, frame=n, group="v.mp4") for n in (0, 9)])
    spec = {"clip": InputSpec((16, 16), frames=3, stride=2)}
    first, last = (read_inputs(data, s, spec)["clip"] for s in samples(data, ["v.mp4#0", "v.mp4#9"], spec))
    assert np.allclose(levels(first), [0, 0, 0], atol=6)
    assert np.allclose(levels(last), [100, 140, 180], atol=6)


def sensors() -> list[Record]:
    def record(name: str, sensor: str, time: float | None, group: str = "s") -> Record:
        return Record(name, name, SIZE, sensor=sensor, time_s=time, group=group)

    return [
        record("rgb1.png", "rgb", 0.0),
        record("rgb2.png", "rgb", 0.1),
        record("rgb3.png", "rgb", 9.0),
        record("depth4.png", "depth", -0.02),
        record("depth5.png", "depth", 0.08),
        record("depth6.png", "depth", 9.0, "another"),
    ]


def test_sensors_pair_by_the_nearest_time_of_one_group_and_the_unpaired_are_told(tmp_path: Path) -> None:
    data = dataset(tmp_path, sensors())
    spec = {
        "image": InputSpec((16, 16), sensor="rgb"),
        "depth": InputSpec((16, 16), sensor="depth", pixels="depth16", fit="stretch"),
    }
    ids = [r.id for r in data.records]
    found = samples(data, ids, spec)
    assert [(s.id, s.inputs["depth"][0].id) for s in found] == [
        ("rgb1.png", "depth4.png"),
        ("rgb2.png", "depth5.png"),
    ]
    assert found.unpaired == ["rgb3.png"]
    inputs = read_inputs(data, found[1], spec)
    assert inputs["depth"].dtype == np.uint16 and int(inputs["depth"][0, 0]) == 5000
    placed, _ = Predictor(Signature(("detect",), ("ball",), spec), lambda x: x).place([inputs])
    assert placed["depth"].shape == (1, 16, 16) and placed["image"].shape == (1, 16, 16, 3)
    assert not samples(data, ids, spec, tolerance_s=0.001) and len(samples(data, ["rgb1.png"], spec)) == 1


def test_what_cannot_be_a_sample_says_so(tmp_path: Path) -> None:
    data = dataset(tmp_path, [*sensors(), Record("rgb7.png", "rgb7.png", SIZE, sensor="rgb", group="s")])
    spec = {"image": InputSpec((16, 16), sensor="rgb"), "depth": InputSpec((16, 16), sensor="depth")}
    with pytest.raises(DatasetError, match=r"rgb7.png: has no time"):
        samples(data, ["rgb7.png"], spec)
    with pytest.raises(DatasetError, match="no record"):
        samples(data, ["absent"], spec)
    deep = {"image": InputSpec((16, 16), pixels="depth16")}
    (found,) = samples(data, ["rgb1.png"], deep)
    with pytest.raises(MediaError, match="depth must be 16-bit grey"):
        read_inputs(data, found, deep)


def test_a_clip_does_not_reach_into_another_folder_of_its_group(tmp_path: Path) -> None:
    records = [replace(r, group="match") for part in ("rally1", "rally2") for r in frames(part, [1, 2, 3])]
    made = dataset(tmp_path, records)
    spec = {"clip": InputSpec(SIZE, frames=3)}
    [clip] = samples(made, ["rally2/1.png"], spec)
    assert [r.media for r in clip.inputs["clip"]] == ["rally2/1.png"] * 3


TRACK = {"clip": InputSpec((8, 8), frames=2), "track": InputSpec((8, 8), pixels="track", frames=3)}


def test_a_track_holds_past_points_only_and_zeros_where_none_is_known(tmp_path: Path) -> None:
    records = frames("a", [1, 2, 4, 5])
    records[2] = replace(records[2], annotations=(Annotation(0, point=(9.0, 9.0), visible=False),))
    records = [
        replace(r, annotations=tuple(replace(a, point=(r.frame, 2.0)) for a in r.annotations))
        for r in records
    ]
    made = dataset(tmp_path, records)
    found = samples(made, [r.id for r in records], TRACK)
    tracks = [read_inputs(made, sample, TRACK)["track"].tolist() for sample in found]
    none, one, two = [0, 0, 0], [1, 2, 1], [2, 2, 1]
    assert tracks == [[none, none, none], [none, none, one], [one, two, none], [two, none, none]]
    assert tracks[0] and read_inputs(made, found[0], TRACK)["track"].dtype == np.float32


def test_a_sample_hands_its_centre_to_the_predictor(tmp_path: Path) -> None:
    made = dataset(tmp_path, frames("a", [1]))
    (sample,) = samples(made, ["a/1.png"], {"image": InputSpec((8, 8), fit="native")})
    spec = {"image": InputSpec((8, 8), fit="native")}
    assert "centre" not in read_inputs(made, sample, spec)
    assert read_inputs(made, replace(sample, centre=(3.0, 4.0)), spec)["centre"].tolist() == [3, 4]
