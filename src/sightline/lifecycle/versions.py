"""The registry of versions: runs side by side on one held-out set, with what they cost and come from.

Runs are folders and reports are files; nothing else is kept. A version is a folder of `train` (it holds
`run.json`) or of `run` (it holds `run/`); the two stages of a coarse-to-fine locator are one version. Its
report is that on the package where there is one, else on the trained weights, else the newest below it. Its
parent is the version whose weights it started from.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline.core.errors import DatasetError, UsageError
from sightline.core.files import sha256
from sightline.evaluate.bootstrap import Estimate
from sightline.evaluate.metrics import MEASURES
from sightline.evaluate.report import REPORT, Report

RUN = "run.json"
WEIGHTS = "best.safetensors"
# What the folder of two stages holds, and where each was trained (`train.stages`).
STAGES = "stages.json"
PARTS = ("coarse", "fine")
BENCH = "bench.json"
# Where reports of a version lie, the telling ones first: of the package, of the trained weights, others.
PLACES = ("report", "trained")
# Buffers of a network that no training moves by its gradient.
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(slots=True)
class Version:
    """One run and what was measured of it.

    Attributes:
        name: of its folder.
        folder: the run's.
        parent: name of the version, or of the weights, it started from; `-` for none.
        model: name of its architecture, or of both stages'.
        parameters: trained numbers in its weights; 0 where there are none yet.
        epochs: of its training, of both stages together.
        report: the newest, or None where it was never measured.
        speed: figures of `bench`, by name.
    """

    name: str
    folder: Path
    parent: str
    model: str
    parameters: int
    epochs: int
    report: Report | None = None
    speed: dict[str, float] = field(default_factory=dict)

    @property
    def held_out(self) -> str:
        """What it was measured on: equal for two versions where their figures may be compared."""
        if self.report is None:
            return ""
        context = self.report.context
        known = context.get("held_out")
        part = context.get("part") or "all records"
        if known:
            return f"{context['dataset']} {part} ({context['samples']} samples, {known})"
        mark = f"{context['fingerprint']}, split {_split_of(self.folder)}"
        return f"{context['dataset']} {part} ({context['samples']} samples, {mark})"


def find_versions(places: Iterable[str | Path]) -> list[Version]:
    """Versions in folders: each a version itself, or a folder of such.

    Raises:
        UsageError: a place that holds none.
    """
    folders: dict[Path, Path] = {}
    for place in map(Path, places):
        found = _runs_in(place) or [hit for sub in _subfolders(place) for hit in _runs_in(sub)]
        if not found:
            raise UsageError("holds no run", where=place, remedy="make one with: sightline train, or run")
        folders |= dict(found)
    names = {
        sha256(part / WEIGHTS): whole.name
        for run, whole in folders.items()
        for part in _parts(run)
        if (part / WEIGHTS).is_file()
    }
    return [_version(run, whole, names) for run, whole in folders.items()]


def _subfolders(place: Path) -> list[Path]:
    return sorted(p for p in place.iterdir() if p.is_dir()) if place.is_dir() else []


def _runs_in(place: Path) -> list[tuple[Path, Path]]:
    """A run's folder, and the folder that holds all of the version."""
    for run in (place, place / "run"):
        if (run / RUN).is_file() or (run / STAGES).is_file():
            return [(run.absolute(), place.absolute())]
    return []


def _parts(run: Path) -> list[Path]:
    """The run itself, or those of its stages that are there."""
    if (run / RUN).is_file():
        return [run]
    return [run / name for name in PARTS if (run / name / RUN).is_file()]


def _version(run: Path, whole: Path, names: dict[str, str]) -> Version:
    parts = _parts(run)
    models: list[str] = []
    parents: list[str] = []
    epochs = 0
    for part in parts:
        config = _json(part / RUN)
        try:
            key = config["key"]
            epochs += int(config["epochs"])
            models.append(str(key["model"]["name"]))
            weights = str(key.get("weights") or key["model"].get("weights", "none"))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"is no run's config ({error!r})", where=part / RUN) from error
        parent = names.get(weights, weights[:12] if len(weights) == 64 else weights)
        if weights != "none" and parent not in (whole.name, *parents):
            parents.append(parent)
    bench = _json(whole / BENCH) if (whole / BENCH).is_file() else {}
    return Version(
        name=whole.name,
        folder=run,
        parent=", ".join(parents) or "-",
        model=" + ".join(models) or "-",
        parameters=sum(parameters(part / WEIGHTS) for part in parts),
        epochs=epochs,
        report=_newest(run, whole),
        speed={name: float(value) for name, value in bench.items() if isinstance(value, int | float)},
    )


def _newest(run: Path, whole: Path) -> Report | None:
    for place in PLACES:
        if (whole / place / REPORT).is_file():
            return Report.read(whole / place)
    found = [*run.glob(REPORT), *run.glob(f"*/{REPORT}")]
    return Report.read(max(found, key=lambda path: path.stat().st_mtime)) if found else None


def _split_of(run: Path) -> str:
    return next((str(_json(part / RUN).get("split", {}).get("fingerprint", "")) for part in _parts(run)), "")


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read ({error})", where=path) from error
    return value


def parameters(path: Path) -> int:
    """Numbers in a safetensors file that training moves, from its header; 0 where there is no file."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    rows = ((name, value) for name, value in header.items() if name != "__metadata__")
    return sum(math.prod(v["shape"]) for name, v in rows if not name.endswith(BUFFERS))


def comparable(versions: Sequence[Version], held_out: str = "") -> list[Version]:
    """Versions that were measured on one held-out set.

    Args:
        versions: all of them.
        held_out: a part of the set's text, to choose one where there are several.

    Raises:
        UsageError: measured on different sets and none is chosen, or on none at all.
    """
    sets: dict[str, list[Version]] = {}
    for version in versions:
        if version.report is not None:
            sets.setdefault(version.held_out, []).append(version)
    chosen = {text: found for text, found in sets.items() if held_out in text}
    if not chosen:
        what = f"no version was measured on {held_out!r}" if held_out else "no version was measured"
        raise UsageError(what, remedy="measure each with: sightline evaluate RUN DATASET --out RUN/report")
    if len(chosen) > 1:
        told = "; ".join(f"{text}: {', '.join(v.name for v in found)}" for text, found in chosen.items())
        raise UsageError(
            f"the versions were measured on {len(chosen)} different sets, so no figure compares: {told}",
            remedy="choose one with --on and a part of its text, or measure all on the same",
        )
    return next(iter(chosen.values()))


def headlines(versions: Sequence[Version]) -> list[str]:
    """Headline metrics that every version has, in the order of the reports."""
    reports = [v.report for v in versions if v.report is not None]
    if not reports:
        return []
    names = [n for n in reports[0].metrics if n in MEASURES and MEASURES[n].headline]
    return [n for n in names if all(n in report.metrics for report in reports)]


def estimate(version: Version, metric: str) -> Estimate:
    """A version's figure; raises UsageError where it has none."""
    if version.report is None or metric not in version.report.metrics:
        raise UsageError(f"has no {metric}", where=version.name)
    return version.report.metrics[metric]


def plot(versions: Sequence[Version], metrics: Sequence[str], out: Path) -> None:
    """A dot with its interval for each version and metric, as PNG or SVG by the suffix.

    Raises:
        UsageError: no metric, or a suffix that is no picture's.
    """
    if not metrics or out.suffix.lower() not in (".png", ".svg"):
        raise UsageError("a plot needs a metric and a file ending in .png or .svg", where=out)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from sightline.core.files import written_whole

    height = 1.3 + 0.34 * len(versions)
    figure = Figure(figsize=(3.1 * len(metrics) + 1.6, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    rows = list(range(len(versions)))
    for axis, metric in zip(axes, metrics, strict=True):
        found = [estimate(version, metric) for version in versions]
        values = [e.value for e in found]
        spread = [[e.value - e.low for e in found], [e.high - e.value for e in found]]
        axis.errorbar(values, rows, xerr=spread, fmt="o", ms=5, lw=1.6, capsize=3, color="#2166ac")
        measure = MEASURES[metric]
        unit = f" ({measure.unit})" if measure.unit else ""
        axis.set_title(metric + unit, fontsize=9)
        axis.set_xlabel("higher is better" if measure.higher else "lower is better", fontsize=8)
        axis.grid(axis="x", color="#dddddd", lw=0.7)
        axis.tick_params(labelsize=8)
        axis.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    axes[0].set_yticks(rows, [v.name for v in versions], fontsize=9)
    axes[0].set_ylim(len(versions) - 0.5, -0.5)
    with written_whole(out) as part:
        figure.savefig(part, format=out.suffix.lower()[1:], dpi=160)
