"""Located points along time: speed, blur and the trajectory, and the charts of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sightline.core.records import Annotation, Record
from sightline.core.results import Points
from sightline.evaluate.metrics.locate import Locate
from sightline.evaluate.metrics.locate_motion import motion_details, place_of
from sightline.evaluate.motion_charts import by_blur, by_speed, over_time_x, over_time_y, plane

NAMES = ("ball",)


def rally(count: int = 40, media: str = "film.mp4") -> Locate:
    """Twenty slow frames, then fast ones whose answers are 20 px off; frame 5 hidden, 7 unanswered."""
    family = Locate(NAMES, {})
    x = 0.0
    for i in range(count):
        x += 3.0 if i < 20 else 50.0
        seen = i != 5
        point = (x, 100.0 + i) if seen else (0.0, 0.0)
        blur = {"blur_px": "0.5" if i < 20 else "9"} if seen else {}
        mark = Annotation(0, point=point, visible=seen, attributes=blur)
        off = 1.0 if i < 20 else 20.0
        answer = Points(np.float32([[x + off, 100 + i]]), np.float32([0.1 if i == 7 else 0.9]), NAMES)
        name = media.format(i)
        frame = i if media.endswith(".mp4") else -1
        family.add(
            Record(str(i), name, (4000, 400), (mark,), frame=frame, group="g"), answer, lambda *_: None
        )
    return family


def test_error_is_told_by_the_truth_s_own_speed_and_blur() -> None:
    details = rally().details()
    speed = details["speed"]
    assert (speed["low"], speed["n"]) == ([2.0, 40.0], [17, 20])  # frames 0, 5 and 6 have no step
    assert speed["median_px"] == pytest.approx([1.0, 20.0], abs=1e-3)
    assert speed["within_8px"] == pytest.approx([16 / 17, 0.0])
    blur = details["blur"]
    assert (blur["low"], blur["n"]) == ([0.0, 8.0], [19, 20])


def test_the_trajectory_has_gaps_where_the_point_is_hidden_or_not_answered() -> None:
    path = rally().details()["trajectory"]
    assert path["sequence"] == "film.mp4" and path["frame"] == list(range(40))
    assert path["truth_x"][5] is None and path["answer_x"][7] is None
    assert path["truth_x"][:3] == [3.0, 6.0, 9.0] and path["answer_y"][3] == 103.0


def test_numbered_pictures_of_a_group_are_a_sequence_too() -> None:
    details = rally(media="g/frame_{:04d}.png").details()
    assert details["trajectory"]["sequence"] == "g" and details["speed"]["n"] == [17, 20]


def test_stills_have_neither_speed_nor_trajectory() -> None:
    mark = Annotation(0, point=(1.0, 2.0))
    places = [place_of(Record(n, f"{n}.png", (9, 9)), 0, mark, (1.0, 2.0), (1.0, 2.0)) for n in "ab"]
    assert motion_details(places) == {} == motion_details([])


def test_charts_are_drawn_of_what_is_known_and_of_nothing_else() -> None:
    details = rally().details()
    for make in (by_speed, by_blur, over_time_x, over_time_y, plane):
        chart = make(details, {})
        assert chart is not None and chart["svg"].startswith("<svg") and "nan" not in chart["svg"]
        assert make({}, {}) is None
    told = by_speed(details, {})
    assert told is not None and "40–80: 20 px (20)" in told["note"]
    lonely = {"trajectory": {**details["trajectory"], "truth_x": [None] * 40, "answer_x": [None] * 40}}
    assert over_time_x(lonely, {}) is None
    assert not math.isnan(details["speed"]["within_8px"][0])
