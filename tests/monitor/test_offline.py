"""`monitor`: pictures, videos and predictions of the reference's world pass, others are told."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import sightline
from monitor.packages import pictures, watched_package, write_pictures
from sightline.cli.main import main
from sightline.core.errors import FormatError, PackageError, UsageError
from sightline.core.manifest import Manifest
from sightline.monitor.offline import monitor
from sightline.monitor.report import DriftReport


@pytest.fixture
def package(watched: Path) -> Path:
    return watched


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("same") / "pictures", 40, 2)


@pytest.fixture(scope="module")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("dark") / "pictures", 40, 2, light=0.7)


def ended(*words: object) -> int:
    """Exit code of a command."""
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_pictures_of_the_same_world_pass(
    package: Path, same: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("monitor", package, same) == 0
    out = capsys.readouterr().out
    assert "not drifted" in out and "embedding" in out and "40 pictures against 60 of fruit 3" in out


def test_darker_pictures_are_told_with_exit_code_one(
    package: Path, dark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("monitor", package, dark, "--json") == 1
    value = json.loads(capsys.readouterr().out)
    assert value["drifted"] and value["faults"] == []
    assert any(said.startswith("pictures are 3") and "darker" in said for said in value["sentences"])
    kept = {k: v for k, v in value.items() if k not in ("windows", "faults")}
    assert DriftReport.from_json(kept).row("brightness").drifted


def test_windows_tell_since_when(package: Path) -> None:
    shots = [*pictures(40, 5), *pictures(60, 6, light=0.7)]
    found = monitor(package, shots, window=20, persist=2)
    assert [w.drifted for w in found.windows] == [False, False, True, True, True]
    assert found.alarms == [False, False, False, True, True]
    assert found.drifted


def test_predictions_stand_for_pictures(
    package: Path, same: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "answers.jsonl"
    assert ended("predict", package, same, "--out", out) == 0
    assert ended("monitor", package, out) == 0
    assert "brightness was not compared" in capsys.readouterr().out.replace("\n", " ")
    from_pictures, from_answers = sightline.monitor(package, pictures(40, 2)), sightline.monitor(package, out)
    for name in ("score", "objects", "classes"):
        a, b = from_pictures.report.row(name), from_answers.report.row(name)
        assert (a.size, a.now) == pytest.approx((b.size, b.now), abs=1e-5)


@pytest.mark.parametrize("task", ["classify", "segment"])
def test_every_task_can_be_watched_and_read_from_its_predictions(task: str, tmp_path: Path) -> None:
    package = watched_package(tmp_path / "package", task, 40)
    folder = write_pictures(tmp_path / "pictures", 24, 3)
    assert ended("predict", package, folder, "--out", tmp_path / "answers.jsonl") == 0
    from_pictures = monitor(package, pictures(24, 3)).report
    from_answers = monitor(package, tmp_path / "answers.jsonl").report
    shared = {row.statistic for row in from_answers.rows}
    assert shared & {"score", "classes"}
    for name in shared:
        assert from_answers.row(name).size == pytest.approx(from_pictures.row(name).size, abs=2e-3)


def test_frames_of_one_video_carry_a_warning(package: Path, tmp_path: Path) -> None:
    from sightline.simulate.labelled import write_film
    from sightline.video.sources import open_source

    write_film(tmp_path / "film.mp4", 0, frames=24, size_wh=(96, 64))
    found = monitor(package, open_source(tmp_path / "film.mp4"), name="film")
    assert found.report.pictures == 24 and found.drifted
    assert any("of 1 video only" in note for note in found.report.notes)


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(
    package: Path, same: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    assert ended("monitor", package, same, broken) == 0
    assert f"unreadable: {broken}" in capsys.readouterr().err


def test_bad_sources_are_refused(package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="5 pictures are too few"):
        monitor(package, pictures(5, 1))
    (tmp_path / "a.jsonl").write_text(
        '{"source": "x", "size_wh": [4, 4], "results": {"detect": [{"class": 3}]}}\n'
    )
    with pytest.raises(FormatError, match=r"a\.jsonl:1: is no prediction"):
        monitor(package, tmp_path / "a.jsonl")
    assert ended("monitor", package, tmp_path / "nowhere") == 2
    shutil.copytree(package, tmp_path / "bare")
    replace(Manifest.read(package), reference={}).write(tmp_path / "bare")
    with pytest.raises(PackageError, match="holds no reference"):
        monitor(tmp_path / "bare", pictures(30, 1))


def test_the_page_tells_the_verdict_and_escapes_names(package: Path, dark: Path, tmp_path: Path) -> None:
    place = tmp_path / "drift.html"
    odd = tmp_path / "<b>night & day"
    shutil.copytree(dark, odd)
    assert ended("monitor", package, odd, "--html", place, "--window", 20) == 1
    text = place.read_text(encoding="utf-8")
    assert "<b>Drifted</b>" in text and "% darker (mean grey" in text
    assert "&lt;b&gt;night &amp; day" in text and "<b>night" not in text
    assert text.count('<figure class="chart">') == 7 and text.count("believed</td>") == 1
    assert not re.search(r'(?:src|href)="?http', text)  # opens offline
    assert ended("monitor", package, package.parent, "--html", place) == 2
    assert place.read_text(encoding="utf-8") == text
