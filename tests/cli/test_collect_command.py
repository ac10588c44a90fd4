"""`sightline collect` and `predict --format label-studio`, from the outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sightline.cli.main import main
from sightline.cli.sizes import read_bytes
from video.conftest import write_png, write_video


def run(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_film_is_collected_and_the_ledger_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_video(tmp_path / "film.mp4")
    assert run("collect", film, "-o", tmp_path / "c", "--every", "0.4s", "--scenes", "-c", "shuttle") == 0
    told = capsys.readouterr().out
    assert "every 3, scene 1" in told and "no rule asked for it" in told
    assert 'value="shuttle"' in (tmp_path / "c" / "label_config.xml").read_text()
    assert len(json.loads((tmp_path / "c" / "tasks.json").read_text())) == 3


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--every", "often"],
        ["--every", "xs"],
        ["--every", "0"],
        ["--every", "2", "--budget", "much"],
        ["--unsure", "0.5"],
    ],
)
def test_arguments_that_make_no_sense_exit_with_two_and_leave_nothing(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = write_png(tmp_path / "a.png")
    assert run("collect", picture, "-o", tmp_path / "c", *words) == 2
    assert "error: " in capsys.readouterr().err and not (tmp_path / "c").exists()


def test_sizes_are_read_as_people_write_them() -> None:
    assert [read_bytes(t, "--budget") for t in ("900", "10k", "1.5M", "2G", "2 GB")] == [
        900, 10_000, 1_500_000, 2 * 10**9, 2 * 10**9,
    ]  # fmt: skip


def test_the_first_signal_ends_a_session_in_good_order(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", 400)
    words = [sys.executable, "-c", "from sightline.cli.main import main; main()", "collect", str(film)]
    words += ["--out", str(tmp_path / "c"), "--every", "1", "--png"]
    process = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": "src"}, stdout=subprocess.DEVNULL)
    lines = tmp_path / "c" / "collected.jsonl"
    end = time.monotonic() + 60
    while time.monotonic() < end and not (lines.is_file() and lines.read_bytes().count(b"\n") >= 3):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    (session,) = json.loads((tmp_path / "c" / "collected.json").read_text())["sessions"]
    assert session["ended"] in ("stopped by hand", "every source was read to its end")
    assert session["kept"] == len(lines.read_text().splitlines()) >= 3


def test_a_stream_on_standard_input_is_collected(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4")
    words = [sys.executable, "-c", "from sightline.cli.main import main; main()", "collect", "-"]
    words += ["--out", str(tmp_path / "c"), "--every", "10"]
    with film.open("rb") as file:
        done = subprocess.run(words, stdin=file, env=os.environ | {"PYTHONPATH": "src"}, check=False)
    assert done.returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "c" / "collected.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == [0, 10, 20] and lines[0]["source"] == "standard input"


def test_label_studio_needs_a_folder_for_its_tasks(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png")
    assert run("predict", tmp_path / "absent", tmp_path / "a.png", "--format", "label-studio") == 2
