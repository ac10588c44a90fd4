"""When a new model is due, by rule and evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sightline.core.errors import FormatError
from sightline.core.files import write_json
from sightline.core.manifest import Manifest
from sightline.core.problem import RetrainSection
from sightline.lifecycle.due import Drift, due

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CHAMPION = Manifest("cells", "2", {})


def report(folder: Path, package: str, *, drifted: bool = True) -> Drift | None:
    path = folder / "drift.json"
    said = ["pictures are 31% darker"] if drifted else []
    write_json(path, {"package": package, "drifted": drifted, "sentences": said})
    return Drift.read(path)


@pytest.mark.parametrize(("fresh", "days", "expected"), [(9, 29, []), (10, 31, ["new_labels", "every_days"])])
def test_counts_and_ages_are_due_from_their_limit_on(fresh: int, days: int, expected: list[str]) -> None:
    section = RetrainSection(new_labels=10, every_days=30)
    rules = due(section, CHAMPION, NOW - timedelta(days=days), None, fresh, NOW)
    assert [rule.name for rule in rules if rule.due] == expected and len(rules) == 2
    assert f"{fresh} labelled records" in rules[0].found


def test_drift_counts_only_where_it_is_the_champion_s(tmp_path: Path) -> None:
    section = RetrainSection(drift=True)
    for package, drifted, expected in (
        ("cells 2", True, True),
        ("cells 2", False, False),
        ("cells 1", True, False),
    ):
        (rule,) = due(section, CHAMPION, NOW, report(tmp_path, package, drifted=drifted), 0, NOW)
        assert rule.due == expected
    assert "is about cells 1" in rule.found
    (rule,) = due(section, CHAMPION, NOW, Drift.read(tmp_path / "none.json"), 0, NOW)
    assert not rule.due and rule.found == "no report of monitor"


def test_without_rules_nothing_is_due_and_what_is_no_report_is_refused(tmp_path: Path) -> None:
    assert due(RetrainSection(), CHAMPION, NOW, None, 10**6, NOW) == []
    (tmp_path / "drift.json").write_text("[]")
    with pytest.raises(FormatError, match="no report of drift"):
        Drift.read(tmp_path / "drift.json")
