"""A two-stage package on 1080p60 video in file mode: every bar of `watch`, in one run.

    python benchmarks/watch.py [--package work/locate/package] [--arithmetic bf16] [--only speed,start]

The clip replays real tracks (H.264, 10 Mbit/s, at least 15% of the frames without the shuttle) and is
rendered once. The package is the one that `benchmarks/locate.py` trained. `speed` and `overlay` time `watch`
from decoding to answers; `start` is a new process to its first point, bytecode compiled; `stages` compares
the stages as packaged with eager PyTorch and torch.compile on the same architecture, in turn; `equal`
compares a video at once with the stream in f32, and bf16 with f32.
"""

from __future__ import annotations

import argparse
import compileall
import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.core.manifest import Manifest
from sightline.core.picture import Yuv420
from sightline.core.predictor import Inputs
from sightline.core.results import Points, Result
from sightline.runtime.choosing import fastest
from sightline.runtime.coarse_to_fine import CoarseToFine
from sightline.runtime.loading import load
from sightline.runtime.locating_stream import LocatingStream
from sightline.video.live import watch
from sightline.video.pipeline import Prediction
from sightline.video.sinks import Mp4, Sink
from sightline.video.sources import VideoSource

REPO = Path(__file__).resolve().parent.parent
TRACKS = Path(os.environ.get("SIGHTLINE_SHARED_DATA", REPO.parent / "shared" / "data"))
FRAMES, FPS, WINDOW_S = 3000, 60, 5.0
SPEED_BAR, WORST_BAR, STRETCH, OVERLAY_BAR, START_BAR_S = 86, 60, 120, 60, 1.0
EAGER_BAR = {"coarse": 6.0, "fine": 3.5}
COMPILED_BAR, SAME_PX, BF16_MEAN_PX, BF16_P95_PX = 1.3, 0.1, 0.1, 0.25
STARTS, ROUNDS, TIMED, COMPARED = 5, 30, 3, 600
PARTS = ("speed", "overlay", "start", "stages", "equal")


@dataclass
class Verdict:
    """Figures and bars, as they come."""

    missed: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def hold(self, name: str, figure: float, bar: float, *, most: bool = False, unit: str = "") -> None:
        """Print a figure with its bar; remember what is missed. What is no number misses."""
        met = figure <= bar if most else figure >= bar
        word = "at most" if most else "at least"
        line = f"{name}: {figure:.3g}{unit} ({word} {bar:g}{unit}) {'ok' if met else 'MISSED'}"
        print(line, flush=True)
        self.said.append(line)
        if not met:
            self.missed.append(name)


class Observed:
    """A predictor whose streams are kept, to read what they did."""

    def __init__(self, locator: CoarseToFine) -> None:
        self.locator, self.streams = locator, list[LocatingStream]()
        self.signature = locator.signature

    def predict(self, batch: list[Inputs]) -> list[dict[str, Result]]:
        return self.locator.predict(batch)

    def open_stream(self) -> LocatingStream:
        self.streams.append(self.locator.open_stream())
        return self.streams[-1]


def main() -> int:
    args = arguments()
    clip = the_clip(args.clip, args.frames)
    verdict = Verdict()
    parts: dict[str, Callable[[], None]] = {
        "speed": lambda: speed(args.package, clip, args.arithmetic, verdict),
        "overlay": lambda: overlay(args.package, clip, args.arithmetic, verdict),
        "start": lambda: start(args.package, clip, args.arithmetic, verdict),
        "stages": lambda: stages(args.package, args.arithmetic, verdict),
        "equal": lambda: equal(args.package, clip, verdict),
    }
    for name in args.only.split(","):
        print(f"\n{name}")
        parts[name]()
    print(
        f"\n{len(verdict.said) - len(verdict.missed)} of {len(verdict.said)} bars met; missed: "
        f"{', '.join(verdict.missed) or 'none'}"
    )
    first = verdict.said[0] if verdict.said else "nothing measured"
    print(f"watch: {first}")
    return 1 if verdict.missed or not verdict.said else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, default=REPO / "work" / "locate" / "package")
    parser.add_argument("--clip", type=Path, default=REPO / "work" / "watch" / "clip.mp4")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument(
        "--arithmetic",
        choices=("bf16", "f32"),
        default="bf16",
        help="`equal` holds bf16 to f32",
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    args = parser.parse_args()
    if not (args.package / "manifest.json").is_file():
        sys.exit(f"error: {args.package}: no package; run benchmarks/locate.py first, or pass --package")
    return args


def the_clip(path: Path, frames: int) -> Path:
    """The clip, rendered unless it is there."""
    if not path.exists():
        from sightline.simulate.labelled import write_watch_clip

        print("rendering the clip: some minutes", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_watch_clip(path, replay=TRACKS / "tracknetv3_badminton_test_labels", frames=frames, fps=FPS)
    hidden = 1 - truth_of(path)[:, 2].mean()
    rate = path.stat().st_size * 8 * FPS / len(truth_of(path)) / 1e6
    print(f"clip: {len(truth_of(path))} frames, {rate:.1f} Mbit/s, {hidden:.1%} without the shuttle")
    if not 8 <= rate <= 12 or hidden < 0.15:
        sys.exit("error: the clip is not of 10 +- 2 Mbit/s with at least 15% hidden")
    return path


def truth_of(clip: Path) -> np.ndarray[Any, Any]:
    """(N, 3) x, y, visible of every frame, from the track beside the clip."""
    with clip.with_name(f"{clip.stem}_ball.csv").open(encoding="utf-8") as file:
        rows = [(float(r["X"]), float(r["Y"]), float(r["Visibility"])) for r in csv.DictReader(file)]
    return np.array(rows)


def run(locator: CoarseToFine, clip: Path, sinks: list[Sink]) -> tuple[list[float], Observed, float]:
    """Wall times of all answers, what was run, and CPU seconds."""
    observed, times = Observed(locator), list[float]()

    def tick(prediction: Prediction) -> None:
        times.append(time.perf_counter())

    cpu = time.process_time()
    times.append(time.perf_counter())
    watch(observed, VideoSource(clip), sinks, mode="file", on_answer=tick)
    return times, observed, time.process_time() - cpu


def rates(times: list[float]) -> tuple[float, float]:
    """Frames a second over all, and in the worst five seconds."""
    at = np.array(times[1:]) - times[0]
    starts = at[at + WINDOW_S <= at[-1]]
    inside = [np.searchsorted(at, s + WINDOW_S, "right") - i for i, s in enumerate(starts)]
    return len(at) / at[-1], min(inside, default=len(at)) / WINDOW_S if inside else len(at) / at[-1]


def speed(package: Path, clip: Path, arithmetic: str, verdict: Verdict) -> None:
    locator = two_stages(package, mode="throughput", arithmetic=arithmetic)
    times, observed, cpu = run(locator, clip, [])
    mean, worst = rates(times)
    tally = observed.streams[0].tally
    manifest = Manifest.read(package)
    name = fastest(next(iter(manifest.stages.values())))
    print(f"runtime {name}, {arithmetic}; mode {locator.mode}")
    print(
        f"{tally.frames} frames: the coarse stage ran on {tally.coarse / tally.frames:.1%} of them, "
        f"{tally.windows / tally.frames:.2f} fine windows a frame; "
        f"{cpu / tally.frames * 1e3:.1f} core-ms a frame"
    )
    print_score(clip, locator)
    verdict.hold("frames a second", mean, SPEED_BAR)
    verdict.hold("frames a second in the worst five seconds", worst, WORST_BAR)
    print(f"the stretch of {STRETCH} is {'met' if mean >= STRETCH else 'not met'}")
    costs(locator, clip)


def print_score(clip: Path, locator: CoarseToFine) -> None:
    """How well the answers that were timed fit the truth; no bar here (`locate.py` has them)."""
    found, truth = answers(locator, clip, COMPARED), truth_of(clip)[:COMPARED]
    seen, visible = found[:, 2] > 0, truth[:, 2] > 0
    apart = np.hypot(*(found - truth)[:, :2].T)[seen & visible]
    hits = (apart <= 8).sum()
    f1 = 2 * hits / max(1, seen.sum() + visible.sum())
    median = np.median(apart) if len(apart) else np.nan
    print(f"first {COMPARED} frames: F1 within 8 px {f1:.3f}, median error {median:.2f} px")


def overlay(package: Path, clip: Path, arithmetic: str, verdict: Verdict) -> None:
    out = clip.with_name("overlay.mp4")
    locator = two_stages(package, mode="throughput", arithmetic=arithmetic)
    times, _, cpu = run(locator, clip, [Mp4(out, FPS)])
    frames = len(times) - 1
    mean = frames / (time.perf_counter() - times[0])
    print(f"{out.stat().st_size / 1e6:.0f} MB, {cpu / frames * 1e3:.1f} core-ms a frame")
    verdict.hold("frames a second with an overlay written", mean, OVERLAY_BAR)


FIRST_POINT = """
import sys
from sightline.runtime.loading import load
from sightline.video.sources import VideoSource
source = iter(VideoSource(sys.argv[2]))
stream = load(sys.argv[1], arithmetic=sys.argv[3]).open_stream()
print(stream.push({"clip": next(source).picture()})["locate"].points)
"""


def start(package: Path, clip: Path, arithmetic: str, verdict: Verdict) -> None:
    compileall.compile_dir(REPO / "src", quiet=1)
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env = {**kept, "PYTHONPATH": str(REPO / "src")}
    seconds = []
    for _ in range(STARTS + 1):
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", FIRST_POINT, str(package), str(clip), arithmetic],
            env=env,
            check=True,
            capture_output=True,
        )
        seconds.append(time.perf_counter() - begin)
    verdict.hold(
        "new process to first point", float(np.median(seconds[1:])), START_BAR_S, most=True, unit=" s"
    )


def stages(package: Path, arithmetic: str, verdict: Verdict) -> None:
    """The packaged graphs against PyTorch models of the same architecture, all on every core, in turn."""
    import torch

    locator = two_stages(package, mode="latency", arithmetic=arithmetic)
    for name, predictor in (("coarse", locator.stages.coarse), ("fine", locator.stages.fines[0])):
        model = torch_model(package, name)
        if model is None:
            verdict.hold(
                f"{name} stage: its run was not found, so no model to compare", float("nan"), EAGER_BAR[name]
            )
            continue
        chance = np.random.default_rng(0)
        placed = {
            k: chance.integers(0, 256, s.shape(1)).astype(s.dtype) for k, s in model.signature.inputs.items()
        }
        tensors = {key: torch.from_numpy(value) for key, value in placed.items()}

        def eager(inputs: Any, model: Any = model) -> Any:
            return model.decode(model.raw(inputs))

        compiled = torch.compile(eager)
        with torch.inference_mode():
            ways = {
                "packaged": lambda p=predictor, x=placed: p.infer(x),
                "eager": lambda x=tensors, f=eager: f(x),
                "compiled": lambda x=tensors, f=compiled: f(x),
            }
            took = in_turn(ways)
        print(f"{name}: " + ", ".join(f"{way} {np.median(ms):.2f} ms" for way, ms in took.items()))
        for way, bar in (("eager", EAGER_BAR[name]), ("compiled", COMPILED_BAR)):
            ratio = float(np.median(np.array(took[way]) / np.array(took["packaged"])))
            verdict.hold(f"{name} stage against {way} PyTorch", ratio, bar, unit="x")


def torch_model(package: Path, stage: str) -> Any:
    """The trained model of a stage, from the run beside the package."""
    from sightline.train.run import Run

    for folder in sorted(package.parent.glob(f"run*/**/{stage}")):
        if (folder / "best.safetensors").exists():
            return Run.open(folder).model().eval()
    return None


def in_turn(ways: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Milliseconds of each way, in rounds of a few calls; the first calls of a round are not counted, for the
    threads of the way before it spin for a while and take the cores from them.
    """
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS // TIMED + 1):
        for name, way in ways.items():
            for call in range(2 * TIMED):
                begin = time.perf_counter()
                way()
                if call >= TIMED:
                    took[name].append((time.perf_counter() - begin) * 1e3)
    return {name: ms[TIMED:] for name, ms in took.items()}


def equal(package: Path, clip: Path, verdict: Verdict) -> None:
    exact = two_stages(package, mode="throughput", arithmetic="f32")
    pictures = decoded(clip, COMPARED // 3)
    for mode in ("each", "track"):
        locator = exact.with_mode(mode)
        together = table([points(r) for r in locator.predict_video(pictures)])
        with locator.open_stream() as stream:
            apart = table([points(stream.push({"clip": picture})) for picture in pictures])
        worst = float(np.abs(together[:, :2] - apart[:, :2]).max())
        verdict.hold(f"batch against stream, {mode}, f32", worst, SAME_PX, most=True, unit=" px")
    rounded = two_stages(package, mode="throughput", arithmetic="bf16")
    a, b, truth = answers(exact, clip, COMPARED), answers(rounded, clip, COMPARED), truth_of(clip)[:COMPARED]
    both = (a[:, 2] > 0) & (b[:, 2] > 0)
    hit = (
        both
        & (truth[:, 2] > 0)
        & (np.hypot(*(a - truth)[:, :2].T) < 50)
        & (np.hypot(*(b - truth)[:, :2].T) < 50)
    )
    count = [int(seen.sum()) for seen in (a[:, 2] > 0, b[:, 2] > 0, both)]
    print("in sight in f32 {}, in bf16 {}, in both {}".format(*count))
    errors = [np.hypot(*(one - truth)[hit, :2].T).mean() if hit.any() else np.nan for one in (a, b)]
    verdict.hold(
        "mean error changed by bf16", abs(errors[1] - errors[0]), BF16_MEAN_PX, most=True, unit=" px"
    )
    p95 = np.percentile(np.hypot(*(a - b)[both, :2].T), 95) if both.any() else np.nan
    verdict.hold("95th percentile of bf16 against f32", float(p95), BF16_P95_PX, most=True, unit=" px")


def two_stages(package: Path, **options: Any) -> CoarseToFine:
    locator = load(package, **options)
    if not isinstance(locator, CoarseToFine):
        sys.exit(f"error: {package}: is no package of two stages")
    return locator


def decoded(clip: Path, count: int) -> list[Any]:
    frames = []
    for frame in VideoSource(clip):
        if len(frames) == count:
            break
        picture = frame.picture()  # type: ignore[union-attr]
        frames.append(picture.copied() if isinstance(picture, Yuv420) else picture)
    return frames


def points(results: dict[str, Result]) -> Points:
    found = results["locate"]
    assert isinstance(found, Points)
    return found


def table(found: list[Points]) -> np.ndarray[Any, Any]:
    """(N, 3) x, y and whether it counts as in sight."""
    return np.array([[*p.points[0], float(p.seen[0])] for p in found])


def answers(locator: CoarseToFine, clip: Path, count: int) -> np.ndarray[Any, Any]:
    """What the stream says of the first frames."""
    found: list[Any] = []
    with locator.open_stream() as stream:
        for frame in VideoSource(clip):
            found.append(stream.submit({"clip": frame.picture()}))  # type: ignore[union-attr]
            if len(found) >= stream.ahead:
                found[-stream.ahead].result()
            if len(found) == count:
                break
        return table([points(future.result()) for future in found])


def costs(locator: CoarseToFine, clip: Path) -> None:
    """Core-milliseconds of each step alone, on one thread."""
    from sightline.core.geometry import place

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    steps: dict[str, float] = {}
    cpu, count = time.process_time(), 0
    for _ in VideoSource(clip, threads=1):
        count += 1
        if count == 300:
            break
    steps["decode"] = (time.process_time() - cpu) / count * 1e3
    (picture,) = decoded(clip, 1)
    for name, stage in (("coarse", locator.stages.coarse), ("fine", locator.stages.fines[0])):
        spec = next(iter(stage.signature.inputs.values()))
        steps[f"place for {name}, one frame"] = cpu_ms(lambda s=spec: place(picture, s))
        placed = {k: np.zeros(s.shape(1), s.dtype) for k, s in stage.signature.inputs.items()}
        steps[f"{name} network"] = cpu_ms(lambda x=placed, p=stage: p.infer(x))
    cv2.setNumThreads(threads)
    print("core-ms alone: " + ", ".join(f"{name} {ms:.2f}" for name, ms in steps.items()))


def cpu_ms(call: Callable[[], Any], rounds: int = 60) -> float:
    for _ in range(5):
        call()
    begin = time.process_time()
    for _ in range(rounds):
        call()
    return (time.process_time() - begin) / rounds * 1e3


if __name__ == "__main__":
    sys.exit(main())
