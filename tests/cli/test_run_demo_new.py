"""`run`, `demo` and `new` as they are called: what is kept, what is done again, and the exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import sightline
from sightline.cli.main import main
from sightline.core.errors import SightlineError
from sightline.core.manifest import Manifest
from sightline.core.media import read_picture, write_picture
from sightline.core.problem import Problem
from sightline.data.dataset import Dataset
from sightline.lifecycle.demo import UNSEEN_FRAMES
from sightline.lifecycle.new import STARTS, new
from sightline.lifecycle.run import STAGES, _rooted
from sightline.simulate.labelled import write_coco_scenes

PROBLEM = {
    "name": "shapes",
    "why": "to see every stage",
    "task": "detect",
    "data": {"source": "labels"},
    "split": {"by": "group", "train": 0.6, "val": 0.2, "test": 0.2},
    "model": {"name": "yolo-n", "input": {"size": [64, 64]}},
    "train": {"epochs": 1, "batch": 4, "workers": 0},
    "criteria": [{"metric": "detect.map50", "at_least": 0.0}],
}


def run(*words: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def write(folder: Path, **changes: object) -> Path:
    """A problem in a folder, with some sections changed."""
    path = folder / "problem.yaml"
    path.write_text(yaml.safe_dump(PROBLEM | changes))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A problem over a few scenes, carried through once."""
    folder = tmp_path_factory.mktemp("shapes")
    write_coco_scenes(folder / "labels", 16, size_wh=(96, 64))
    assert run("run", write(folder)) == 0
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Labels of a few scenes."""
    write_coco_scenes(tmp_path / "labels", 10, size_wh=(64, 48))
    return tmp_path


def pictures(folder: Path) -> list[Path]:
    """The pictures the labels are about."""
    return sorted((folder / "labels" / "images").iterdir())


def stages(out: str) -> dict[str, bool]:
    """Name of each stage that was told, and whether it was kept."""
    lines = [line.split() for line in out.splitlines() if line.startswith("✓")]
    return {words[1]: words[2] == "kept" for words in lines}


def test_a_second_run_keeps_every_stage(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = place / "work" / "shapes"
    assert json.loads((work / "verdict.json").read_text())["met"] is True
    assert (work / "report" / "report.html").is_file() and (work / "audit" / "audit.html").is_file()
    assert run("run", write(place)) == 0
    assert stages(capsys.readouterr().out) == dict.fromkeys(STAGES, True)


def test_a_missed_criterion_exits_1_and_needs_no_stage_but_the_export(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missed = [{"metric": "detect.map50", "at_least": 1.0}]
    assert run("run", write(place, criteria=missed, why="another reason")) == 1
    out = capsys.readouterr().out
    assert "missed" in out
    assert [name for name, kept in stages(out).items() if not kept] == ["export", "measure", "bench"]
    assert "another reason" in (place / "work" / "shapes" / "package" / "card.md").read_text()


def test_a_changed_training_redoes_training_and_what_follows(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run", write(place, train=PROBLEM["train"] | {"lr": 0.002})) == 0
    told = stages(capsys.readouterr().out)
    assert [name for name, kept in told.items() if kept] == ["import", "audit", "split"]
    assert list(told) == list(STAGES)


def test_the_import_is_told_with_its_ledger(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", write(fresh, split={"by": "author"})) == 2
    told = capsys.readouterr()
    assert "pictures" in told.out and "note: format coco" in told.out
    assert str(fresh / "work" / "shapes" / "dataset" / "ledger.json") in told.out
    assert "name no training part" in told.err


def test_too_much_dropped_tells_the_ledger_too(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in pictures(fresh)[:3]:
        path.unlink()
    assert run("run", write(fresh)) == 1
    told = capsys.readouterr()
    beside = fresh / "work" / "shapes" / "dataset.ledger.json"
    assert "dropped" in told.out and str(beside) in told.out and beside.is_file()


def test_an_audit_error_exits_1_unless_it_is_accepted(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = pictures(fresh)[0]
    first.write_bytes(first.read_bytes()[:200])
    data = {"source": "labels", "drop_limit": 0.5}
    split = {"by": "author"}  # ends the run after the audit
    assert run("run", write(fresh, data=data, split=split)) == 1
    assert "truncated-file" in capsys.readouterr().err
    accepted = data | {"accept": ["truncated-file", "unreadable-file"]}
    assert run("run", write(fresh, data=accepted, split=split)) == 2
    assert "name no training part" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"monitor": "detect.mAP"}}, "train.monitor"),
        ({"train": {"monitor": "classify.accuracy"}}, "train.monitor"),
        ({"export": {"precision": "int8"}}, "export.precision"),
        ({"criteria": [{"metric": "segment.miou", "at_least": 0.5}]}, "segment.miou"),
    ],
)
def test_what_can_be_known_to_fail_is_refused_before_anything_is_made(
    tmp_path: Path, changes: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run", write(tmp_path, **changes)) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "work").exists()


def test_a_runtime_that_is_not_installed_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sightline.lifecycle.ahead.find_spec", lambda name: None)
    assert run("run", write(tmp_path, export={"runtime": "openvino"})) == 2
    assert "sightline[openvino]" in capsys.readouterr().err and not (tmp_path / "work").exists()


def test_an_empty_part_of_the_split_is_refused(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = {"by": "group", "train": 0.8, "val": 0.0, "test": 0.2}
    assert run("run", write(fresh, split=split)) == 2
    assert "part 'val' of the split is empty" in capsys.readouterr().err


def test_a_split_that_leaks_exits_1_unless_the_kind_is_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sightline.simulate.rallies import simulate_rally

    for part in ("train", "val", "test"):
        for name in ("a", "b"):
            (tmp_path / "labels" / part / name).mkdir(parents=True)
    for number, shot in enumerate(simulate_rally(0, frames=6, size_wh=(96, 64))):
        part = ("train", "val", "test")[number % 3]
        write_picture(tmp_path / "labels" / part / "ab"[number // 3] / f"{number}.png", shot.pixels)
    shutil.copy(tmp_path / "labels" / "train" / "a" / "0.png", tmp_path / "labels" / "val" / "a" / "same.png")
    changes = {
        "task": "classify",
        "split": {"by": "author"},
        "criteria": [{"metric": "classify.accuracy", "at_least": 0.0}],
        "model": {"name": "no-such-model"},  # ends the run after the split
    }
    assert run("run", write(tmp_path, **changes)) == 1
    assert "exact-copies-across-split" in capsys.readouterr().err
    kinds = ["exact-copies-across-split", "near-copies-across-split", "group-across-split"]
    assert run("run", write(tmp_path, data={"source": "labels", "accept": kinds}, **changes)) == 2
    assert "no-such-model" in capsys.readouterr().err


def test_changed_pictures_beside_a_label_file_are_imported_again(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"source": "labels/annotations.json"}
    path = write(fresh, data=data, split={"by": "author"})
    for kept in (False, True):
        assert run("run", path) == 2
        assert stages(capsys.readouterr().out)["import"] is kept
    picture = pictures(fresh)[0]
    write_picture(picture, 255 - read_picture(picture))
    assert run("run", path) == 2
    assert stages(capsys.readouterr().out)["import"] is False


@pytest.mark.slow
def test_the_demo_ends_with_a_verdict_and_leaves_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    assert run("demo", "--out", out, "--rallies", 6, "--frames", 8, "--epochs", 1) in (0, 1)
    for name in ("problem.yaml", "work/package/manifest.json", "work/report/report.html", "unseen.csv"):
        assert (out / name).is_file()
    assert list(Manifest.read(out / "work" / "package").stages) == ["coarse", "fine"]
    assert len((out / "unseen.csv").read_text().splitlines()) == UNSEEN_FRAMES + 1
    assert (out / "unseen_annotated.mp4").stat().st_size > 1000
    assert "Success criteria" in capsys.readouterr().out


def test_the_demo_can_stop_where_a_user_begins(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert run("demo", "--out", out, "--rallies", 6, "--frames", 4, "--labels-only") == 0
    problem = Problem.load(out / "problem.yaml")
    assert problem.stages is not None and (out / problem.data.source).is_file()
    assert len(list((out / "labels" / "films").glob("*.mp4"))) == 6 and (out / "unseen.mp4").is_file()
    assert not (out / "work").exists()


@pytest.mark.parametrize("task", STARTS)
def test_a_problem_to_start_from_is_whole(task: str, fresh: Path) -> None:
    out = fresh / "there" / "problem.yaml"
    assert run("new", task, fresh / "labels", "--out", out) == 0
    problem = Problem.load(out)
    assert problem.tasks == (task,) and problem.name == "labels" and problem.data.format == "coco"
    assert (out.parent / problem.data.source).resolve() == (fresh / "labels").resolve()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Zählung 中", "Zahlung"),
        ("中文", "detect"),
        ("2024", "2024"),
        ("no", "no"),
        ("1e3", "1e3"),
        ("{a: b}", "a-b"),
        ('it\'s "so"', "it-s-so"),
    ],
)
def test_a_name_that_yaml_would_misread_is_made_plain(fresh: Path, folder: str, name: str) -> None:
    (fresh / "labels").rename(fresh / folder)
    problem = Problem.load(new("detect", str(fresh / folder), str(fresh / "problem.yaml")))
    assert problem.name == name and (fresh / problem.data.source).is_dir()


def test_a_name_that_no_problem_may_have_writes_nothing(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = fresh / "problem.yaml"
    assert run("new", "detect", fresh / "labels", "--out", out, "--name", "-ü") == 2
    assert "name:" in capsys.readouterr().err and not out.exists()


def test_boxes_become_points_where_the_problem_says_so(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    write_picture(tmp_path / "labels" / "a.png", np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "labels" / "classes.txt").write_text("ball\n")
    data = {"source": "labels", "format": "yolo", "points": "box-centres"}
    criteria = [{"metric": "locate.mean_px", "at_most": 4}]
    assert run("run", write(tmp_path, data=data, task="locate", criteria=criteria)) != 0  # one picture
    ((mark,),) = [r.annotations for r in Dataset.open(tmp_path / "work" / "shapes" / "dataset").records]
    assert mark.point == (30, 20) and mark.box is None


def test_changed_starting_weights_are_noticed(tmp_path: Path) -> None:
    model = {"name": "yolo-n", "weights": "start.safetensors"}
    problem = Problem.load(write(tmp_path, model=model))
    (tmp_path / "start.safetensors").write_bytes(b"one")
    rooted, before = _rooted(problem, tmp_path)
    assert rooted.model.weights == str(tmp_path / "start.safetensors")
    (tmp_path / "start.safetensors").write_bytes(b"other")
    assert _rooted(problem, tmp_path)[1] != before


def test_the_workspace_may_lie_among_the_labels(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(fresh / "labels", data={"source": "annotations.json"}, split={"by": "author"})
    for kept in (False, True):
        assert run("run", path) == 2
        assert stages(capsys.readouterr().out)["import"] is kept


def test_a_file_where_the_workspace_should_be_is_one_line(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (fresh / "taken").write_text("")
    assert run("run", write(fresh), "--out", fresh / "taken") == 2
    assert "error: " in capsys.readouterr().err


def test_from_python_a_run_says_nothing_unless_it_is_told_to(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SightlineError):
        sightline.run(str(write(fresh, split={"by": "author"})), str(fresh / "out"))
    told = capsys.readouterr()
    assert not told.out and not told.err and (fresh / "out" / "dataset" / "dataset.yaml").is_file()
