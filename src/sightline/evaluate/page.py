"""The report as one page that opens offline."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightline.evaluate.report import Report


def page(report: Report) -> str:
    """The page's HTML."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td>{e.value:.4f}<td>{e.low:.4f} to {e.high:.4f}"
        for name, e in report.metrics.items()
    )
    return f"<!doctype html><meta charset=utf-8><title>report</title><table>{rows}</table>"
