"""Memory over a long live stream with faults: resident bytes against frames, after warm-up.

A small recording is played over and over at 300 frames a second into `watch`, live, with disconnects, corrupt
packets and clock jumps; results go to JSON Lines, and a viewer looks at the live view all the time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np

from sightline.runtime.loading import load
from sightline.video.connecting import LiveSource
from sightline.video.faulty import FaultPlan, Faulty
from sightline.video.live import WatchOptions, watch
from sightline.video.live_view import LiveView
from sightline.video.pipeline import Prediction
from sightline.video.sinks import JsonLines
from streams import make_clip, make_package

BAR_MB, WARM_UP, STEP = 1.0, 0.2, 500


def resident_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def look(address: str) -> None:
    """A viewer that reads the live view until it ends."""
    try:
        with urllib.request.urlopen(f"{address}stream.mjpeg", timeout=60) as stream:
            while stream.read(1 << 16):
                pass
    except OSError:
        return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--fps", type=float, default=300)
    options = parser.parse_args()
    many = max(1, options.frames // 1000)
    plan = FaultPlan.scattered(options.frames, disconnects=many, corrupt=many, jumps=many, fps=options.fps)
    points: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package, clip = make_package(folder), make_clip(folder / "clip.mp4", (160, 96), 240)
        source = LiveSource("camera", Faulty(clip, plan))
        view = LiveView(0)
        threading.Thread(target=look, args=(view.address,), daemon=True).start()

        def note(prediction: Prediction) -> None:
            if not points or source.packets >= points[-1][0] + STEP:
                points.append((source.packets, resident_mb()))
                if len(points) % 20 == 1:
                    print(f"{points[-1][0]} frames: {points[-1][1]:.1f} MB", flush=True)

        start = time.perf_counter()
        limits = WatchOptions(queue=3, max_age_s=5)
        sinks = [JsonLines(folder / "results.jsonl"), view]
        tally = watch(load(package), source, sinks, "live", options=limits, on_answer=note)
        seconds = time.perf_counter() - start
    print(
        f"{tally.captured} captured in {seconds:.0f} s, {tally.answered} answered, {tally.dropped} dropped, "
        f"{tally.late} late, {tally.lost} lost, {tally.disconnects} disconnects, "
        f"{tally.clock_jumps} clock jumps"
    )
    whole = tally.balanced and tally.captured + tally.lost == options.frames
    late = np.array([p for p in points if p[0] >= WARM_UP * options.frames])
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) * 10_000
    print(
        f"soak: {slope:+.3f} MB per 10,000 frames over {options.frames} (bar {BAR_MB:g}); "
        f"frames accounted for: {'all' if whole else 'NOT ALL'}"
    )
    return 0 if slope <= BAR_MB and whole else 1


if __name__ == "__main__":
    sys.exit(main())
