"""Simulated against real shuttles: speeds, accelerations, gap lengths, side by side, with a figure.

Real are the 29 labelled rallies of `tracknetv3_badminton_test_labels`; simulated are rallies in the
broadcast view, 30 points a second, marked with a hand's tremor and rounded to pixels at 1280x720 as the real
ones are. Lengths are parts of the picture's height. The bar is a distance of distributions (Kolmogorov,
Smirnov) for each. Of gaps those longer than five frames count, in which the shuttle left the picture: shorter
ones come from what stands before it and from the marking, and these simulated tracks are played, not drawn.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.simulate.motion import Motion, distance, motion, simulated_tracks
from sightline.simulate.replay import SOURCE_FPS, SOURCE_WH, read_tracks

REPO = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SIGHTLINE_SHARED_DATA", REPO.parent / "shared" / "data"))
BARS = {"speed": 0.12, "acceleration": 0.2, "gap": 0.25}
LONG_GAP = 5
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TITLES = {
    "speed": "speed: heights per 1/30 s",
    "acceleration": "acceleration: heights per (1/30 s)$^2$",
    "gap": "gap longer than 5: frames of 1/30 s",
}


def samples(source: Motion, name: str) -> NDArray[np.float64]:
    """What is compared under a name."""
    values: NDArray[np.float64] = getattr(source, name)
    return values[values > LONG_GAP] if name == "gap" else values


def draw(real: Motion, played: Motion, out: Path) -> None:
    """The three pairs of distributions, as the share of samples below a value."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3.2), constrained_layout=True)
    for axis, name in zip(axes, BARS, strict=True):
        for label, source, colour in (("real", real, "#1b6ca8"), ("simulated", played, "#d1603d")):
            values = np.sort(samples(source, name))
            axis.step(
                np.maximum(values, 3e-4),
                np.arange(1, len(values) + 1) / len(values),
                color=colour,
                label=label,
            )
        if name != "gap":
            axis.set_xscale("log")
        axis.set_title(TITLES[name], fontsize=10)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share below")
    axes[0].legend(frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rallies", type=int, default=120)
    parser.add_argument("--figure", type=Path, help="write a PNG of the distributions")
    arguments = parser.parse_args()
    folder = DATA / "tracknetv3_badminton_test_labels"
    if not folder.is_dir():
        print(f"simulated_motion: no real tracks at {folder}: not measured")
        return 1
    tracks = read_tracks(folder)
    real = motion([(t.points * SOURCE_WH, t.visible) for t in tracks], SOURCE_FPS, SOURCE_WH)
    played = motion(simulated_tracks(arguments.rallies, 15.0, seed=10_000), SOURCE_FPS, SOURCE_WH)
    apart = {}
    for name in BARS:
        pair = [samples(source, name) for source in (real, played)]
        apart[name] = distance(*pair)
        print(f"{name}: quantiles {', '.join(f'{s:.0%}' for s in SHARES)}")
        for label, values in zip(("real", "simulated"), pair, strict=True):
            cells = "  ".join(f"{v:8.4f}" for v in np.quantile(values, SHARES))
            print(f"  {label:10}{cells}   ({len(values)} samples)")
    print(f"hidden: real {real.hidden:.3f}, simulated {played.hidden:.3f} (without what players hide)")
    for label, source in (("real", real), ("simulated", played)):
        short = np.mean(source.gap <= LONG_GAP)
        print(f"  {label}: {short:.0%} of {len(source.gap)} gaps are {LONG_GAP} frames or less")
    if arguments.figure:
        draw(real, played, arguments.figure)
    words = ", ".join(f"{name} {apart[name]:.3f} (bar {bar})" for name, bar in BARS.items())
    print(f"simulated_motion: distance of distributions: {words}")
    return 0 if all(apart[name] <= bar for name, bar in BARS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
