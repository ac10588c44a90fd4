from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.finds import ABOUT, CLASSES, encoded, find, picture, prediction
from sightline.core.errors import FormatError, UsageError
from sightline.core.plain import plain_results
from sightline.core.plain_reading import read_plain
from sightline.core.results import (
    ClassScores,
    Detections,
    Instances,
    PanopticMap,
    Points,
    SemanticMap,
    same,
)
from sightline.data.importing import import_dataset
from sightline.monitor.review_export import export_tasks
from sightline.monitor.review_items import Find
from sightline.monitor.review_page import page
from sightline.monitor.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store.open(tmp_path / "store")
    found.describe("fruit", "1", ABOUT)
    bare = Find(prediction("bare"), {"uncertain": 0.61})
    finds = [find(n, value=0.6 + n / 100) for n in range(1, 5)]
    found.write([], [*finds, bare])
    found.flag("r2", 0, "<b>odd</b>")
    return found


def labelled(tasks: Path) -> Path:
    """What an annotator's export would say who accepts every pre-annotation and makes pears of them."""
    rows: list[dict[str, Any]] = json.loads((tasks / "tasks.json").read_text())
    for number, row in enumerate(rows):
        result = row.pop("predictions")[0]["result"]
        for region in result:
            region["value"]["rectanglelabels"] = ["pear"]
        row |= {"id": number, "annotations": [{"id": number, "completed_by": 1, "result": result}]}
    (tasks / "tasks.json").unlink()
    path = tasks / "export.json"
    path.write_text(json.dumps(rows))
    return path


def test_tasks_go_out_with_the_answers_and_come_back_as_labels(store: Store, tmp_path: Path) -> None:
    told = export_tasks(store, store.items(), tmp_path / "tasks", "label-studio")
    assert told.tasks == 4 and told.without == 1 and "1 have no picture" in told.line()
    assert [i.prediction.request_id for i in store.items()] == ["bare"]
    assert len(store.items(states=("exported",))) == 4
    dataset, _ = import_dataset(labelled(tmp_path / "tasks"), tmp_path / "fresh")
    assert dataset.classes == CLASSES and len(dataset.records) == 4
    (mark,) = dataset.records[0].annotations
    assert dataset.classes[mark.label] == "pear" and mark.box == pytest.approx((10, 10, 30, 40))
    assert np.array_equal(dataset.read(dataset.records[0]), picture(2))  # the flagged one comes first
    both, _ = import_dataset(tmp_path / "tasks", tmp_path / "grown", onto=dataset)
    assert both.header["parent"] == dataset.fingerprint and len(both.records) == 4


def test_cvat_takes_the_same(store: Store, tmp_path: Path) -> None:
    told = export_tasks(store, store.items(), tmp_path / "tasks", "cvat")
    assert told.tasks == 4
    dataset, _ = import_dataset(tmp_path / "tasks", tmp_path / "fresh")
    assert dataset.classes == CLASSES and len(dataset.records) == 4
    (mark,) = dataset.records[0].annotations
    assert mark.label == 0 and mark.box == pytest.approx((10, 10, 30, 40))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fresh", "store", "tasks"]


def test_nothing_to_export_is_refused_and_nothing_is_marked(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no picture"):
        export_tasks(store, store.items()[-1:], tmp_path / "tasks", "cvat")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "work").write_text("somebody's")
    with pytest.raises(UsageError, match="already exists"):
        export_tasks(store, store.items(), tmp_path / "tasks", "label-studio")
    assert len(store.items()) == 5


def test_the_page_shows_every_item_and_trusts_no_text(store: Store) -> None:
    text = page(store, store.items())
    assert text.count("<figure") == 5 and text.count("data:image/jpeg") == 4
    assert "&lt;b&gt;odd" in text and "<b>odd" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert "Nothing is waiting" in page(store, [])


def test_a_damaged_picture_is_told_on_the_page(store: Store) -> None:
    store.write([], [Find(prediction("bad"), {"novel": 0.9}, encoded(picture(7))[:60], ".png")])
    text = page(store, store.items(reason="novel"))
    assert 'class="none">picture: ' in text and "data:image/jpeg" not in text


def test_plain_results_come_back_as_they_were() -> None:
    boxes = np.array([[1, 2, 20, 30], [4, 4, 8, 8]], np.float32)
    score, label = np.array([0.75, 0.5], np.float32), np.array([1, 0])
    masks = np.zeros((2, 40, 60), bool)
    masks[0, 2:30, 1:20] = masks[1, 4:8, 4:8] = True
    segments = np.where(masks[0], 0, -1).astype(np.int32)
    segments[35:, :] = 1
    area = np.full((40, 60), 255, np.uint8)
    area[:10], area[10:20] = 0, 1
    given = {
        "classify": ClassScores(np.array([0.25, 0.75], np.float32), CLASSES),
        "detect": Detections(boxes, score, label, CLASSES),
        "instances": Instances(boxes, score, label, masks, CLASSES),
        "panoptic": PanopticMap(segments, score, label, CLASSES),
        "segment": SemanticMap(area, CLASSES),
        "locate": Points(np.array([[3, 4.5]], np.float32), np.array([0.75], np.float32), ("apple",)),
    }
    plain = json.loads(json.dumps(plain_results(given)))
    back = read_plain({k: v for k, v in plain.items() if k != "locate"}, CLASSES, (60, 40))
    back |= read_plain({"locate": plain["locate"]}, ("apple",), (60, 40))
    assert set(back) == set(given) and all(same(back[t], given[t]) for t in given)
    with pytest.raises(FormatError, match="are no results"):
        read_plain({"detect": [{"class": "plum", "score": 1, "box": [0, 0, 1, 1]}]}, CLASSES, (60, 40))
