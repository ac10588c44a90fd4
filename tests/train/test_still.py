"""`still`: clips whose past frames are their current one, as at the start of a film."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sightline.core.errors import ProblemError
from sightline.core.problem import AugmentSection
from sightline.core.records import Annotation, Record
from sightline.core.specs import InputSpec
from sightline.data.samples import samples
from sightline.train.batches import Pictures
from sightline.train.labels import Labeller
from train.toys import MemoryDataset

SIZE_WH = (64, 48)
INPUTS = {
    "clip": InputSpec((32, 24), frames=3),
    "track": InputSpec((1, 1), pixels="track", frames=2),
}


class Film(MemoryDataset):
    """A film whose frames are of one grey level each; a point wanders over it."""

    def __init__(self) -> None:
        marks = [(Annotation(0, point=(10.0 + i, 20.0)),) for i in range(12)]
        records = [
            Record(f"film.mp4#{i}", "film.mp4", SIZE_WH, mark, frame=i) for i, mark in enumerate(marks)
        ]
        super().__init__(records=records)

    def read(self, record: Record) -> Any:
        return np.full((SIZE_WH[1], SIZE_WH[0], 3), 10 * record.frame, np.uint8)


def film_pictures(inputs: dict[str, InputSpec] = INPUTS, **section: float) -> Pictures:
    plain = {"flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0} | section
    film = Film()
    found = samples(film, [r.id for r in film.records], inputs)
    labeller = Labeller({"locate"}, film.classes, film.read_map)
    return Pictures(film, found, inputs, labeller, section=AugmentSection(**plain), seed=5)  # type: ignore[arg-type]


def test_a_still_clip_repeats_its_current_frame_and_keeps_its_label() -> None:
    inputs, target = film_pictures(still=1.0).element(0, 8)
    assert [frame.mean() for frame in inputs["clip"]] == [80.0, 80.0, 80.0] and not inputs["track"].any()
    plain, expected = film_pictures().element(0, 8)
    assert [frame.mean() for frame in plain["clip"]] == [60.0, 70.0, 80.0] and plain["track"][:, 2].all()
    assert expected and all(np.array_equal(target[name], expected[name]) for name in expected)


def test_noise_still_differs_from_frame_to_frame() -> None:
    clip = film_pictures(still=1.0, noise=20).element(0, 8)[0]["clip"]
    assert not np.array_equal(clip[0], clip[1])


def test_a_share_of_clips_is_still_and_the_same_ones_again() -> None:
    made = film_pictures(still=0.3)
    still = [[_still(made, epoch, i) for i in range(2, 12)] for epoch in range(40)]
    assert 0.22 < np.mean(still) < 0.38
    assert still[7] == [_still(film_pictures(still=0.3), 7, i) for i in range(2, 12)]
    assert still[7] != still[8]


def test_other_changes_are_drawn_as_they_were_without_it() -> None:
    change = {"translate": 0.2, "brightness": 0.3, "flip": 0.5}
    for index in range(2, 12):
        (inputs, target), (plain, expected) = (
            film_pictures(**change, **more).element(3, index) for more in ({"still": 0.5}, {})
        )
        assert np.array_equal(inputs["clip"][-1], plain["clip"][-1])
        assert np.array_equal(target["points"], expected["points"])


def test_still_is_refused_for_single_frames() -> None:
    with pytest.raises(ProblemError, match=r"still repeats a clip.s current frame.*model.input.frames"):
        film_pictures({"image": InputSpec((32, 24))}, still=0.1)


def _still(made: Pictures, epoch: int, index: int) -> bool:
    clip = made.element(epoch, index)[0]["clip"]
    return bool((clip[0] == clip[-1]).all())
