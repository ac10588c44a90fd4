"""`sightline predict` and `sightline bench` with a package of two stages."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from runtime.two_stages import bright_package, spot, spot_frame, write_spot_film
from sightline.cli.main import main
from sightline.runtime.coarse_to_fine import MODES
from sightline.runtime.loading import load
from sightline.video.live import watch
from sightline.video.sinks import JsonLines
from sightline.video.sources import VideoSource

FRAMES = 24


def run(*words: object) -> int:
    try:
        main([*map(str, words)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_spot_film(tmp_path_factory.mktemp("film") / "film.mp4", FRAMES)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_package(tmp_path_factory.mktemp("p") / "bright", lag=1, check_every=0)


@pytest.mark.parametrize("mode", list(MODES))
def test_a_film_is_answered_as_watch_answers_it(mode: str, film: Path, tmp_path: Path) -> None:
    package = bright_package(tmp_path / "bright", mode)
    assert run("predict", package, film, "--out", tmp_path / "p.jsonl") == 0
    locator = load(package, mode="throughput")
    watch(locator, VideoSource(film), [JsonLines(tmp_path / "w.jsonl")])
    predicted, watched = lines_of(tmp_path / "p.jsonl"), lines_of(tmp_path / "w.jsonl")
    assert len(predicted) == FRAMES
    assert [row["results"] for row in predicted] == [row["results"] for row in watched]


def test_a_film_gives_a_table_a_drawing_and_points_where_the_thing_is(
    package: Path, film: Path, tmp_path: Path
) -> None:
    assert run("predict", package, film, "-o", tmp_path / "r.csv", "--draw", tmp_path / "drawn.mp4") == 0
    with (tmp_path / "r.csv").open() as file:
        assert len(list(csv.DictReader(file))) >= FRAMES - 6
    with av.open(str(tmp_path / "drawn.mp4")) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == FRAMES
    assert np.abs(shown[3].astype(int) - spot_frame(3)).max() > 50  # something is drawn
    assert run("predict", package, film, "-o", tmp_path / "r.jsonl") == 0
    for n, row in enumerate(lines_of(tmp_path / "r.jsonl")):
        (found,) = row["results"]["locate"]
        assert (found["score"] >= 0.5) == (spot(n) is not None)
        if spot(n) is not None:
            assert np.abs(np.array(found["point"]) - spot(n)).max() < 1


def test_a_picture_is_answered_alone_as_a_batch_answers_it(package: Path, tmp_path: Path) -> None:
    for n in (0, 9, 15):
        cv2.imwrite(str(tmp_path / f"{n:02d}.png"), spot_frame(n)[:, :, ::-1])
    (tmp_path / "12.png").write_bytes(b"no picture")
    out, drawn = tmp_path / "r.jsonl", tmp_path / "drawn"
    pictures = [tmp_path / f"{n:02d}.png" for n in (0, 9, 12, 15)]
    assert run("predict", package, *pictures, "--out", out, "--draw", drawn) == 1
    rows = lines_of(out)
    assert [Path(row["source"]).stem for row in rows] == ["00", "09", "12", "15"]
    assert "fault" in rows[2] or "error" in rows[2]
    locator = load(package)
    for n, row in zip((0, 9, 15), (rows[0], rows[1], rows[3]), strict=True):
        alone = locator.predict([{"clip": [spot_frame(n)] * 3}])[0]["locate"]
        (found,) = row["results"]["locate"]
        assert found["score"] == pytest.approx(float(alone.visible[0]), abs=1e-3)  # type: ignore[union-attr]
        if n != 15:
            assert np.abs(np.array(found["point"]) - alone.points[0]).max() < 0.1  # type: ignore[union-attr]
    assert len(list(drawn.iterdir())) == 3


def test_bench_measures_films_through_the_stream_and_refuses_pictures(
    package: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", package, film, "--frames", 10, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["bench.frames"] == 10
    assert 0 < figures["bench.decode_core_ms"] < figures["bench.p50_ms"] <= figures["bench.p99_ms"]
    assert figures["bench.cold_start_s"] > 0 and figures["bench.size_mb"] > 0
    cv2.imwrite(str(tmp_path / "a.png"), spot_frame(0))
    assert run("bench", package, tmp_path / "a.png") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "a.png" in told
    assert "measure on videos" in told
