"""Bench: figures that belong together, on pictures, videos and records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.tiny_models import TinyModel
from sightline.cli.main import main
from sightline.core.errors import MediaError, UsageError
from sightline.core.specs import InputSpec
from sightline.data.importing import import_dataset
from sightline.export.writing import package_model
from sightline.lifecycle.bench import FIGURES, Setting, bench, bench_records, size_mb
from video.clip_models import ClipModel
from video.conftest import write_png, write_video

MEASURED = ["p50_ms", "p95_ms", "p99_ms", "network_ms", "cold_start_s", "peak_mb", "size_mb"]
ALONE = ["decode_core_ms", "place_core_ms", "network_core_ms", "limit_fps"]
KEYS = {f"bench.{name}" for name in [*MEASURED, *ALONE, "frames"]}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_model(TinyModel("classify").eval(), tmp_path_factory.mktemp("p") / "package")


def test_the_figures_of_a_video_fit_together(package: Path, tmp_path: Path) -> None:
    figures = bench(package, write_video(tmp_path / "v.mp4"), Setting(frames=12, threads=1))
    assert set(figures) == KEYS
    assert set(figures) == set(FIGURES)
    assert figures["bench.frames"] == 12
    assert 0 < figures["bench.network_ms"] <= figures["bench.p95_ms"]
    assert figures["bench.p50_ms"] <= figures["bench.p95_ms"] <= figures["bench.p99_ms"]
    costs = sum(figures[f"bench.{name}_core_ms"] for name in ("decode", "place", "network"))
    assert figures["bench.limit_fps"] == pytest.approx(1000 / costs)
    assert figures["bench.size_mb"] == pytest.approx((package / "model.onnx").stat().st_size / 1e6)
    assert figures["bench.peak_mb"] > 20 and figures["bench.cold_start_s"] > 0


def test_a_single_picture_is_enough(package: Path, tmp_path: Path) -> None:
    figures = bench(package / "model.onnx", write_png(tmp_path / "a b.png"), Setting(frames=10, threads=1))
    assert figures["bench.frames"] == 10
    assert size_mb(package / "model.onnx") == figures["bench.size_mb"]


def test_clips_are_measured_on_the_records_of_a_dataset(tmp_path: Path) -> None:
    for index in range(4):
        for name in ("apple", "pear"):
            write_png(tmp_path / "src" / name / f"{index}.png", index)
    dataset = import_dataset(tmp_path / "src", tmp_path / "set")[0]
    spec = InputSpec((64, 48), frames=3)
    package = package_model(ClipModel(spec).eval(), tmp_path / "clip")
    with pytest.raises(UsageError, match="--data"):
        bench(package, tmp_path / "src")
    ids = [record.id for record in dataset.records]
    figures = bench_records(package, dataset, ids, Setting(frames=8, threads=1))
    assert set(figures) == KEYS


def test_a_source_that_breaks_is_an_error_not_a_figure(package: Path, tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match="cannot be read as video"):
        bench(package, tmp_path / "v.mp4")


def test_the_command_prints_the_limit_beside_the_latency(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", str(package), str(write_png(tmp_path / "a.png")), "--frames", "5", "--threads", "1"]
    main_exits(words)
    told = capsys.readouterr().out
    assert "limit" in told and "frames/s" in told
    main_exits([*words, "--json"])
    assert set(json.loads(capsys.readouterr().out)) == KEYS


def test_files_and_a_dataset_at_once_are_refused(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_exits(["bench", str(package)]) == 2
    assert "not both" in capsys.readouterr().err


def main_exits(words: list[str]) -> int:
    try:
        main(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
