"""The nine stages by their evidence: what is there, what has changed since, what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifecycle import colours
from lifecycle.test_retrain import path_of, place
from sightline.cli.main import main
from sightline.core.files import write_json
from sightline.lifecycle.run import Places
from sightline.lifecycle.state import State
from sightline.lifecycle.status import STAGES, Glance, status

__all__ = ["place"]


def test_before_anything_is_done_only_the_labels_are_there(tmp_path: Path) -> None:
    path = colours.problem(tmp_path)
    rows = {row.stage: row for row in status(path)}
    assert list(rows) == list(STAGES) and len(rows) == 9
    assert rows["labels"].state == "failing" and "not there" in rows["labels"].found
    colours.pictures(tmp_path / "labels", 3)
    rows = {row.stage: row for row in status(path)}
    assert rows["labels"].found == "3 files" and rows["labels"].at is not None
    assert {row.state for name, row in rows.items() if name != "labels"} == {"none"}
    assert not (tmp_path / "work").exists()  # looking makes nothing


def test_a_glance_tells_done_from_stale_and_does_nothing(tmp_path: Path) -> None:
    state = State(tmp_path, lambda name, kept, seconds: None)
    made = tmp_path / "made"
    state.step("import", "a", made, made.mkdir)
    for reads, expected in (("a", "done"), ("b", "stale")):
        glance = Glance(tmp_path)
        glance.step("import", reads, made, lambda: pytest.fail("did something"))
        assert glance.of("import")[0] == expected and glance.of("import")[1] is not None
    glance.step("audit", "a", tmp_path / "audit", lambda: pytest.fail("did something"))
    assert glance.of("import", "audit")[0] == "none"


def test_each_later_stage_is_told_by_what_lies_there(place: Places) -> None:
    path = path_of(place)
    rows = {row.stage: row for row in status(path)}
    assert rows["deployed package"].state == "done" and "version 1" in rows["deployed package"].found
    assert rows["measured model"].found == "0 of 0 criteria met"
    assert rows["better labels"].state == "stale" and "due: new_labels" in rows["better labels"].found
    assert rows["monitored model"].state == "none"
    drift = {"package": "colours 1", "drifted": True, "sentences": ["pictures are 31% darker"]}
    write_json(place.root / "drift.json", drift)
    write_json(place.verdict, {"met": False, "criteria": [MISSED]})
    rows = {row.stage: row for row in status(path, service="http://127.0.0.1:9")}
    assert rows["monitored model"].state == "failing" and "31% darker" in rows["monitored model"].found
    assert rows["measured model"].state == "failing" and "0.4 is not >= 0.5" in rows["measured model"].found
    assert rows["live service"].state == "failing"
    (place.root / "packages" / "versions" / "1" / "model.onnx").write_bytes(b"changed")
    rows = {row.stage: row for row in status(path)}
    assert rows["deployed package"].state == "failing" and "hash" in rows["deployed package"].found


MISSED = {"metric": "classify.accuracy", "bound": ">= 0.5", "value": 0.4, "met": False}


def test_the_command_prints_writes_a_page_and_exits_1_where_something_fails(
    place: Places, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", str(path_of(place)), "--html", str(tmp_path / "s.html"), "--json"])
    assert ended.value.code == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["stage"] for row in rows] == list(STAGES)
    page = (tmp_path / "s.html").read_text()
    assert "better labels" in page and "<script" not in page and "https://" not in page
    write_json(place.verdict, {"met": False, "criteria": [MISSED]})
    with pytest.raises(SystemExit) as ended:
        main(["status", str(path_of(place))])
    assert ended.value.code == 1 and "failing" in capsys.readouterr().out
