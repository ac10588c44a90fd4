"""Reports on disk."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from sightline.core.errors import DatasetError
from sightline.evaluate.bootstrap import Estimate
from sightline.evaluate.report import Report


def test_what_is_no_number_is_null_in_the_file_and_nan_again_when_read(tmp_path: Path) -> None:
    report = Report({"detect.map": Estimate(0.5, math.nan, 0.6, 3)}, {"detect": {"x": [math.inf, 1.0]}})
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report.to_json(), allow_nan=False))
    read = Report.read(tmp_path)
    assert math.isnan(read.metrics["detect.map"].low) and read.metrics["detect.map"].high == 0.6
    assert read.details == {"detect": {"x": [None, 1.0]}}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"metrics": {"a": {}}, "details": {}}', "\ufeff{}"])
def test_a_damaged_report_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(DatasetError, match=r"report\.json: is no report"):
        Report.read(tmp_path)


def test_an_absent_report_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no report"):
        Report.read(tmp_path)


def test_the_pessimistic_end_follows_the_direction() -> None:
    estimate = Estimate(0.5, 0.4, 0.6, 9)
    assert (estimate.pessimistic(True), estimate.pessimistic(False)) == (0.4, 0.6)
