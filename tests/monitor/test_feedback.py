from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.finds import ABOUT, prediction
from sightline.core.errors import UsageError
from sightline.monitor.feedback import check_labels, live_quality, tell, wilson
from sightline.monitor.review_items import About, Prediction
from sightline.monitor.store import Store

KINDS = About(
    ("classify",), ("apple", "pear"), {}, {"classify.accuracy": {"value": 0.9, "low": 0.85, "high": 0.95}}
)
BALLS = About(("locate",), ("ball",))


def classified(n: int, right: int) -> list[tuple[Prediction, dict[str, Any]]]:
    answer = {"class": "apple", "score": 0.9, "scores": {"apple": 0.9}}
    return [
        (prediction(f"r{i}", classify=answer), {"classify": "apple" if i < right else "pear"})
        for i in range(n)
    ]


def box(name: str, x: float) -> dict[str, Any]:
    return {"class": name, "box": [x, 0.0, x + 10.0, 10.0], "score": 0.5}


def test_accuracy_stands_beside_its_promise_with_an_interval() -> None:
    (row,) = live_quality(classified(100, 70), KINDS)
    assert (row.metric, row.value, row.n, row.promised) == ("classify.accuracy", 0.7, 100, (0.9, 0.85, 0.95))
    assert row.low == pytest.approx(0.604, abs=1e-3) and row.high == pytest.approx(0.781, abs=1e-3)
    assert row.worse and not live_quality(classified(100, 90), KINDS)[0].worse


def test_wilsons_interval_holds_what_it_states() -> None:
    hits = np.random.default_rng(0).binomial(40, 0.9, 2000)
    inside = np.mean([low <= 0.9 <= high for low, high in (wilson(h, 40) for h in hits)])
    assert 0.93 <= inside <= 0.98
    assert wilson(0, 5)[0] < 1e-12 and wilson(5, 5)[1] == 1.0


def test_boxes_are_pooled_into_one_f1() -> None:
    told = [
        (prediction("a", detect=[box("apple", 0), box("pear", 50)]), {"detect": [box("apple", 2)]}),
        (prediction("b", detect=[box("pear", 0)]), {"detect": [box("apple", 0), box("pear", 40)]}),
        (prediction("c", detect=[]), {"detect": []}),
    ]
    (row,) = live_quality(told, ABOUT)
    assert row.metric == "detect.f1" and row.value == pytest.approx(2 * 1 / (3 + 3)) and row.n == 3
    assert row.low <= row.value <= row.high and row.promised == (0.9, 0.85, 0.95)


def test_a_point_not_answered_is_within_nothing() -> None:
    def ball(x: float, seen: bool = True) -> list[dict[str, Any]]:
        return [{"class": "ball", "score": 0.9, "seen": seen, "point": [x, 5.0]}]

    told = [
        (prediction("a", locate=ball(10)), {"locate": [{"class": "ball", "point": [13.0, 5.0]}]}),
        (prediction("b", locate=ball(10)), {"locate": [{"class": "ball", "point": [15.0, 5.0]}]}),
        (prediction("c", locate=ball(10, False)), {"locate": [{"class": "ball", "point": [10.0, 5.0]}]}),
        (prediction("d", locate=ball(10, False)), {"locate": [{"class": "ball", "point": None}]}),
    ]
    (row,) = live_quality(told, BALLS)
    assert row.metric == "locate.within_4px" and row.value == pytest.approx(1 / 3) and row.promised == ()
    assert not row.worse


def test_labels_are_taken_by_task_or_alone() -> None:
    assert check_labels("pear", KINDS) == check_labels({"classify": "pear"}, KINDS) == {"classify": "pear"}
    rows = [{"class": "pear", "box": [1, 2, 3, 4]}]
    assert check_labels(rows, ABOUT) == {"detect": [{"class": "pear", "box": [1.0, 2.0, 3.0, 4.0]}]}
    assert check_labels([{"point": None}], BALLS) == {"locate": [{"class": "ball", "point": None}]}


@pytest.mark.parametrize(
    ("labels", "about", "said"),
    [
        ("plum", KINDS, "is not one of apple, pear"),
        ({"detect": []}, KINDS, "are not scored"),
        ({}, KINDS, "must be an object"),
        ([{"class": "pear", "box": [1, 2, 3]}], ABOUT, "4 numbers"),
        ([{"class": "pear", "box": [1, 2, 3, float("nan")]}], ABOUT, "not finite"),
        ([{"class": "pear", "box": [3, 2, 1, 4]}], ABOUT, "no area"),
        ([{"class": "pear", "box": [True, 2, 1, 4]}], ABOUT, "4 numbers"),
        (["pear"], ABOUT, "list of objects"),
        ("pear", ABOUT, "list of objects"),
        ([{"class": ["x"], "box": [1, 2, 3, 4]}], ABOUT, "is not one of"),
    ],
)
def test_labels_that_cannot_be_taken_say_why(labels: Any, about: About, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_labels(labels, about)


def test_labels_go_to_the_answers_that_are_known(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.describe("fruit", "1", ABOUT)
    store.write([prediction("a"), prediction("b", 1)], [])
    rows = [("a", 0, []), ("b", 0, []), ("b", 1, [{"class": "apple", "box": [10, 10, 30, 40]}])]
    assert tell(store, rows) == (2, ["b"])
    assert live_quality(store.told("fruit", "1"), ABOUT)[0].value == pytest.approx(2 / 3)
    with pytest.raises(UsageError, match="request a, picture 0"):
        tell(store, [("b", 1, []), ("a", 0, "apple")])
