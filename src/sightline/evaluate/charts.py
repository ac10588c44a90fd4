"""Charts as SVG text that takes its colours from the page's CSS: one drawing serves light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sightline.draw import class_colour

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
CELL_TEXT_MOST = 14
LABEL_CHARS = 14

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: points (x, y) in data units, None a gap; `colour` a class index, -1 accent, -2 ink."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    colour: int = -1
    dashed: bool = False


def css_colour(index: int) -> str:
    """Colour of a class on the page, pulled a little towards the ink so that yellow stands on white."""
    if index < 0:
        return "var(--accent)" if index == -1 else "var(--ink)"
    r, g, b = class_colour(index)
    return f"color-mix(in srgb, rgb({r} {g} {b}) 80%, var(--ink))"


@dataclass(frozen=True, slots=True)
class _Frame:
    """Data units to drawing units."""

    x: Range
    y: Range
    log_x: bool

    def at(self, x: float, y: float) -> tuple[float, float]:
        low, high = self.x
        part = (math.log(x / low) / math.log(high / low)) if self.log_x else (x - low) / (high - low)
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + part * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_title: str,
    y_title: str,
    x: Range = (0.0, 1.0),
    y: Range = (0.0, 1.0),
    log_x: bool = False,
    bars: Sequence[tuple[float, float, float]] = (),
    mark_x: float | None = None,
) -> str:
    """Lines over a grid.

    Args:
        lines: what is drawn; each keeps its name as a tooltip.
        title: read out by screen readers.
        x_title: under the x axis, with its unit.
        y_title: above the y axis.
        x: ends of the axis.
        y: ends of the axis.
        log_x: logarithmic x.
        bars: (left, right, height) drawn behind the lines.
        mark_x: an upright dashed line.
    """
    frame = _Frame(x, y, log_x)
    parts = [*_grid(frame)]
    for left, right, height in bars:
        (x1, y1), (x2, y2) = frame.at(left, height), frame.at(right, y[0])
        parts.append(
            f'<rect class="bar" x="{x1 + 1:.1f}" y="{y1:.1f}" width="{max(0.0, x2 - x1 - 2):.1f}" '
            f'height="{max(0.0, y2 - y1):.1f}"/>'
        )
    if mark_x is not None:
        (x1, y1), (_, y2) = frame.at(mark_x, y[0]), frame.at(mark_x, y[1])
        parts.append(f'<line class="mark" x1="{x1:.1f}" x2="{x1:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>')
    parts += [_path(line, frame) for line in lines]
    parts.append(
        f'<text class="title" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{escape(x_title)}</text>"
        f'<text class="title" x="12" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {(TOP + HEIGHT - BOTTOM) / 2})">{escape(y_title)}</text>'
    )
    return _svg(WIDTH, HEIGHT, title, parts)


def _path(line: Line, frame: _Frame) -> str:
    pieces: list[str] = []
    pen = "M"
    for x, y in zip(line.x, line.y, strict=True):
        if y is None or math.isnan(y):
            pen = "M"
            continue
        px, py = frame.at(x, min(max(y, frame.y[0]), frame.y[1]))
        pieces.append(f"{pen}{px:.1f} {py:.1f}")
        pen = "L"
    kind = "line dashed" if line.dashed else "line"
    return (
        f'<path class="{kind}" style="stroke:{css_colour(line.colour)}" d="{"".join(pieces)}">'
        f"<title>{escape(line.name)}</title></path>"
    )


def _grid(frame: _Frame) -> list[str]:
    parts = []
    for value in ticks(*frame.y):
        x, y = frame.at(frame.x[0], value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{number(value)}</text>'
        )
    marks = log_ticks(*frame.x) if frame.log_x else ticks(*frame.x)
    for value in marks:
        x, _ = frame.at(value, frame.y[0])
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">'
            f"{number(value)}</text>"
        )
    return parts


def ticks(low: float, high: float) -> list[float]:
    """About five round values between two ends, both ends kept in."""
    rough = (high - low) / 5
    base = 10.0 ** math.floor(math.log10(rough))
    step = min((m * base for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of two between two ends."""
    first, last = math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9)
    return [2.0**k for k in range(first, last + 1)]


def number(value: float | None) -> str:
    """A figure in at most three digits after the point, without trailing zeros."""
    if value is None or math.isnan(value):
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{3 if abs(value) < 100 else 1}f}".rstrip("0").rstrip(".")


def interval_bars(rows: Sequence[tuple[str, float, float, float]], *, title: str, y_title: str) -> str:
    """Shares as upright bars, each (name, value, low, high) with its interval as a thin line over it."""
    frame = _Frame((0.0, float(len(rows))), (0.0, 1.0), False)
    parts = [part for part in _grid(frame) if 'text-anchor="end"' in part]
    for i, (name, value, low, high) in enumerate(rows):
        (x1, y1), (x2, y2) = frame.at(i + 0.25, value), frame.at(i + 0.75, 0.0)
        middle = (x1 + x2) / 2
        top, bottom = frame.at(0, high)[1], frame.at(0, low)[1]
        parts.append(
            f'<rect class="bar" x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" '
            f'rx="3"><title>{escape(name)}: {value:.3f}</title></rect>'
            f'<line class="error" x1="{middle:.1f}" x2="{middle:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'
            f'<text class="tick" x="{middle:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{escape(name)}</text>"
            f'<text class="tick" x="{x2 - 2:.1f}" y="{y1 - 5:.1f}" text-anchor="end">{value:.2f}</text>'
        )
    parts.append(
        f'<text class="title" x="12" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {(TOP + HEIGHT - BOTTOM) / 2})">{escape(y_title)}</text>'
    )
    return _svg(WIDTH, HEIGHT, title, parts)


def matrix(counts: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], title: str) -> str:
    """A confusion matrix, each cell as dark as its share of the row; shares are written where they fit."""
    cell = (
        62
        if len(rows) <= 4
        else 44
        if len(rows) <= 8
        else 30
        if len(rows) <= CELL_TEXT_MOST
        else max(4, 420 // len(rows))
    )
    room = 8 + 7 * min(LABEL_CHARS, max(len(name) for name in [*rows, *columns]))
    named = cell >= 12
    left, top = (room + 20, room + 20) if named else (24, 24)
    width, height = left + cell * len(columns) + 4, top + cell * len(rows) + 4
    parts = []
    for r, row in enumerate(counts):
        total = sum(row)
        for c, value in enumerate(row):
            part = value / total if total else 0.0
            parts.append(_cell(left + c * cell, top + r * cell, cell, part, r == c))
            if value and cell >= 30:
                tone = " over" if part > 0.55 else ""
                parts.append(
                    f'<text class="cell{tone}" x="{left + c * cell + cell / 2}" '
                    f'y="{top + r * cell + cell / 2 + 4}" text-anchor="middle">{_percent(part)}</text>'
                )
            tip = f"{rows[r]} as {columns[c]}: {value:,.0f} ({part:.1%})"
            x, y = left + c * cell, top + r * cell
            parts.append(
                f'<rect class="tip" x="{x}" y="{y}" width="{cell}" height="{cell}">'
                f"<title>{escape(tip)}</title></rect>"
            )
    parts += _names(rows, columns, left, top, cell) if named else []
    parts.append(
        f'<text class="title" x="{left + cell * len(columns) / 2}" y="12" text-anchor="middle">answer</text>'
        f'<text class="title" transform="rotate(-90 10 {top + cell * len(rows) / 2})" x="10" '
        f'y="{top + cell * len(rows) / 2}" text-anchor="middle">truth</text>'
    )
    return _svg(width, height, title, parts, fixed=True)


def _cell(x: float, y: float, side: float, share: float, right: bool) -> str:
    kind = "hit" if right else "slip"
    return (
        f'<rect class="square {kind}" x="{x + 0.5}" y="{y + 0.5}" width="{side - 1}" height="{side - 1}" '
        f'rx="2" fill-opacity="{share**0.7:.3f}"/>'
    )


def _names(rows: Sequence[str], columns: Sequence[str], left: float, top: float, cell: float) -> list[str]:
    parts = [
        f'<text class="tick" x="{left - 6}" y="{top + r * cell + cell / 2 + 4}" text-anchor="end">'
        f"{escape(short(name))}</text>"
        for r, name in enumerate(rows)
    ]
    for c, name in enumerate(columns):
        x, y = left + c * cell + cell / 2 + 4, top - 6
        parts.append(
            f'<text class="tick" transform="rotate(-90 {x} {y})" x="{x}" y="{y}">{escape(short(name))}</text>'
        )
    return parts


def short(name: str) -> str:
    """A class name cut to the room it has."""
    return name if len(name) <= LABEL_CHARS else name[: LABEL_CHARS - 1] + "…"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.005 else "·"


def whisker(value: float, low: float, high: float, ends: Range) -> str:
    """A thin strip (HTML, as wide as its place) that shows a figure and its interval between two ends."""

    def at(v: float) -> float:
        return 100 * min(max((v - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)

    label = f"{number(value)}, 95% interval {number(low)} to {number(high)}"
    return (
        f'<div class="whisker" role="img" aria-label="{label}">'
        f'<i style="left:{at(low):.1f}%;width:{at(high) - at(low):.1f}%"></i>'
        f'<b style="left:{at(value):.1f}%"></b></div>'
    )


def _svg(width: float, height: float, title: str, parts: Sequence[str], *, fixed: bool = False) -> str:
    size = f' width="{width}" height="{height}"' if fixed else ""
    return (
        f'<svg viewBox="0 0 {width} {height}"{size} role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )
