"""A live source under load and under faults: ages, drops, reconnections, every frame accounted for.

A 720p H.264 recording is played as a camera of 60 frames a second. First a classifier that keeps up; then
the same one slowed to 20 answers a second; then with 20 disconnects (each followed by two refused tries),
corrupt packets and clock jumps.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from sightline.runtime.loading import load
from sightline.video.connecting import LiveSource
from sightline.video.faulty import FaultPlan, Faulty, Slowed
from sightline.video.live import WatchOptions, watch
from sightline.video.pipeline import Prediction
from sightline.video.tally import Tally

FPS, SLOW_S, QUEUE, CAP_S = 60, 1 / 20, 3, 0.2
AGE_BAR_MS, GAP_BAR_S, DISCONNECTS = 50, 5.0, 20
SOURCE = Path(__file__).resolve().parent.parent / "src"


def make_package(folder: Path) -> Path:
    """A MobileNetV3 classifier at 224x224 with random weights, made in a process of its own."""
    code = f"""
from pathlib import Path
from sightline.core.specs import InputSpec
from sightline.export.writing import package_model
from sightline.models.catalogue import build
inputs = {{"image": InputSpec((224, 224))}}
model = build("mobilenetv3", tasks=("classify",), classes=("cat", "dog"), inputs=inputs)
package_model(model.eval(), Path({str(folder / "package")!r}))
"""
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
    return folder / "package"


def make_clip(path: Path, size_wh: tuple[int, int], frames: int) -> Path:
    """A picture that pans over noise, 60 frames a second, H.264 as a camera sends it: no reordering."""
    width, height = size_wh
    ground = np.random.default_rng(0).integers(0, 256, (height // 8 + 8, width // 8 + 60, 3)).astype(np.uint8)
    ground = np.repeat(np.repeat(ground, 8, 0), 8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.options = {"tune": "zerolatency", "preset": "veryfast", "b": "8M"}
        stream.codec_context.gop_size = 30
        for index in range(frames):
            part = ground[:height, (3 * index + np.arange(width)) % ground.shape[1]]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def live(predictor: object, clip: Path, plan: FaultPlan) -> tuple[Tally, list[float], LiveSource]:
    """One watch in live mode: the counts, the ages in ms, and the source."""
    source, ages = LiveSource("camera", Faulty(clip, plan)), []

    def note(prediction: Prediction) -> None:
        if prediction.age_s is not None:
            ages.append(prediction.age_s * 1000)

    options = WatchOptions(queue=QUEUE, max_age_s=CAP_S)
    return watch(predictor, source, (), "live", options=options, on_answer=note), ages, source


def accounted(tally: Tally, source: LiveSource, packets: int) -> bool:
    """Whether every packet became an answer or a count."""
    return source.packets == packets and tally.captured + tally.lost == packets and tally.balanced


def told(name: str, tally: Tally, ages: list[float]) -> None:
    p50, p99, most = np.percentile(ages, [50, 99, 100]) if ages else (np.nan,) * 3
    print(
        f"{name}: {tally.captured} captured, {tally.answered} answered ({tally.mean_rate:.1f} a second), "
        f"{tally.dropped} dropped, {tally.late} late, {tally.lost} lost; "
        f"age p50 {p50:.1f}, p99 {p99:.1f}, most {most:.1f} ms",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="of each part")
    parser.add_argument("--package", type=Path, help="to watch with, instead of the classifier made here")
    options = parser.parse_args()
    packets = options.seconds * FPS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = options.package or make_package(folder)
        clip = make_clip(folder / "clip.mp4", (1280, 720), 120)
        predictor = load(package)
        live(predictor, clip, FaultPlan(FPS, fps=FPS))  # warms up
        keeping, ages, source = live(predictor, clip, FaultPlan(packets, fps=FPS))
        told("at 60", keeping, ages)
        whole = accounted(keeping, source, packets)
        slow, slow_ages, source = live(Slowed(predictor, SLOW_S), clip, FaultPlan(packets, fps=FPS))
        told("slowed to 20", slow, slow_ages)
        whole &= accounted(slow, source, packets)
        third = max(1, len(slow_ages) // 3)
        growth = float(np.median(slow_ages[-third:]) - np.median(slow_ages[:third]))
        plan = FaultPlan.scattered(
            packets, disconnects=DISCONNECTS, corrupt=30, jumps=5, refusals=2, jitter_s=0.01, fps=FPS
        )
        faulty, faulty_ages, source = live(predictor, clip, plan)
        told("with faults", faulty, faulty_ages)
        whole &= accounted(faulty, source, packets)
        print(
            f"faults: {faulty.disconnects} disconnects, longest gap {faulty.longest_gap_s:.2f} s, "
            f"{faulty.corrupt} packets refused of 30 corrupt, {faulty.clock_jumps} clock jumps bridged of 5",
            flush=True,
        )
    p99, most = float(np.percentile(ages, 99)), max(slow_ages)
    good = keeping.dropped + keeping.late == 0 and p99 <= AGE_BAR_MS
    good &= most <= CAP_S * 1000 and growth <= 1000 / FPS
    good &= faulty.disconnects == DISCONNECTS and faulty.longest_gap_s <= GAP_BAR_S and whole
    print(
        f"streams: at 60 {keeping.dropped + keeping.late} drops (bar 0), p99 age {p99:.1f} ms "
        f"(bar {AGE_BAR_MS}); slowed: oldest {most:.0f} ms (bar {CAP_S * 1000:.0f}), growth {growth:+.1f} ms "
        f"(bar one frame); {faulty.disconnects} of {DISCONNECTS} disconnects survived, longest gap "
        f"{faulty.longest_gap_s:.2f} s "
        f"(bar {GAP_BAR_S:g}); frames accounted for: {'all' if whole else 'NOT ALL'} (bar all)"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
