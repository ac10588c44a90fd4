"""`sightline import`: the ledger is printed, the exit code tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sightline.cli.main import main
from sightline.core.media import write_picture
from sightline.data.dataset import Dataset


def source(folder: Path, boxes: list[list[float]]) -> Path:
    folder.mkdir()
    write_picture(folder / "a.png", np.zeros((48, 64, 3), np.uint8))
    marks = [{"id": i, "image_id": 0, "category_id": 1, "bbox": box} for i, box in enumerate(boxes, 1)]
    tree = {"images": [{"id": 0, "file_name": "a.png"}], "categories": [{"id": 1, "name": "ant"}]}
    (folder / "labels.json").write_text(json.dumps({**tree, "annotations": marks}))
    return folder


def code(*words: object) -> int:
    try:
        main(["import", *map(str, words)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_import_prints_the_ledger_and_where_the_dataset_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = source(tmp_path / "s", [[1, 1, 9, 9], [50, 1, 20, 9]])
    assert code(folder, "--out", tmp_path / "d") == 0
    out = capsys.readouterr().out
    assert "left the picture and is cut to it" in out and "labels.json has images" in out
    assert "1 records, 1 classes, fingerprint " + Dataset.open(tmp_path / "d").fingerprint in out


def test_too_much_dropped_exits_with_one_after_the_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = source(tmp_path / "s", [[1, 1, 9, 9], [60, 1, 20, 9]])
    assert code(folder, "--out", tmp_path / "d", "--boxes", "drop") == 1
    said = capsys.readouterr()
    assert "leaves the picture" in said.out and "pass --drop-limit 0.51" in said.err
    assert not (tmp_path / "d").exists() and (tmp_path / "d.ledger.json").exists()


def test_bad_input_exits_with_two_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = source(tmp_path / "s", [[60, 1, 20, 9]])
    assert code(folder, "--out", tmp_path / "d", "--boxes", "fail") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and "leaves the image (64x48) by 16 px" in err
    assert code(tmp_path / "absent", "--out", tmp_path / "d") == 2
    assert code(folder, "--out", tmp_path / "d", "--rename", "ant") == 2
    assert code(folder, "--out", folder) == 2
    assert not (tmp_path / "d").exists()


def test_replace_and_rename_do_what_they_say(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", [[1, 1, 9, 9]])
    assert code(folder, "--out", tmp_path / "d") == 0
    assert code(folder, "--out", tmp_path / "d") == 2
    assert code(folder, "--out", tmp_path / "d", "--replace", "--rename", "ant=bee", "--media", "none") == 0
    assert Dataset.open(tmp_path / "d").classes == ("bee",)
