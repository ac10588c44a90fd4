from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.made import make_dataset, texture
from sightline.cli.main import main
from sightline.core.media import probe, read_picture
from sightline.core.records import Annotation, Record
from sightline.data.split import Split

GOOD = (10.0, 10.0, 40.0, 40.0)
OUTSIDE = (80.0, 10.0, 150.0, 40.0)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Twenty good records and one whose box leaves the picture."""
    rows = [Record(f"{i}.png", f"{i}.png", (96, 72), (Annotation(i % 2, GOOD),)) for i in range(20)]
    rows.append(Record("bad.png", "bad.png", (96, 72), (Annotation(0, OUTSIDE),)))
    return make_dataset(tmp_path, rows).root


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    rows = [Record(f"{i}.png", f"{i}.png", (96, 72), (Annotation(i % 2, GOOD),)) for i in range(9)]
    return make_dataset(tmp_path / "clean", rows).root


def run(*words: object) -> int:
    """Exit code of a command line."""
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_audit_exits_1_where_an_error_stands_and_says_where(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("audit", dataset, "--out", tmp_path / "found") == 1
    text = capsys.readouterr()
    assert "Mark leaves the picture" in text.out and "bad.png" in text.out
    assert text.err.startswith("error: dataset: 1 errors stand (1 box-outside)")
    assert (tmp_path / "found" / "audit.html").is_file()
    value = json.loads((tmp_path / "found" / "audit.json").read_text(encoding="utf-8"))
    assert value["levels"]["error"] == 1


def test_audit_of_a_clean_dataset_exits_0_and_can_print_json(
    clean: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("audit", clean, "--json") == 0
    assert json.loads(capsys.readouterr().out)["levels"]["error"] == 0


def test_split_writes_the_parts_and_prints_counts_of_every_class(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("split", dataset, "--train", 0.6, "--val", 0.2, "--test", 0.2, "--name", "mine") == 0
    text = capsys.readouterr().out
    assert "ball" in text and "cup" in text and "leakage: 0 of" in text
    split = Split.open(dataset / "splits" / "mine.parquet")
    assert sum(split.counts().values()) == 21 and set(split.counts()) == {"train", "val", "test"}


def test_split_refuses_shares_that_are_no_whole_and_parts_nobody_named(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("split", dataset, "--train", 0.9) == 2
    assert "train + val + test is 1.2, it must be 1" in capsys.readouterr().err
    assert run("split", dataset, "--by", "author") == 2
    assert "use by: group" in capsys.readouterr().err
    assert run("split", dataset, "--name", "../../mine") == 2
    assert "climbs out" in capsys.readouterr().err
    assert not (dataset / "splits").exists()


def test_show_draws_a_sheet_of_a_class_of_a_part_and_of_the_faulty(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    assert run("show", dataset, "-o", out, "-n", 6, "--class", "cup") == 0
    assert "6 records on" in capsys.readouterr().out
    assert probe(out).size_wh[0] > 600
    run("split", dataset)
    assert run("show", dataset, "-o", out, "--split", "group", "--part", "val", "--dark") == 0
    capsys.readouterr()
    assert run("show", dataset, "-o", tmp_path / "faulty.jpg", "--audit") == 0
    assert read_picture(tmp_path / "faulty.jpg").shape[2] == 3


def test_show_says_what_it_cannot_show(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", dataset, "-o", tmp_path / "x.png", "--class", "bal") == 2
    assert "did you mean 'ball'?" in capsys.readouterr().err
    assert run("show", dataset, "-o", tmp_path / "x.png", "--part", "val") == 2
    assert "of which split?" in capsys.readouterr().err
    assert run("show", dataset, "-o", tmp_path / "x.png", "--split", "nowhere") == 2
    assert run("show", tmp_path, "-o", tmp_path / "x.png") == 2
    capsys.readouterr()
    assert run("show", dataset, "-o", tmp_path / "sheet.xyz", "-n", 1) == 2
    assert "cannot be encoded" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run("show", dataset, "-o", tmp_path / "file" / "sheet.png", "-n", 1) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_a_picture_that_cannot_be_read_gets_a_cell_that_says_so(tmp_path: Path) -> None:
    rows = [Record(f"{i}.png", f"{i}.png", (96, 72), (Annotation(0, GOOD),)) for i in range(3)]
    made = make_dataset(tmp_path, rows, pictures={"0.png": b"no picture", "1.png": texture(1)})
    assert run("show", made.root, "-o", tmp_path / "sheet.png") == 0
