from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sightline.core.errors import MediaError, ProblemError, TrainingFailed
from sightline.core.geometry import box_iou
from sightline.core.problem import AugmentSection
from sightline.core.records import Annotation, Record, Sample
from sightline.core.specs import InputSpec, Task
from sightline.data.samples import samples
from sightline.train.batches import Loader, Packed, Pictures, pack
from sightline.train.labels import Labeller
from train.toys import SIZE_WH, MemoryDataset

SPEC = {"image": InputSpec((48, 48))}
STILL = {"flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


def pictures(
    tasks: set[Task],
    section: AugmentSection | None = None,
    inputs: Mapping[str, InputSpec] = SPEC,
    dataset: Any = None,
    **options: Any,
) -> Pictures:
    held = dataset or MemoryDataset()
    found = samples(held, [r.id for r in held.records], inputs)
    labeller = Labeller(tasks, held.classes, held.read_map)
    return Pictures(held, found, inputs, labeller, section=section, **options)


def outlined() -> MemoryDataset:
    """Every record has one rectangle with an outline, so that it can be pasted."""
    ring = np.array([[4, 6], [20, 6], [20, 18], [4, 18]], np.float64)
    marks = (Annotation(1, box=(4, 6, 20, 18), polygons=(ring,)),)
    return MemoryDataset(records=[Record(str(i), f"{i}.png", SIZE_WH, marks) for i in range(6)])


def test_a_batch_holds_what_models_are_promised() -> None:
    packed = pictures({"classify", "instances"}).__getitems__([(0, i, 0) for i in (0, 1, 3)])
    assert isinstance(packed, Packed)
    batch = packed.unpack()
    assert batch.inputs["image"].shape == (3, 48, 48, 3) and batch.inputs["image"].dtype == torch.uint8
    assert [int(t["label"]) for t in batch.targets] == [0, 1, 1]
    assert [t["boxes"].shape for t in batch.targets] == [(0, 4), (1, 4), (1, 4)]
    assert batch.targets[1]["boxes"].dtype == torch.float32 and batch.targets[1]["crowd"].dtype == torch.bool
    assert batch.targets[2]["masks"].shape == (1, 48, 48) and batch.targets[0]["masks"].shape == (0, 48, 48)
    assert batch.indices.tolist() == [0, 1, 3] and batch.weights.tolist() == [1, 1, 1]


def test_keys_that_some_elements_lack_stay_with_the_others_and_dense_maps_widen() -> None:
    targets = [{"segment": np.full((4, 4), 255, np.uint8)}, {"depth": np.ones((4, 4), np.float32)}]
    batch = pack({"image": torch.zeros(2, 4, 4, 3)}, targets, [5, 6]).unpack()
    assert batch.targets[0].keys() == {"segment"} and batch.targets[1].keys() == {"depth"}
    assert batch.targets[0]["segment"].dtype == torch.int64 and int(batch.targets[0]["segment"].max()) == 255


def test_workers_make_the_same_batches_as_this_process_epoch_after_epoch() -> None:
    section = AugmentSection(rotate=10, scale=(0.7, 1.3), noise=5, mosaic=0.5)
    apart, here = pictures({"detect"}, section, seed=3), pictures({"detect"}, section, seed=3)
    loader = Loader(apart, 2)
    for epoch in (0, 1):
        keys = [[(epoch, i, 0) for i in range(start, start + 6)] for start in range(0, 24, 6)]
        for packed, expected in zip(loader.batches(keys), keys, strict=True):
            one, other = packed.unpack(), here.__getitems__(expected)
            assert isinstance(other, Packed)
            two = other.unpack()
            assert torch.equal(one.inputs["image"], two.inputs["image"])
            for a, b in zip(one.targets, two.targets, strict=True):
                assert torch.equal(a["boxes"], b["boxes"]) and torch.equal(a["labels"], b["labels"])


def test_an_unreadable_picture_in_a_worker_is_the_error_it_would_be_here() -> None:
    class Torn(MemoryDataset):
        def read(self, record: Record) -> Any:
            raise MediaError("is truncated", where=record.media)

    loader = Loader(pictures({"classify"}, dataset=Torn()), 1)
    with pytest.raises(MediaError, match=r"^0\.png: is truncated$"):
        list(loader.batches([[(0, 0, 0)]]))


def test_a_loader_process_that_is_killed_is_told_as_such() -> None:
    class Deadly(MemoryDataset):
        def read(self, record: Record) -> Any:
            os.kill(os.getpid(), signal.SIGKILL)

    loader = Loader(pictures({"classify"}, dataset=Deadly()), 1)
    with pytest.raises(TrainingFailed, match="loader process was killed"):
        list(loader.batches([[(0, 0, 0)]]))


def test_all_frames_of_a_clip_move_and_colour_alike() -> None:
    dataset = MemoryDataset(3)
    record = dataset.records[1]
    inputs = {"clip": InputSpec((48, 48), frames=3)}
    labeller = Labeller({"detect"}, dataset.classes, dataset.read_map)
    section = AugmentSection(rotate=30, scale=(0.7, 1.3), translate=0.1, brightness=0.3)
    made = Pictures(dataset, [Sample({"clip": (record,) * 3}, record)], inputs, labeller, section=section)
    placed, target = made.element(4, 0)
    assert placed["clip"].shape == (3, 48, 48, 3) and len(target["boxes"]) == 1
    assert (placed["clip"][0] == placed["clip"][1]).all() and (placed["clip"][0] == placed["clip"][2]).all()


def test_inputs_of_two_sizes_move_alike() -> None:
    dataset = MemoryDataset(2)
    inputs = {"image": InputSpec((48, 48)), "small": InputSpec((24, 24), pixels="grey8")}
    record = dataset.records[1]
    labeller = Labeller({"detect"}, dataset.classes, dataset.read_map)
    section = AugmentSection(**STILL | {"rotate": 40.0, "translate": 0.2})  # type: ignore[arg-type]
    sample = Sample({"image": (record,), "small": (record,)}, record)
    placed, _ = Pictures(dataset, [sample], inputs, labeller, section=section).element(1, 0)
    bright, small = placed["image"][:, :, 0] > 180, placed["small"] > 180
    ys, xs = np.nonzero(bright)
    small_ys, small_xs = np.nonzero(small)
    assert abs(xs.mean() + 0.5 - 2 * (small_xs.mean() + 0.5)) < 1
    assert abs(ys.mean() + 0.5 - 2 * (small_ys.mean() + 0.5)) < 1


def test_a_mosaic_keeps_every_box_on_its_bright_pixels() -> None:
    section = AugmentSection(**STILL | {"mosaic": 1.0, "scale": (0.6, 1.2), "rotate90": 0.5})  # type: ignore[arg-type]
    made = pictures({"detect"}, section, dataset=outlined())
    found = 0
    for epoch in range(12):
        placed, target = made.element(epoch, 0)
        for x1, y1, x2, y2 in target["boxes"].round().astype(int):
            inner = placed["image"][y1 + 1 : y2 - 1, x1 + 1 : x2 - 1, 0]
            if inner.size > 20:
                found += 1
                assert (inner > 150).mean() > 0.95
        assert made.element(epoch, 0)[0]["image"].tobytes() == placed["image"].tobytes()
    assert found > 12


def test_mosaics_stop_for_the_last_epochs() -> None:
    section = AugmentSection(**STILL | {"mosaic": 1.0})  # type: ignore[arg-type]
    made = pictures({"detect"}, section, dataset=outlined(), compose_until=5)
    assert len(made.element(5, 0)[1]["boxes"]) == 1
    assert max(len(made.element(4, i)[1]["boxes"]) for i in range(6)) > 1


def test_pasted_objects_bring_their_box_and_mask_and_cover_what_was_there() -> None:
    section = AugmentSection(**STILL | {"copy_paste": 1.0, "translate": 0.3})  # type: ignore[arg-type]
    made = pictures({"instances", "segment"}, section, dataset=outlined())
    counts = set()
    for epoch in range(20):
        placed, target = made.element(epoch, 0)
        counts.add(len(target["boxes"]))
        assert not (target["masks"].sum(0) > 1).any()
        for box, mask in zip(target["boxes"], target["masks"], strict=True):
            assert (placed["image"][mask][:, 0] > 100).mean() > 0.95
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            hull = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]])
            assert box_iou(box, hull)[0, 0] > 0.8
        assert (target["segment"][target["masks"].any(0)] == 1).all()
    assert 2 in counts


def test_mosaic_is_refused_where_labels_could_not_follow() -> None:
    section = AugmentSection(mosaic=0.5)
    with pytest.raises(ProblemError, match="classify"):
        pictures({"classify"}, section)
    with pytest.raises(ProblemError, match="clips"):
        pictures({"detect"}, section, {"clip": InputSpec((8, 8), frames=2)}, MemoryDataset(2))


def pointed() -> MemoryDataset:
    """Two frames of a point that moves right, the first 4 px before the second."""
    marks = [(Annotation(0, point=(x, 14.0)),) for x in (16.0, 20.0)]
    records = [Record(str(i), f"{i}.png", SIZE_WH, mark, frame=i, group="g") for i, mark in enumerate(marks)]
    return MemoryDataset(records=records)


NATIVE = {
    "image": InputSpec((16, 12), fit="native"),
    "track": InputSpec((16, 12), pixels="track", frames=1),
}


def test_a_native_window_is_cut_about_its_centre_and_labels_and_track_follow() -> None:
    made = pictures({"locate"}, AugmentSection(**STILL), NATIVE, pointed())  # type: ignore[arg-type]
    made.samples[1] = replace(made.samples[1], centre=(18.0, 14.0))
    inputs, target = made.element(0, 1)
    source = made.dataset.read(made.samples[1].target)
    assert np.array_equal(inputs["image"], source[8:20, 10:26])
    assert target["points"][0].tolist() == [10, 6] and target["visible"][0] == 1
    assert inputs["track"].tolist() == [[6, 6, 1]]
    made.samples[1] = replace(made.samples[1], centre=(2.0, 2.0))
    assert made.element(0, 1)[1]["visible"][0] == 0


def test_a_window_is_enlarged_about_its_own_centre_and_flips_leave_hidden_rows_zero() -> None:
    section = AugmentSection(**STILL | {"flip": 1.0, "scale": (2.0, 2.0)})  # type: ignore[arg-type]
    made = pictures({"locate"}, section, NATIVE, pointed())
    made.samples[1] = replace(made.samples[1], centre=(18.0, 14.0))
    inputs, target = made.element(0, 1)
    assert target["points"][0].tolist() == [4, 6] and inputs["track"].tolist() == [[12, 6, 1]]
    assert made.element(0, 0)[0]["track"].tolist() == [[0, 0, 0]]
