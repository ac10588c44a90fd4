"""What unevenness does to a training, and what is told of records without a partner."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from data.made import make_dataset
from sightline.core.problem import TrainSection
from sightline.core.records import Annotation, Record, Sample
from sightline.core.specs import InputSpec, Signature
from sightline.train.material import part_samples
from sightline.train.training import balanced

SIZE = (10, 6)
RING = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])


def model(task: Any, classes: tuple[str, ...]) -> Any:
    signature = Signature((task,), classes, {"image": InputSpec((16, 16))})
    return SimpleNamespace(signature=signature, class_weights=torch.ones(len(classes)))


def part(*records: Record) -> list[Sample]:
    return [Sample({"image": (record,)}, record) for record in records]


def section(**options: Any) -> TrainSection:
    return TrainSection.model_validate(options)


def test_segments_are_weighed_by_pixels_and_sampled_by_what_their_maps_show() -> None:
    def read_map(record: Record, task: str) -> Any:
        truth = np.zeros((6, 10), np.uint8)
        truth[0, : 6 * (record.id == "b")] = 1
        return truth

    dataset = SimpleNamespace(classes=("road", "sign"), read_map=read_map)
    rows = part(*(Record(name, name, SIZE, maps={"segment": "m"}) for name in "abc"))
    learner = model("segment", dataset.classes)
    labels = balanced(learner, dataset, rows, section(class_weights="effective-number", sampling="over"))
    assert labels == [[0], [0, 1], [0]]
    road, sign = learner.class_weights.tolist()
    assert sign / road == pytest.approx((1 - np.exp(-174 / 180)) / (1 - np.exp(-6 / 180)), rel=0.01)


def test_background_between_polygons_is_weighed_too() -> None:
    dataset = SimpleNamespace(classes=("background", "sign"), read_map=None)
    mark = Annotation(1, box=(1, 1, 4, 3), polygons=(RING,))
    learner = model("segment", dataset.classes)
    balanced(
        learner, dataset, part(Record("a", "a", SIZE, (mark,))), section(class_weights="effective-number")
    )
    assert learner.class_weights[0] < 1 < learner.class_weights[1]


def test_no_map_is_read_where_nothing_depends_on_it() -> None:
    dataset = SimpleNamespace(classes=("road",), read_map=lambda *_: pytest.fail("read"))
    rows = part(Record("a", "a", SIZE, maps={"segment": "m"}))
    assert balanced(model("segment", ("road",)), dataset, rows, section()) == [[]]


def test_records_without_a_partner_are_told_with_their_number(tmp_path: Path) -> None:
    rows = [
        Record(f"{sensor}{t}.png", f"{sensor}{t}.png", (96, 72), sensor=sensor, time_s=float(t), group="g")
        for sensor, t in (("rgb", 0), ("rgb", 1), ("rgb", 2), ("heat", 0))
    ]
    dataset = make_dataset(tmp_path, rows)
    inputs = {"image": InputSpec((16, 16), sensor="rgb"), "heat": InputSpec((16, 16), sensor="heat")}
    learner: Any = SimpleNamespace(signature=SimpleNamespace(tasks=("depth",), inputs=inputs))
    split = SimpleNamespace(part=lambda name: [r.id for r in rows])
    told: list[str] = []
    assert len(part_samples(dataset, split, "train", learner, told.append)) == 1
    assert told == ["train: 2 of 3 records have no partner in time: rgb1.png, rgb2.png"]
