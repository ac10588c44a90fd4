"""Champion and challenger on the same records: what is told, and what counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle import colours
from lifecycle.colours import ALL_RED, RED_IS_BLUE, RIGHT
from sightline.core.errors import DatasetError
from sightline.data.dataset import Dataset
from sightline.lifecycle.comparing import Comparison, compare_on
from sightline.runtime.loading import load

ROUNDS = 200


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 60 pictures, and packages that answer well and badly."""
    folder = tmp_path_factory.mktemp("comparing")
    colours.dataset(folder / "set", colours.pictures(folder / "media", 60), folder / "media")
    for name, says in (("right", RIGHT), ("swapped", RED_IS_BLUE), ("red", ALL_RED)):
        colours.package(folder / name, says, name)
    return folder


def compared(made: Path, a: str, b: str, least: float = 0.0) -> Comparison:
    dataset = Dataset.open(made / "set")
    ids = [record.id for record in dataset.records]
    sets = {"old": ids[:30], "new": ids[30:], "none": []}
    return compare_on(load(made / a), load(made / b), dataset, sets, rounds=ROUNDS, least=least)


def test_a_better_and_a_worse_one_are_told_on_each_set(made: Path) -> None:
    found = compared(made, "swapped", "right")
    accuracy = {row.held_out: row for row in found.rows if row.metric == "classify.accuracy"}
    assert accuracy["old"].champion == pytest.approx(2 / 3) and accuracy["old"].challenger == 1
    assert accuracy["old"].better == accuracy["new"].better == 1 and not found.worse
    assert found.samples == found.groups == {"old": 30, "new": 30}
    assert any("none held-out set is empty" in note for note in found.notes)
    back = compared(made, "right", "red")
    assert {row.held_out for row in back.worse} == {"old", "new"} and "worse" in str(back.worse[0])


def test_a_sure_difference_that_is_too_small_to_matter_counts_for_nothing(made: Path) -> None:
    least = max(abs(row.difference) for row in compared(made, "right", "swapped").rows)
    found = compared(made, "right", "swapped", least)
    assert not found.worse and not found.better
    assert any(row.high < 0 for row in found.rows)  # it is told all the same
    assert compared(made, "right", "swapped", 0.9 * least).worse


def test_nothing_held_out_is_an_error(made: Path) -> None:
    model = load(made / "right")
    with pytest.raises(DatasetError, match="no record is held out"):
        compare_on(model, model, Dataset.open(made / "set"), {"old": [], "new": []})
