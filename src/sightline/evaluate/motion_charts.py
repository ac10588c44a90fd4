"""Charts of located points along time, for the report's page."""

from __future__ import annotations

from typing import Any

from sightline.evaluate.charts import Line, css_colour, interval_bars, line_chart, number

Chart = dict[str, Any]


def _chart(title: str, note: str, svg: str, legend: list[tuple[str, str, bool]] | None = None) -> Chart:
    return {"title": title, "note": note, "svg": svg, "legend": legend or []}


def by_speed(details: dict[str, Any], figures: Any) -> Chart | None:
    """Share within 8 px by true speed."""
    return _by(details.get("speed"), "speed", "pixels a frame, from the truth's own steps")


def by_blur(details: dict[str, Any], figures: Any) -> Chart | None:
    """Share within 8 px by the length of the smear."""
    return _by(details.get("blur"), "blur", "pixels that the point moved while the shutter was open")


def _by(table: dict[str, Any] | None, name: str, what: str) -> Chart | None:
    if not table or len(table["n"]) < 2:
        return None
    rows = []
    medians = []
    names = ("low", "high", "n", "median_px", "within_8px", "within_low", "within_high")
    for low, high, n, median, share, least, most in zip(*(table[name] for name in names), strict=True):
        closed = high is not None and high != float("inf")
        label = f"{low:g}–{high:g}" if closed else f"{low:g}+"
        rows.append((label, share, least, most))
        medians.append(f"{label}: {number(median)} px ({n:,})")
    svg = interval_bars(rows, title=f"Answered within 8 px, by {name}", y_title="share within 8 px")
    note = (
        f"By {what}; a miss is not within 8 px. Whiskers: 95% intervals over videos, none where there is one."
    )
    note += f" Median error of those answered, and points: {'; '.join(medians)}."
    return _chart(f"Error by {name}", note, svg)


def over_time_x(details: dict[str, Any], figures: Any) -> Chart | None:
    """X of truth and answer by frame."""
    return _over_time(details.get("trajectory"), "x")


def over_time_y(details: dict[str, Any], figures: Any) -> Chart | None:
    """Y of truth and answer by frame."""
    return _over_time(details.get("trajectory"), "y")


def _over_time(trajectory: dict[str, Any] | None, axis: str) -> Chart | None:
    if not trajectory:
        return None
    frames = [float(f) for f in trajectory["frame"]]
    truth, answer = trajectory[f"truth_{axis}"], trajectory[f"answer_{axis}"]
    ends = _ends([*truth, *answer])
    if ends is None:
        return None
    lines = [Line("truth", frames, truth, -2), Line("answer", frames, answer, -1)]
    svg = line_chart(
        lines,
        title=f"{axis} over time",
        x_title="frame",
        y_title=f"{axis} in pixels",
        x=(frames[0], frames[-1]),
        y=ends,
    )
    note = f"{trajectory['sequence']}; gaps are frames where the point is hidden, or not answered."
    return _chart(f"Trajectory: {axis} over time", note, svg, _legend(lines))


def plane(details: dict[str, Any], figures: Any) -> Chart | None:
    """Truth and answer in the picture plane; up is up, as in the picture."""
    trajectory = details.get("trajectory")
    if not trajectory:
        return None
    lines = []
    for name, colour in (("truth", -2), ("answer", -1)):
        pairs = zip(trajectory[f"{name}_x"], trajectory[f"{name}_y"], strict=True)
        found = [(x, None if y is None else -y) for x, y in pairs]
        xs = [0.0 if x is None else x for x, _ in found]
        lines.append(Line(name, xs, [y for _, y in found], colour))
    x_ends = _ends([*trajectory["truth_x"], *trajectory["answer_x"]])
    y_ends = _ends([y for line in lines for y in line.y])
    if x_ends is None or y_ends is None:
        return None
    svg = line_chart(
        lines,
        title="Trajectory in the picture",
        x_title="x in pixels",
        y_title="−y in pixels",
        x=x_ends,
        y=y_ends,
    )
    note = f"{trajectory['sequence']}, frames {trajectory['frame'][0]} to {trajectory['frame'][-1]}."
    return _chart("Trajectory: in the picture", note, svg, _legend(lines))


def _legend(lines: list[Line]) -> list[tuple[str, str, bool]]:
    return [(line.name, css_colour(line.colour), line.dashed) for line in lines]


def _ends(values: list[float | None]) -> tuple[float, float] | None:
    """Ends of an axis with a little room; None where there is nothing to draw."""
    known = [v for v in values if v is not None and v == v]
    if not known:
        return None
    low, high = min(known), max(known)
    room = max(0.05 * (high - low), 1.0)
    return low - room, high + room
