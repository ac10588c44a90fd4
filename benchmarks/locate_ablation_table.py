"""Table and picture of `locate_ablation.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from sightline.evaluate.bootstrap import Estimate, resampled, summary
from sightline.evaluate.metrics.locate import Locate

ROUNDS, SEED = 2000, 0
SHOWN = {"within_8px": "within 8 px", "median_px": "median, px", "visible_f1": "visibility F1"}


class Scored:
    """A run's answers on the unseen rallies.

    Attributes:
        family: figures under any weighting.
        groups: rally of each sample.
        steps: optimiser steps that it learned for.
    """

    def __init__(self, family: Locate, groups: Sequence[str], steps: int) -> None:
        self.family, self.groups, self.steps = family, list(groups), steps

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Figures with 95% intervals over rallies."""
        rounds = resampled(self.family, self.groups, ROUNDS, SEED)
        return summary(self.family.values(), rounds, len(set(self.groups)))

    @property
    def figures(self) -> dict[str, float]:
        """Figures alone."""
        return self.family.single()


def printed(scored: Mapping[str, Scored]) -> None:
    """The table, ready for a page."""
    print("| version | steps | " + " | ".join(SHOWN.values()) + " |")
    print("|---|---|" + "---|" * len(SHOWN))
    for name, one in scored.items():
        cells = [_cell(one.estimates.get(key)) for key in SHOWN]
        print(f"| {name} | {one.steps} | " + " | ".join(cells) + " |")


def _cell(found: Estimate | None) -> str:
    if found is None:
        return "none found"
    return f"{found.value:.3g} ({found.low:.3g}–{found.high:.3g})"


def pictured(scored: Mapping[str, Scored], path: Path, minutes: float) -> Path:
    """Each version's share within 8 px and median error, with intervals, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(scored)
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 0.38 * len(names) + 1.4), sharey=True)
    for panel, key in zip(panels, ("within_8px", "median_px"), strict=True):
        for row, name in enumerate(names):
            found = scored[name].estimates.get(key)
            if found is None:
                continue
            colour = "#1f6f8b" if name.startswith("coarse") else "#b5542a"
            panel.plot([found.low, found.high], [row, row], color=colour, linewidth=2)
            panel.plot(found.value, row, "o", color=colour, markersize=6)
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    panels[0].set_xlabel("found within 8 px, share (more is better)")
    panels[0].set_xlim(-0.02, 1.02)
    panels[1].set_xlabel("median error where answered, px (less is better)")
    panels[1].set_xscale("log")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.suptitle(
        f"Versions after {minutes:g} min of training each, simulated rallies; 95% over rallies", fontsize=11
    )
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return path
