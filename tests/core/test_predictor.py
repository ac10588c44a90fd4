"""The predictor and its stream: windows about a centre, and tracks of the past."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sightline.core.errors import ModelError
from sightline.core.predictor import Predictor
from sightline.core.results import Points
from sightline.core.specs import InputSpec, Signature

WINDOW = InputSpec((8, 6), fit="native", frames=2)
TRACK = InputSpec((1, 1), pixels="track", frames=3)


class Echo:
    """Answers a fixed point of the window, and keeps what it was given."""

    def __init__(self, visible: float = 1.0) -> None:
        self.visible = visible
        self.given: list[dict[str, Any]] = []

    def __call__(self, placed: dict[str, Any]) -> dict[str, Any]:
        self.given.append(placed)
        count = len(placed["clip"])
        return {
            "locate.points": np.full((count, 1, 2), (1.0, 2.0), np.float32),
            "locate.visible": np.full((count, 1), self.visible, np.float32),
        }


def predictor(echo: Echo) -> Predictor:
    return Predictor(Signature(("locate",), ("ball",), {"clip": WINDOW, "track": TRACK}), echo)


def element(centre: tuple[float, float] | None) -> dict[str, Any]:
    clip = np.arange(2 * 40 * 60 * 3, dtype=np.uint32).reshape(2, 40, 60, 3).astype(np.uint8)
    track = np.array([[0, 0, 0], [31, 21, 1], [30, 20, 1]], np.float32)
    given: dict[str, Any] = {"clip": clip, "track": track}
    return given if centre is None else given | {"centre": np.array(centre)}


def test_each_element_has_its_own_window_and_results_are_in_the_frame() -> None:
    echo = Echo()
    answers = predictor(echo).predict([element((30.0, 20.0)), element((4.0, 3.0)), element(None)])
    points = [a["locate"].points[0].tolist() for a in answers if isinstance(a["locate"], Points)]
    assert points == [[27, 18], [1, 2], [27, 18]]
    clip = element(None)["clip"]
    assert np.array_equal(echo.given[0]["clip"][1], clip[:, 0:6, 0:8])
    assert echo.given[0]["track"][0].tolist() == [[0, 0, 0], [5, 5, 1], [4, 4, 1]]


@pytest.mark.parametrize("track", [np.zeros((2, 3), np.float32), np.zeros((3, 3), np.int64)])
def test_a_track_of_another_shape_or_type_is_refused(track: Any) -> None:
    with pytest.raises(ModelError, match=r"reads floats \(3, 3\): x, y, visible"):
        predictor(Echo()).predict([element(None) | {"track": track}])


def test_a_stream_remembers_its_own_answers_as_the_track() -> None:
    echo = Echo()
    stream = predictor(echo).open_stream()
    frame = element(None)["clip"][0]
    for x in (30.0, 32.0, 34.0):
        stream.push({"clip": frame, "centre": np.array((x, 20.0))})
    assert [given["track"][0, :, 2].tolist() for given in echo.given] == [[0, 0, 0], [0, 0, 1], [0, 1, 1]]
    # In the third window, which starts at 30, the points were found at 27 and 29.
    assert echo.given[2]["track"][0].tolist() == [[0, 0, 0], [-3, 2, 1], [-1, 2, 1]]


def test_a_hidden_answer_leaves_an_empty_row_and_a_given_track_is_taken() -> None:
    echo = Echo(visible=0.1)
    stream = predictor(echo).open_stream()
    frame = element(None)["clip"][0]
    stream.push({"clip": frame})
    stream.push({"clip": frame})
    stream.push({"clip": frame, "track": element(None)["track"]})
    assert [given["track"][0, :, 2].tolist() for given in echo.given] == [[0, 0, 0], [0, 0, 0], [0, 1, 1]]


def test_a_signature_begins_with_a_picture_and_keeps_the_name_of_the_centre_free() -> None:
    with pytest.raises(ModelError, match="first must show a picture"):
        Signature(("locate",), ("ball",), {"track": TRACK, "clip": WINDOW})
    with pytest.raises(ModelError, match="no input may be named 'centre'"):
        Signature(("locate",), ("ball",), {"clip": WINDOW, "centre": TRACK})
