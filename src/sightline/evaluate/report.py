"""Measured evidence: figures with intervals, what they were measured on, and the page that shows them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sightline.core.errors import DatasetError
from sightline.core.files import write_json, write_text
from sightline.evaluate.bootstrap import Estimate
from sightline.evaluate.metrics import MEASURES
from sightline.evaluate.scores import Scores

FORMAT = 1
REPORT = "report.json"


@dataclass(slots=True)
class Report:
    """What was measured.

    Attributes:
        metrics: by `task.metric`; a figure that is not defined on this data is absent.
        details: tables, curves and matrices behind the figures, by task.
        context: what was measured on what: dataset, part, samples, groups, rounds, seed, model.
        leakage: what crosses the split, in words and counts; None where no split was given.
        scores: the statistics themselves, for `compare`; not written, None in a report read back.
        pictures: galleries for the page, by title; not part of the JSON.
    """

    metrics: dict[str, Estimate]
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    leakage: dict[str, Any] | None = None
    scores: Scores | None = None
    pictures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not a number becomes null."""
        metrics = {}
        for name, estimate in self.metrics.items():
            measure = MEASURES.get(name)
            known = {"higher_is_better": measure.higher, "unit": measure.unit} if measure else {}
            metrics[name] = asdict(estimate) | known
        value = {
            "format": FORMAT,
            "context": self.context,
            "metrics": metrics,
            "leakage": self.leakage,
            "details": self.details,
        }
        return dict(_plain(value))

    def write(self, folder: Path) -> Path:
        """Write `report.json` and `report.html` into a folder; returns the page's path."""
        from sightline.evaluate.page import page

        write_json(folder / REPORT, self.to_json())
        target = folder / "report.html"
        write_text(target, page(self))
        return target

    @classmethod
    def read(cls, path: Path) -> Report:
        """A report written before, from its folder or its JSON file.

        Raises:
            DatasetError: absent, or no report.
        """
        file = path / REPORT if path.is_dir() else path
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
            metrics = {
                name: Estimate(_number(e["value"]), _number(e["low"]), _number(e["high"]), int(e["n"]))
                for name, e in value["metrics"].items()
            }
            return cls(metrics, value["details"], value["context"], value["leakage"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"is no report ({error!r})", where=file) from error


def _number(value: float | None) -> float:
    """What `_plain` made null is no number again."""
    return math.nan if value is None else float(value)


def _plain(value: Any) -> Any:
    """The same value with NaN and infinities as None, for JSON."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
