"""`sightline predict`, from the outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from export.tiny_models import TinyModel
from sightline.cli.main import main
from sightline.export.writing import package_model
from video.conftest import FRAMES, write_png, write_video


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_model(TinyModel("detect").eval(), tmp_path_factory.mktemp("p") / "detect")


def run(*words: object) -> int:
    try:
        main(["predict", *map(str, words)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_folder_gives_json_lines_and_drawn_pictures(package: Path, tmp_path: Path) -> None:
    for name in ("a b.png", "sub/ж.png"):
        write_png(tmp_path / "in" / name)
    write_video(tmp_path / "in" / "v.mp4")
    code = run(package, tmp_path / "in", "--out", tmp_path / "r.jsonl", "--draw", tmp_path / "drawn")
    assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    assert [line["source"] for line in lines[:2]] == [
        str(tmp_path / "in" / n) for n in ("a b.png", "sub/ж.png")
    ]
    assert len(lines) == 2 + FRAMES
    drawn = sorted(str(p.relative_to(tmp_path / "drawn")) for p in (tmp_path / "drawn").rglob("*.*"))
    assert drawn == ["a b.png", "sub/ж.png", "v.mp4.mp4"]
    with av.open(str(tmp_path / "drawn" / "v.mp4.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES


def test_without_out_the_results_go_to_standard_output(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(package / "model.onnx", write_png(tmp_path / "a.png"), "--threshold", "0") == 0
    line = json.loads(capsys.readouterr().out)
    assert len(line["results"]["detect"]) == 10


def test_a_bad_picture_is_named_the_others_go_on_and_the_exit_code_is_one(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_png(tmp_path / "good.png")
    (tmp_path / "empty.png").write_bytes(b"")
    assert run(package, tmp_path, "-o", tmp_path / "r.csv") == 1
    told = capsys.readouterr().err
    assert "empty.png: is empty (0 bytes)" in told
    assert "1 predicted, 1 unreadable" in told
    assert (tmp_path / "r.csv").exists()


def test_strict_stops_at_the_first_bad_picture_and_writes_nothing(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    assert run(package, tmp_path, "-o", tmp_path / "r.jsonl", "--strict") == 2
    assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize("words", [["-o", "r.xml"], ["--draw", "o.mp4"], ["--runtime", "abacus"]])
def test_arguments_that_make_no_sense_exit_with_two(package: Path, tmp_path: Path, words: list[str]) -> None:
    write_png(tmp_path / "a.png")
    write_png(tmp_path / "b.png")
    assert run(package, tmp_path, *words) == 2
    assert run(package, tmp_path / "absent.png") == 2
    assert run(tmp_path, tmp_path / "a.png") == 2


def test_what_would_be_written_over_a_source_is_refused(package: Path, tmp_path: Path) -> None:
    pictures = [write_png(tmp_path / "in" / name) for name in ("a.png", "sub/b.png")]
    film = write_video(tmp_path / "v.mp4")
    (tmp_path / "linked").symlink_to(tmp_path / "in")
    kept = {path: path.read_bytes() for path in (*pictures, film)}
    assert run(package, tmp_path / "in", "--draw", tmp_path / "in") == 2
    assert run(package, tmp_path / "in", "--draw", tmp_path / "linked") == 2
    assert run(package, pictures[1], "--draw", tmp_path / "in" / "sub" / ".." / "sub") == 2
    assert run(package, film, "--draw", film) == 2
    (tmp_path / "r.json").write_bytes(kept[pictures[0]])
    assert run(package, tmp_path / "r.json", "--out", tmp_path / "r.json") == 2
    assert {path: path.read_bytes() for path in kept} == kept
    assert (tmp_path / "r.json").read_bytes() == kept[pictures[0]]


@pytest.mark.parametrize("words", [["--help"], ["predict", "PACKAGE", "PICTURE", "--threshold", "0"]])
def test_a_reader_that_leaves_early_ends_it_without_a_word(
    package: Path, tmp_path: Path, words: list[str]
) -> None:
    places = {"PACKAGE": str(package), "PICTURE": str(write_png(tmp_path / "a.png"))}
    reads, writes = os.pipe()
    os.close(reads)
    line = [sys.executable, "-c", "from sightline.cli.main import main; main()"]
    done = subprocess.run(
        [*line, *(places.get(word, word) for word in words)],
        stdout=writes,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writes)
    assert (done.returncode, done.stderr.decode()) == (1, "")
