"""Sheets of what training sees and of where a locator looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.cli.main import main
from sightline.core.errors import ModelError
from sightline.core.media import read_picture
from sightline.core.problem import Problem
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.draw.heat import draw_heat
from sightline.simulate.labelled import write_rallies
from sightline.train.run import build_model
from sightline.train.sheet import augmentation_sheet, heat_sheet

AUGMENT = {"flip": 1.0, "brightness": 0.4}
MODEL = {
    "name": "locate-coarse",
    "weights": "none",
    "input": {"size": [96, 96], "fit": "stretch", "frames": 2},
    "options": {"backbone": "mobilenetv3_small_050", "width": 16},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("sheet")
    write_rallies(folder / "labels", 2, frames=6, size_wh=(192, 108))
    return import_dataset(folder / "labels", folder / "data")[0]


def problem(dataset: Dataset, **model: Any) -> Problem:
    return Problem.parse(
        {
            "name": "sheet",
            "why": "to look at",
            "tasks": ["locate"],
            "classes": list(dataset.classes),
            "data": {"source": "labels"},
            "model": {**MODEL, **model},
            "train": {"augment": AUGMENT},
            "criteria": [{"metric": "locate.median_px", "at_most": 30}],
        }
    )


class MadeRun:
    """A run of random weights."""

    folder = Path("made")

    def __init__(self, asked: Problem, classes: tuple[str, ...]) -> None:
        self.problem, self._classes = asked, classes

    def model(self) -> Any:
        return build_model(self.problem, self._classes).eval()


def test_a_row_shows_a_record_as_it_is_placed_and_as_training_sees_it(dataset: Dataset) -> None:
    ids = [dataset.records[3].id, dataset.records[8].id]
    page = augmentation_sheet(problem(dataset), dataset, ids, draws=2)
    assert page.dtype == np.uint8 and page.shape[2] == 3
    assert page.shape[1] > 3 * 160 and page.shape[0] > 2 * 160
    again = augmentation_sheet(problem(dataset), dataset, ids, draws=2)
    assert np.array_equal(page, again)
    width = page.shape[1] // 3
    assert np.abs(page[60:200, :width].astype(int) - page[60:200, width : 2 * width]).mean() > 1


def test_heatmaps_of_a_locator_are_laid_over_its_frames(dataset: Dataset) -> None:
    ids = [record.id for record in dataset.records[:2]]
    run: Any = MadeRun(problem(dataset), dataset.classes)
    page = heat_sheet(run, dataset, ids)
    assert page.dtype == np.uint8 and page.std() > 5


def test_a_model_without_heatmaps_is_refused(dataset: Dataset) -> None:
    asked = problem(dataset, name="locate-pooled", options={"backbone": "mobilenetv3_small_050"})
    run: Any = MadeRun(asked, dataset.classes)
    with pytest.raises(ModelError, match="makes no heatmap"):
        heat_sheet(run, dataset, [dataset.records[0].id])


def test_a_sheet_says_which_draws_are_still(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def kept(pictures: Any, captions: list[str], **_: Any) -> Any:
        told.extend(captions)
        return pictures[0]

    monkeypatch.setattr("sightline.train.sheet.contact_sheet", kept)
    ids = [record.id for record in dataset.records[:2]]
    for share, expected in ((0.0, ""), (1.0, ", still")):
        told.clear()
        asked = problem(dataset)
        section = asked.train.augment.model_copy(update={"still": share})
        train = asked.train.model_copy(update={"augment": section})
        augmentation_sheet(asked.model_copy(update={"train": train}), dataset, ids, draws=2)
        assert told == [word for id in ids for word in (id, f"epoch 1{expected}", f"epoch 2{expected}")]


def test_heat_is_strongest_at_its_peak_and_nothing_is_added_without_any() -> None:
    picture = np.full((60, 80, 3), 90, np.uint8)
    heat = np.zeros((6, 8), np.float32)
    heat[2, 5] = 3.0
    drawn = draw_heat(picture, heat)
    assert drawn[25, 55].astype(int).sum() > 400 and (drawn[50, 10] == 90).all()
    assert (draw_heat(picture, np.zeros((6, 8), np.float32)) == 90).all()


def test_show_draws_the_sheet_of_a_problem(dataset: Dataset, tmp_path: Path) -> None:
    import yaml

    asked = problem(dataset).model_dump(mode="json", exclude_defaults=True)
    (tmp_path / "problem.yaml").write_text(yaml.safe_dump(asked))
    words = ["show", str(dataset.root), "--augment", str(tmp_path / "problem.yaml"), "-n", "1"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--out", str(tmp_path / "sheet.png")])
    assert not stop.value.code
    assert read_picture(tmp_path / "sheet.png").std() > 5
    with pytest.raises(SystemExit) as stop:
        main([*words, "--audit", "--out", str(tmp_path / "other.png")])
    assert stop.value.code == 2
