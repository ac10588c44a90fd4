"""Versions side by side: found in their folders, tied to parents and reports, never compared across sets."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.cli.main import main
from sightline.core.errors import UsageError
from sightline.core.files import sha256
from sightline.core.media import read_picture
from sightline.evaluate.bootstrap import Estimate
from sightline.evaluate.report import Report
from sightline.lifecycle.versions import comparable, find_versions, headlines, parameters, plot


def weights(path: Path, seed: int) -> None:
    """A safetensors file with 12 trained numbers and 4 of a buffer."""
    data = np.full(16, seed, np.float32).tobytes()
    header = {
        "__metadata__": {"made": "here"},
        "head.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]},
        "norm.running_mean": {"dtype": "F32", "shape": [4], "data_offsets": [48, 64]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def version(
    root: Path,
    name: str,
    *,
    parent: Path | None = None,
    px: float = 3.0,
    on: str = "aaaa",
    measured: bool = True,
) -> Path:
    run = root / name / "run"
    run.mkdir(parents=True)
    weights(run / "best.safetensors", len(name))
    key: dict[str, Any] = {"weights": sha256(parent / "run" / "best.safetensors") if parent else "none"}
    key["model"] = {"name": "locate-fine"}
    config = {"format": 1, "key": key, "epochs": 5, "split": {"name": "s", "fingerprint": "beef"}}
    (run / "run.json").write_text(json.dumps(config))
    if measured:
        metrics = {"locate.median_px": Estimate(px, px - 0.5, px + 0.5, 40)}
        metrics["locate.visible_f1"] = Estimate(0.9, 0.85, 0.93, 40)
        tasks = {"locate": {"samples": 40, "groups": 4, "without_truth": 0}}
        context = {"dataset": "rallies", "fingerprint": "f", "part": "test", "samples": 40, "tasks": tasks}
        report = Report(metrics, context=context | {"held_out": on})
        (root / name / "report").mkdir()
        (root / name / "report" / "report.json").write_text(json.dumps(report.to_json()))
    return root / name


def test_versions_are_found_with_their_parents_sizes_and_figures(tmp_path: Path) -> None:
    first = version(tmp_path, "v1", px=5.0)
    (first / "bench.json").write_text(json.dumps({"bench.p50_ms": 12.5}))
    version(tmp_path, "v10", parent=first, px=2.0)
    old, new = find_versions([tmp_path])
    assert (old.name, old.parent, old.parameters, old.epochs) == ("v1", "-", 12, 5)
    assert (new.name, new.parent, new.model) == ("v10", "v1", "locate-fine")
    assert old.speed == {"bench.p50_ms": 12.5} and not new.speed
    assert headlines(comparable([old, new])) == ["locate.median_px", "locate.visible_f1"]


def test_two_stages_are_one_version_that_may_come_from_another_ones(tmp_path: Path) -> None:
    for name, start in (("v1", None), ("v10", tmp_path / "v1")):
        made = version(tmp_path, name)
        for part in ("coarse", "fine"):
            stage = made / "run" / part
            stage.mkdir()
            weights(stage / "best.safetensors", len(name + part))
            origin = sha256(start / "run" / part / "best.safetensors") if start else "none"
            key = {"weights": origin, "model": {"name": f"locate-{part}"}}
            (stage / "run.json").write_text(json.dumps({"key": key, "epochs": 5}))
        for alone in ("run.json", "best.safetensors"):
            (made / "run" / alone).unlink()
        (made / "run" / "stages.json").write_text("{}")
    old, new = find_versions([tmp_path])
    assert (old.name, old.parent, old.model) == ("v1", "-", "locate-coarse + locate-fine")
    assert (new.parent, new.parameters, new.epochs) == ("v1", 24, 10)
    assert new.report is not None and len(comparable([old, new])) == 2
    assert [v.name for v in find_versions([tmp_path / "v1" / "run"])] == ["run"]


def test_versions_measured_on_different_sets_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    version(tmp_path, "v1")
    version(tmp_path, "v10", on="bbbb")
    version(tmp_path, "v100", measured=False)
    found = find_versions([tmp_path])
    with pytest.raises(UsageError, match="2 different sets"):
        comparable(found)
    assert [v.name for v in comparable(found, "bbbb")] == ["v10"]
    with pytest.raises(UsageError, match="no version was measured on 'cccc'"):
        comparable(found, "cccc")


def test_a_place_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        find_versions([tmp_path])


def test_a_run_s_own_reports_count_and_the_newest_is_taken(tmp_path: Path) -> None:
    whole = version(tmp_path, "v1", px=4.0)
    run = (whole / "run").rename(tmp_path / "alone")
    (whole / "report").rename(run / "measured")
    (found,) = find_versions([run])
    assert found.name == "alone" and found.report is not None
    assert found.report.metrics["locate.median_px"].value == 4.0


def test_a_file_of_weights_that_is_not_there_counts_nothing(tmp_path: Path) -> None:
    assert parameters(tmp_path / "best.safetensors") == 0


def run(*words: object) -> int:
    try:
        main(["runs", *map(str, words)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_prints_a_table_sorted_and_plots_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = version(tmp_path / "all", "v1", px=5.0)
    version(tmp_path / "all", "v10", parent=first, px=2.0)
    assert run(tmp_path / "all", "--sort", "locate.median_px", "--plot", tmp_path / "p.png") == 0
    told = capsys.readouterr().out
    assert told.index("v10") < told.index("│ v1 ") and "1.5 to 2.5" in told and "test (40 samples" in told
    assert read_picture(tmp_path / "p.png").std() > 5
    assert run(tmp_path / "all", "--json", "-m", "locate.median_px") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["metrics"]["locate.median_px"]["value"] for row in rows] == [5.0, 2.0]
    assert run(tmp_path / "all", "-m", "detect.map") == 2


def test_a_plot_needs_a_metric_and_a_picture_s_name(tmp_path: Path) -> None:
    version(tmp_path, "v1")
    found = find_versions([tmp_path])
    for metrics, name in (([], "p.png"), (["locate.median_px"], "p.txt")):
        with pytest.raises(UsageError):
            plot(found, metrics, tmp_path / name)
