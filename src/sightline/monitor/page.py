"""What `monitor` found as one page that opens offline: verdict, figures, distributions, windows."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.monitor.report import Distribution, DriftReport, DriftRow

if TYPE_CHECKING:
    from sightline.monitor.offline import Monitored

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 420, 190, 42, 20, 34, 10
TITLES = {
    "brightness": ("Brightness", "mean grey level of a picture, 0 to 255"),
    "contrast": ("Contrast", "standard deviation of a picture's grey levels"),
    "sharpness": ("Sharpness", "log(1 + variance of the Laplacian): fine detail"),
    "objects": ("Objects", "answers in a picture"),
    "score": ("Scores", "of the answers, 0 to 1"),
    "box_size": ("Box size", "root of a box's share of the picture"),
    "classes": ("Classes", "share of all answers"),
    "embedding": ("Features", "what the network makes of the pictures"),
}
MEASURES = {
    "KS": "greatest distance of the two distribution functions (Kolmogorov–Smirnov)",
    "PSI": "population stability index",
    "MMD": "maximum mean discrepancy, Gaussian kernel",
}
CLASSES_SHOWN = 12


def page(found: Monitored) -> str:
    """HTML of what was found."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    report = found.report
    drifted = {row.statistic for row in report.rows if row.drifted}
    charts = sorted(report.distributions, key=lambda d: d.statistic not in drifted)
    return environment.get_template("page.html.j2").render(
        report=report,
        drifted=found.drifted,
        sentences=report.sentences or _believed(found),
        rows=[_row(row, report) for row in report.rows],
        charts=[_chart(d, d.statistic in drifted) for d in charts],
        windows=_windows(found),
        faults=found.faults,
        rate=f"{report.alpha:.1%}",
    )


def _believed(found: Monitored) -> list[str]:
    """What windows said while drift was believed."""
    told = (s for w, alarm in zip(found.windows, found.alarms, strict=True) if alarm for s in w.sentences)
    return list(dict.fromkeys(told))


def _row(row: DriftRow, report: DriftReport) -> dict[str, Any]:
    """A line of the table; the bar ends at twice the limit."""
    title, text = TITLES[row.statistic]
    return {
        "title": title,
        "text": text,
        "was": "" if row.was is None else f"{row.was:.3g}",
        "now": "" if row.now is None else f"{row.now:.3g}",
        "size": f"{row.size:.3f}",
        "limit": f"{row.limit:.3f}",
        "width": round(50 * min(2.0, row.size / max(row.limit, 1e-9)), 1),
        "p": "< 0.001" if row.p < 0.001 else f"{row.p:.3f}",
        "measure": row.measure,
        "meaning": MEASURES[row.measure],
        "drifted": row.drifted,
        "sentence": row.sentence,
    }


def _windows(found: Monitored) -> list[dict[str, Any]]:
    rows, start = [], 0
    for window, alarm in zip(found.windows, found.alarms, strict=True):
        span = f"{start + 1}–{start + window.pictures}"
        start += window.pictures
        state = "believed" if alarm else "flagged" if window.drifted else "like the reference"
        kind = "bad" if alarm else "odd" if window.drifted else "good"
        rows.append({"span": span, "state": state, "kind": kind, "said": "; ".join(window.sentences)})
    return rows


def _chart(shown: Distribution, drifted: bool) -> dict[str, Any]:
    title, text = TITLES[shown.statistic]
    svg = _bars(shown) if shown.names else _steps(shown)
    return {"title": title, "text": text, "svg": svg, "drifted": drifted}


def _steps(shown: Distribution) -> str:
    """The reference as a filled outline, the window as a line over it."""
    first, last = _span(shown)
    edges, was, now = shown.edges[first : last + 2], shown.was[first : last + 1], shown.now[first : last + 1]
    # Bins of several widths (objects) stand side by side, each as wide as the next.
    xs = [LEFT + (WIDTH - LEFT - RIGHT) * i / len(was) for i in range(len(was) + 1)]
    top = max(*was, *now, 1e-9)
    body = _axis(top)
    body += (
        f'<path class="was" d="{_outline(xs, was, top)} Z"/><path class="now" d="{_outline(xs, now, top)}"/>'
    )
    every = max(1, -(-len(xs) // 8))
    for x, edge in list(zip(xs, edges, strict=True))[::every]:
        body += f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{edge:.3g}</text>'
    return _svg(shown, body)


def _span(shown: Distribution) -> tuple[int, int]:
    """First and last bin that hold something, with one empty bin on each side."""
    filled = [i for i, pair in enumerate(zip(shown.was, shown.now, strict=True)) if any(pair)]
    if not filled:
        return 0, len(shown.was) - 1
    return max(0, filled[0] - 1), min(len(shown.was) - 1, filled[-1] + 1)


def _outline(xs: list[float], shares: tuple[float, ...], top: float) -> str:
    floor = HEIGHT - BOTTOM
    points = [f"M{xs[0]:.1f} {floor}"]
    for left, right, share in zip(xs, xs[1:], shares, strict=False):
        y = floor - (floor - TOP) * share / top
        points.append(f"L{left:.1f} {y:.1f} L{right:.1f} {y:.1f}")
    return " ".join([*points, f"L{xs[-1]:.1f} {floor}"])


def _bars(shown: Distribution) -> str:
    """Two bars a class; the rest of many classes are left out, the smallest first."""
    order = sorted(range(len(shown.names)), key=lambda i: -max(shown.was[i], shown.now[i]))[:CLASSES_SHOWN]
    top = max(max(shown.was[i], shown.now[i]) for i in order) or 1.0
    floor, slot = HEIGHT - BOTTOM, (WIDTH - LEFT - RIGHT) / len(order)
    thick = min(34.0, slot * 0.36)
    body = _axis(top)
    for place, i in enumerate(order):
        middle, name = LEFT + slot * (place + 0.5), shown.names[i]
        for kind, share, x in (
            ("was", shown.was[i], middle - thick),
            ("now solid", shown.now[i], middle + 1),
        ):
            tall = (floor - TOP) * share / top
            box = f'x="{x:.1f}" y="{floor - tall:.1f}" width="{thick:.1f}" height="{tall:.1f}"'
            body += f'<rect class="{kind}" {box}><title>{escape(name)}: {share:.1%}</title></rect>'
        fits = max(3, int(slot / 6.5))
        short = name if len(name) <= fits else name[: fits - 1] + "…"
        body += f'<text x="{middle:.1f}" y="{floor + 16}" text-anchor="middle">{escape(short)}</text>'
    return _svg(shown, body)


def _axis(top: float) -> str:
    floor, out = HEIGHT - BOTTOM, ""
    for share in (0.0, top / 2, top):
        y = floor - (floor - TOP) * share / top
        out += f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        out += f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
    return out


def _svg(shown: Distribution, body: str) -> str:
    title = escape(TITLES[shown.statistic][0])
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{body}</svg>'
