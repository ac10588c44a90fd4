"""`sightline watch`, from the outside."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from cli.test_predict_command import package as package
from sightline.cli.main import main
from video.conftest import FRAMES, write_png, write_video


def run(*words: object) -> int:
    try:
        main(["watch", *map(str, words)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_recording_is_answered_frame_by_frame(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_video(tmp_path / "v.mp4")
    assert run(package, film, "--out", tmp_path / "r.jsonl", "--draw", tmp_path / "d.mp4") == 0
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    assert [line["index"] for line in lines] == list(range(FRAMES))
    assert "captured_at" not in lines[0]
    with av.open(str(tmp_path / "d.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    told = capsys.readouterr().err
    assert "frames captured" in told and str(FRAMES) in told
    assert "h264" in told


def test_live_mode_writes_times_of_capture_and_ages(package: Path, tmp_path: Path) -> None:
    film = write_video(tmp_path / "v.mp4", frames=8)
    assert (
        run(package, film, "--mode", "live", "--max-age", 3_600_000, "--queue", 9, "-o", tmp_path / "r.csv")
        == 0
    )
    with (tmp_path / "r.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["index"]) for row in rows} == set(range(8))
    assert all(float(row["captured_at"]) > 1e9 and float(row["age_ms"]) >= 0 for row in rows)


def test_without_a_place_the_results_go_to_standard_output_and_frames_stops(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_png(tmp_path / "in" / "a.png")
    write_png(tmp_path / "in" / "b.png", seed=1)
    assert run(package, tmp_path / "in", "--frames", 1, "--threshold", 0) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert len(json.loads(line)["results"]["detect"]) == 10


@pytest.mark.parametrize(
    "words",
    [
        ["rtsp://127.0.0.1:9/x", "--draw", "folder"],
        ["http://127.0.0.1:9/x.ts"],
        ["gopher://x/y"],
        ["nothing.mp4"],
        ["--ffmpeg", "no pair", "v.mp4"],
    ],
)
def test_what_makes_no_sense_exits_with_two(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "v.mp4", frames=2)
    assert run(package, *words) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order(package: Path, tmp_path: Path, number: signal.Signals) -> None:
    film = write_video(tmp_path / "v.mp4", frames=1500, size_wh=(64, 48))
    code = "import sys; from sightline.cli.main import main; main(sys.argv[1:])"
    words = ["watch", package, film, "--mode", "live", "--view", "0", "-o", tmp_path / "r.jsonl"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("view: http://127.0.0.1:")
        while not list(tmp_path.glob(".r.jsonl*.part")):  # the sinks are open, so the signals are heard
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        told = process.stderr.read()
        assert process.wait(600) == 0, told
    assert "frames captured" in told
    for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines():
        json.loads(line)


def test_the_live_line_is_one_line_with_what_a_watcher_wants_to_know() -> None:
    from sightline.cli.watch_command import _line
    from sightline.video.tally import Tally

    tally = Tally(captured=12, dropped=2, disconnects=1, decoders={"a": "h264 in software (no [device])"})
    for _ in range(9):
        tally.answer(0.012)
    line = _line(tally)
    assert "9 answered · age 12/12 ms (p50/p99) · 2 dropped · 1 disconnects · h264 in software" in line.plain
    assert line.no_wrap and "late" not in line.plain
