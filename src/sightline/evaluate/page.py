"""The report as one page that opens offline: figures, charts, tables, pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.evaluate.bootstrap import FEW_GROUPS, Estimate
from sightline.evaluate.charts import (
    Line,
    css_colour,
    interval_bars,
    line_chart,
    matrix,
    number,
    short,
    whisker,
)
from sightline.evaluate.metrics import MEASURES
from sightline.evaluate.motion_charts import by_blur, by_speed, over_time_x, over_time_y, plane

if TYPE_CHECKING:
    from sightline.evaluate.report import Report

TITLES = {
    "classify": "Classification",
    "detect": "Detection",
    "segment": "Segmentation",
    "locate": "Location of points",
    "instances": "Instances",
    "panoptic": "Panoptic segments",
    "depth": "Depth",
}
CAUSE_TEXT = {
    "duplicate": "a second answer for an object already found",
    "class": "right place, wrong class",
    "localisation": "right class, box off (IoU 0.1 to 0.5)",
    "both": "wrong class and box off",
    "background": "nothing there",
    "missed": "object without an answer",
}
CURVES_MOST = 12
BARS_MOST = 8
Figures = dict[str, Estimate]
MATRIX_MOST = 60


def page(report: Report) -> str:
    """HTML of a report."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    sections = [_section(report, task) for task in report.details]
    return environment.get_template("page.html.j2").render(
        context=report.context, sections=sections, leakage=report.leakage, few=FEW_GROUPS
    )


def _section(report: Report, task: str) -> dict[str, Any]:
    details = report.details[task]
    figures = {n: e for n, e in report.metrics.items() if n.startswith(f"{task}.")}
    return {
        "task": task,
        "title": TITLES[task],
        "n": report.context["tasks"][task],
        "tiles": [_tile(n, e) for n, e in figures.items() if MEASURES[n].headline],
        "figures": [_tile(n, e) for n, e in figures.items()],
        "charts": [chart for make in _CHARTS.get(task, ()) if (chart := make(details, figures))],
        "classes": _class_table(details.get("classes", [])),
        "causes": _causes(details.get("errors"), report.pictures.get(f"{task}.causes", {})),
        "worst": report.pictures.get(f"{task}.worst", []),
        "best": report.pictures.get(f"{task}.best", []),
    }


def _tile(name: str, estimate: Estimate) -> dict[str, Any]:
    measure = MEASURES[name]
    share = not measure.unit
    top = 1.0 if share else max(estimate.high, estimate.value) * 1.25 or 1.0
    return {
        "name": name.split(".", 1)[1],
        "value": number(estimate.value) if not share else f"{estimate.value:.3f}",
        "unit": measure.unit,
        "text": measure.text,
        "better": "higher is better" if measure.higher else "lower is better",
        "span": f"{number(estimate.low)} to {number(estimate.high)}" if estimate.low < estimate.high else "",
        "strip": whisker(estimate.value, estimate.low, estimate.high, (0.0, top)),
    }


def _class_table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Columns and cells of the class table; an interval stands behind its figure."""
    if not rows:
        return {}
    columns = [c for c in rows[0] if c not in ("class", "n") and not c.endswith(("_low", "_high"))]
    shares = [c for c in columns if all(r[c] is None or _is_share(r[c]) for r in rows)]
    lead = shares[0] if shares else columns[0]
    body = []
    for index, row in enumerate(rows):
        cells = []
        for column in columns:
            value = row[column]
            low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
            spread = f"{number(low)} – {number(high)}" if low is not None and high is not None else ""
            cells.append({"text": value if isinstance(value, str) else _three(value), "spread": spread})
        share = row[lead] if shares and row[lead] is not None and row[lead] == row[lead] else 0.0
        entry = {"name": row["class"], "n": f"{row['n']:,}", "cells": cells, "share": 100 * share}
        body.append(entry | {"colour": css_colour(index)})
    return {"columns": [c.replace("_", " ") for c in columns], "rows": body, "lead": lead}


def _is_share(value: Any) -> bool:
    return isinstance(value, float) and not value < 0 and not value > 1


def _three(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"


def _causes(errors: dict[str, Any] | None, examples: dict[str, Any]) -> dict[str, Any]:
    if not errors:
        return {}
    most = max([*errors["price"].values(), 1e-9])
    rows = [
        {
            "name": name,
            "text": text,
            "price": f"{errors['price'][name]:.3f}",
            "width": 100 * max(0.0, errors["price"][name]) / most,
            "count": f"{errors['counts'][name]:,}",
            "examples": examples.get(name, []),
        }
        for name, text in CAUSE_TEXT.items()
    ]
    rows.sort(key=lambda row: -float(row["price"]))
    return {
        "rows": rows,
        "threshold": number(errors["threshold"]),
        "ap50": _three(errors["ap50"]),
        "false_positives": _three(errors["price"]["false_positives"]),
        "false_negatives": _three(errors["price"]["false_negatives"]),
    }


def _chart(
    title: str, note: str, svg: str, legend: list[tuple[str, str, bool]] | None = None
) -> dict[str, Any]:
    return {"title": title, "note": note, "svg": svg, "legend": legend or []}


def _curves(details: dict[str, Any], figures: Figures) -> dict[str, Any]:
    """Precision against recall at IoU 0.5, a line a class."""
    curves = details["curves"]
    names = [row["class"] for row in details["classes"]]
    shown = sorted(curves, key=lambda c: -sum(c["p50"]))[:CURVES_MOST]
    lines = [Line(c["class"], details["recalls"], c["p50"], names.index(c["class"])) for c in shown]
    for at, dashed in (("p50", False), ("p75", True)) if curves else ():
        mean = [sum(values) / len(curves) for values in zip(*(c[at] for c in curves), strict=True)]
        lines.append(
            Line(f"all classes, IoU {'0.75' if dashed else '0.50'}", details["recalls"], mean, -2, dashed)
        )
    svg = line_chart(lines, title="Precision by recall", x_title="recall", y_title="precision")
    legend = [(line.name, css_colour(line.colour), line.dashed) for line in lines]
    note = "At IoU 0.50 a class; over all classes also at 0.75, dashed."
    if len(curves) > CURVES_MOST:
        note += f" The {CURVES_MOST} best of {len(curves)} classes are drawn."
    return _chart("Precision and recall", note, svg, legend)


def _threshold(details: dict[str, Any], figures: Figures) -> dict[str, Any]:
    """F1 by score threshold."""
    line = Line("F1", details["f1"]["score"], details["f1"]["f1"])
    best = details["threshold"]
    svg = line_chart(
        [line],
        title="F1 by score threshold",
        x_title="score threshold",
        y_title="F1 at IoU 0.50",
        mark_x=best,
    )
    note = f"Best at {best:.2f}: precision and recall of the table are taken there."
    return _chart("Where to put the threshold", note, svg)


def _sizes(details: dict[str, Any], figures: Figures) -> dict[str, Any] | None:
    """AP by size of object."""
    rows = []
    for name, estimate in figures.items():
        size = name.partition(".map_")[2]
        if size:
            rows.append((size, estimate.value, estimate.low, estimate.high))
    if not rows:
        return None
    svg = interval_bars(rows, title="Average precision by size", y_title="AP, IoU 0.50 to 0.95")
    return _chart("By size of object", "Under 32 × 32, up to 96 × 96, and above, in square pixels.", svg)


def _reliability(details: dict[str, Any], figures: Figures) -> dict[str, Any]:
    """Accuracy against score, in bins."""
    table = details["reliability"]
    bins = len(table["n"])
    bars = [
        (i / bins, (i + 1) / bins, accuracy)
        for i, (n, accuracy) in enumerate(zip(table["n"], table["accuracy"], strict=True))
        if n
    ]
    diagonal = Line("perfectly calibrated", [0.0, 1.0], [0.0, 1.0], -1, True)
    svg = line_chart(
        [diagonal], title="Reliability", x_title="score of the best class", y_title="accuracy", bars=bars
    )
    note = "Bars under the diagonal: the model is surer than it is right."
    return _chart("Calibration", note, svg)


def _confusion(details: dict[str, Any], figures: Figures) -> dict[str, Any] | None:
    """Confusion matrix, unless there are too many classes to see one."""
    counts = details["confusion"]
    names = [row["class"] for row in details["classes"]]
    if len(names) > MATRIX_MOST:
        return None
    columns = names if not counts or len(counts[0]) == len(names) else [*names, "void"]
    if len(columns) > len(names) and not any(row[-1] for row in counts):
        counts, columns = [row[:-1] for row in counts], names
    svg = matrix(counts, names, columns, "Confusion matrix")
    return _chart("Confusion", "Percent of each row; point at a cell for its count.", svg)


def _class_bars(details: dict[str, Any], figures: Figures) -> dict[str, Any] | None:
    """IoU of each class with its interval, while they fit."""
    rows = [
        (short(r["class"]), r["iou"], r.get("iou_low") or r["iou"], r.get("iou_high") or r["iou"])
        for r in details["classes"]
        if r["n"]
    ]
    if not 0 < len(rows) <= BARS_MOST:
        return None
    svg = interval_bars(rows, title="IoU by class", y_title="intersection over union")
    return _chart("By class", "Intersection over union, with its interval.", svg)


def _within(details: dict[str, Any], figures: Figures) -> dict[str, Any]:
    """Share of points within each distance."""
    line = Line("within", details["within"]["px"], details["within"]["share"])
    svg = line_chart(
        [line],
        title="Share of points within a distance",
        x_title="distance in pixels",
        y_title="share of points in sight",
        x=(0.5, 128.0),
        log_x=True,
    )
    return _chart("How near the answers are", "Of all points in sight; a miss is within nothing.", svg)


def _sight(details: dict[str, Any], figures: Figures) -> dict[str, Any]:
    """Seen and hidden against answered and silent."""
    n = details["sight"]
    counts = [[n["seen_answered"], n["seen_missed"]], [n["hidden_answered"], n["hidden_silent"]]]
    svg = matrix(counts, ["in sight", "hidden"], ["answered", "silent"], "Sight")
    return _chart("In sight or hidden", "Percent of each row; point at a cell for its count.", svg)


def _distance(details: dict[str, Any], figures: Figures) -> dict[str, Any] | None:
    """Relative error by true distance."""
    table = details["distance"]
    known = [i for i, n in enumerate(table["n"]) if n]
    if not known:
        return None
    first, last = known[0], known[-1] + 1
    xs, ys = table["metres"][first:last], table["abs_rel"][first:last]
    top = max(v for v in ys if v == v and v is not None)
    ends = (xs[0], max(xs[-1], xs[0] * 2.01))
    svg = line_chart(
        [Line("relative error", xs, ys)],
        title="Relative error by distance",
        x_title="true distance in metres",
        y_title="mean relative error",
        x=ends,
        y=(0.0, max(0.1, top * 1.1)),
        log_x=True,
    )
    return _chart("Error by distance", "Mean of |error| / true distance.", svg)


_Maker = Callable[[dict[str, Any], Figures], dict[str, Any] | None]
_CHARTS: dict[str, tuple[_Maker, ...]] = {
    "classify": (_confusion, _reliability),
    "detect": (_curves, _sizes, _threshold),
    "instances": (_curves, _sizes, _threshold),
    "segment": (_confusion, _class_bars),
    "locate": (_within, _sight, by_speed, by_blur, over_time_x, over_time_y, plane),
    "depth": (_distance,),
}
