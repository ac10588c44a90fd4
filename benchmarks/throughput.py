"""Video to results in file mode, against the limit of the machine and against Ultralytics.

The limit is cores x 1000 / (network + decode + place core-milliseconds a frame), each measured alone on one
thread in the same round. Beside the share of it that the pipeline reaches stands the share that as many
workers as cores reach which share nothing but the machine (`apart`): busy cores slow one another down, and
no pipeline does better than that.

Ultralytics 8.4 runs the same network (same weights, exported in the layout it reads) on the same clips, in a
process of its own, from the interpreter that SIGHTLINE_ULTRALYTICS_PYTHON names; without it that half is not
measured and the bar not met. Rounds are interleaved; medians count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from sightline.core.predictor import Predictor
from sightline.core.specs import InputSpec, Signature
from sightline.runtime.loading import load
from sightline.runtime.options import cores
from sightline.video.pipeline import predict_stream
from sightline.video.sources import Frame, VideoSource

LIMIT_BAR, RIVAL_BAR = 0.93, 1.15
WANTED_MS = 29.0
SIZE = 640
CLASSES = 80
CLIPS = {"720p": ((1280, 720), 8), "1080p": ((1920, 1080), 12)}
VARIABLE = "SIGHTLINE_ULTRALYTICS_PYTHON"

RIVAL = """
import sys, time
from ultralytics import YOLO
model = YOLO(sys.argv[1], task="detect")
size = int(sys.argv[2])
for line in sys.stdin:
    start, frames = time.perf_counter(), 0
    for result in model.predict(source=line.strip(), stream=True, imgsz=size, conf=0.25, device="cpu",
                                verbose=False, save=False):
        frames += 1
    print("RESULT", frames, time.perf_counter() - start, flush=True)
"""


def make_clip(path: Path, size_wh: tuple[int, int], megabits: int, frames: int) -> None:
    """Moving shapes over a drifting texture with sensor noise, H.264 at the rate given."""
    width, height = size_wh
    random = np.random.default_rng(0)
    texture = cv2.resize(random.integers(0, 256, (height // 4, width // 4, 3), np.uint8), size_wh)
    noise = [random.normal(0, 9, (height, width, 3)).astype(np.int16) for _ in range(4)]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = megabits * 1_000_000
        rate = f"vbv-maxrate={megabits * 1000}:vbv-bufsize={megabits * 1000}"
        stream.codec_context.options = {"preset": "fast", "x264-params": rate}
        for index in range(frames):
            picture = np.roll(texture, (index, 3 * index), (0, 1)) // 2 + 60
            for k in range(8):
                x, y = (97 * k + (5 + k) * index) % width, (131 * k + (2 + k) * index) % height
                cv2.circle(picture, (x, y), 20 + 6 * k, (30 * k, 255 - 25 * k, 90), -1)
            noisy = np.clip(picture.astype(np.int16) + noise[index % 4], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode(None))


def make_network(folder: Path, width: int) -> tuple[Path, Path]:
    """One random detector in two files: our package, and the layout Ultralytics reads."""
    import torch
    from torch import Tensor, nn

    from sightline.export.writing import package_model
    from sightline.models.base import Batch, Model, Normalise, Tensors
    from sightline.models.suppress import keep_best

    torch.manual_seed(0)

    def block(inner: int, outer: int, stride: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.SiLU()
        )

    class Detector(Model):
        """Five strided stages, two blocks each, and a point for every 8x8, 16x16 and 32x32 pixels."""

        def __init__(self) -> None:
            names = tuple(f"class{i}" for i in range(CLASSES))
            spec = {"image": InputSpec((SIZE, SIZE))}
            super().__init__(Signature(("detect",), names, spec, {"detect": 0.25}))
            self.normalise = Normalise()
            sizes = [3, width, 2 * width, 4 * width, 8 * width, 8 * width]
            self.stages = nn.ModuleList(
                nn.Sequential(block(a, b, 2), block(b, b, 1)) for a, b in pairwise(sizes)
            )
            self.heads = nn.ModuleList(nn.Conv2d(c, 4 + CLASSES, 1) for c in sizes[3:])
            for head in self.heads:
                nn.init.constant_(head.bias[4:], -6.0)

        def features(self, x: Tensor) -> Tensor:
            levels: list[Tensor] = []
            for index, stage in enumerate(self.stages):
                x = stage(x)
                if index >= 2:
                    levels.append(self.heads[index - 2](x).flatten(2))
            return torch.cat(levels, 2)

        def boxes(self, flat: Tensor) -> tuple[Tensor, Tensor]:
            centres, strides = [], []
            for stride in (8, 16, 32):
                axis = (torch.arange(SIZE // stride) + 0.5) * stride
                ys, xs = torch.meshgrid(axis, axis, indexing="ij")
                centres.append(torch.stack([xs, ys]).flatten(1))
                strides.append(torch.full((1, xs.numel()), float(stride)))
            centre, stride_row = torch.cat(centres, 1), torch.cat(strides, 1)
            sides = flat[:, :4].sigmoid() * 8 * stride_row
            return torch.cat([centre - sides[:, :2], centre + sides[:, 2:]], 1), flat[:, 4:].sigmoid()

        def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
            return {"flat": self.features(self.normalise(inputs["image"]))}

        def decode(self, raw: Tensors) -> Tensors:
            boxes, scores = self.boxes(raw["flat"])
            best, classes = scores.max(1)
            top, rows = best.topk(300, 1)
            picked = boxes.transpose(1, 2).gather(1, rows[..., None].expand(-1, -1, 4))
            chosen = classes.gather(1, rows)
            return {
                "detect.boxes": picked,
                "detect.scores": top * keep_best(picked, chosen, 0.7),
                "detect.classes": chosen,
            }

        def losses(self, batch: Batch) -> Tensors:
            raise NotImplementedError("never trained")

    class Plain(nn.Module):
        """The same weights behind the interface that Ultralytics expects of an ONNX file."""

        def __init__(self, detector: Detector) -> None:
            super().__init__()
            self.detector = detector

        def forward(self, images: Tensor) -> Tensor:
            first = self.detector.normalise
            mean, std = (v.reshape(3, 1, 1) / 255 for v in (first.mean, first.std))
            x = (images - mean) / std
            boxes, scores = self.detector.boxes(self.detector.features(x))
            low, high = boxes[:, :2], boxes[:, 2:]
            return torch.cat([(low + high) / 2, high - low, scores], 1)

    detector = Detector().eval()
    ours = package_model(detector, folder / f"package{width}")
    import onnx

    with torch.no_grad():
        example = (torch.zeros(1, 3, SIZE, SIZE),)
        program: Any = torch.onnx.export(
            Plain(detector).eval(), example, dynamo=True, external_data=False, input_names=["images"],
            output_names=["output0"], verbose=False,
        )  # fmt: skip
    proto = program.model_proto
    names = {i: f"class{i}" for i in range(CLASSES)}
    told = {"task": "detect", "stride": "32", "batch": "1", "imgsz": str([SIZE, SIZE]), "names": str(names)}
    onnx.helper.set_model_props(proto, told)
    theirs = folder / f"plain{width}.onnx"
    onnx.save(proto, theirs)
    return ours, theirs


def network_ms(predictor: Predictor, rounds: int) -> float:
    """Median milliseconds of the network alone."""
    pixels = {"image": np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)}
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        predictor.infer(pixels)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000


def chosen_network(folder: Path) -> tuple[Path, Path, Predictor]:
    """The narrowest detector that takes about the wanted milliseconds on one thread, opened for one."""
    best: tuple[float, Path, Path, Predictor] | None = None
    for width in (12, 16, 20, 24, 28, 32, 40):
        ours, theirs = make_network(folder, width)
        predictor = load(ours, threads=1, mode="throughput", batch=1)
        network_ms(predictor, 3)
        ms = network_ms(predictor, 15)
        print(f"width {width}: {ms:.1f} ms on one thread", flush=True)
        if best is None or abs(ms - WANTED_MS) < abs(best[0] - WANTED_MS):
            best = (ms, ours, theirs, predictor)
        if ms > WANTED_MS:
            break
    assert best is not None
    return best[1:]


def costs_alone(predictor: Predictor, clip: Path, frames: int) -> dict[str, float]:
    """Core-milliseconds a frame on one thread: decoding, placing (to RGB too), the network."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        decode, place = [], []
        source = iter(VideoSource(clip, threads=1))
        for _ in range(frames):
            start = time.perf_counter()
            item = next(source)
            assert isinstance(item, Frame)
            picture = item.picture()
            decoded = time.perf_counter()
            predictor.place([{"image": picture}])
            decode.append(decoded - start)
            place.append(time.perf_counter() - decoded)
        network = network_ms(predictor, max(20, frames // 3))
    finally:
        cv2.setNumThreads(threads)
    # Means, since the frames of a group of pictures cost unlike; the network costs the same each time.
    return {"decode": float(np.mean(decode)) * 1e3, "place": float(np.mean(place)) * 1e3, "network": network}


def ours_fps(predictor: Predictor, clip: Path, frames: int) -> float:
    """Frames a second of the pipeline over the whole clip; every frame must come out."""
    start = time.perf_counter()
    count = sum(1 for _ in predict_stream(predictor, VideoSource(clip, threads=1), workers=cores() + 1))
    assert count == frames, f"{count} of {frames} frames came out"
    return count / (time.perf_counter() - start)


def apart_fps(predictor: Predictor, clip: Path, frames: int) -> float:
    """Frames a second of as many single workers as cores, each with the clip to itself: nothing is shared."""

    def alone() -> int:
        return sum(1 for _ in predict_stream(predictor, VideoSource(clip, threads=1), workers=1))

    start = time.perf_counter()
    with ThreadPoolExecutor(cores()) as pool:
        count = sum(work.result() for work in [pool.submit(alone) for _ in range(cores())])
    assert count == frames * cores(), f"{count} of {frames * cores()} frames came out"
    return count / (time.perf_counter() - start)


class Rival:
    """Ultralytics in its own process, warm; start-up does not count."""

    def __init__(self, python: str, model: Path) -> None:
        self._process = subprocess.Popen(
            [python, "-c", RIVAL, str(model), str(SIZE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=model.parent,
            env={**os.environ, "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(model.parent)},
        )

    def fps(self, clip: Path, frames: int) -> float:
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._process.stdin.write(f"{clip}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("RESULT"):
                _, count, seconds = line.split()
                assert int(count) == frames, f"{count} of {frames} frames came out"
                return int(count) / float(seconds)
        raise RuntimeError(f"Ultralytics stopped: {self._process.stderr.read()[-2000:]}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def measure(
    folder: Path, rounds: int, frames: int, rival_python: str | None
) -> dict[str, dict[str, list[float]]]:
    """Every figure of every round, by clip."""
    for name, (size_wh, megabits) in CLIPS.items():
        make_clip(folder / f"{name}.mp4", size_wh, megabits, frames)
        bits = (folder / f"{name}.mp4").stat().st_size * 8 / (frames / 30) / 1e6
        print(f"{name}: {frames} frames, {bits:.1f} Mbit/s", flush=True)
    ours, theirs, alone = chosen_network(folder)
    together = load(ours, mode="throughput", batch=1)
    rival = Rival(rival_python, theirs) if rival_python else None
    found: dict[str, dict[str, list[float]]] = {name: {} for name in CLIPS}
    try:
        for index in range(rounds + 1):  # the first warms everything up and does not count
            for name in CLIPS:
                clip = folder / f"{name}.mp4"
                cost = costs_alone(alone, clip, min(frames, 90))
                limit = cores() * 1000 / sum(cost.values())
                fps = ours_fps(together, clip, frames)
                row = {**cost, "limit": limit, "fps": fps, "share": fps / limit}
                row["apart"] = apart_fps(together, clip, frames) / limit
                if rival:
                    row["rival"] = rival.fps(clip, frames)
                    row["ratio"] = fps / row["rival"]
                if index:
                    for key, value in row.items():
                        found[name].setdefault(key, []).append(value)
                    print(name, {key: round(value, 2) for key, value in row.items()}, flush=True)
    finally:
        if rival:
            rival.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--ultralytics", default=os.environ.get(VARIABLE), help="a Python that has it")
    options = parser.parse_args()
    if not options.ultralytics:
        print(f"the comparison with Ultralytics is not measured: {VARIABLE} names no interpreter that has it")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.rounds, options.frames, options.ultralytics)
    medians = {n: {k: float(np.median(v)) for k, v in rows.items()} for n, rows in found.items()}
    print(json.dumps(medians, indent=2))
    share = min(row["share"] for row in medians.values())
    ratio = min((row["ratio"] for row in medians.values() if "ratio" in row), default=None)
    told = "Ultralytics not measured" if ratio is None else f"{ratio:.2f}x Ultralytics (bar {RIVAL_BAR}x)"
    apart = min(row["apart"] for row in medians.values())
    print(f"workers that share nothing: {apart:.1%} of the limit")
    print(f"throughput: {share:.1%} of the limit (bar {LIMIT_BAR:.0%}); {told}")
    return 0 if share >= LIMIT_BAR and ratio is not None and ratio >= RIVAL_BAR else 1


if __name__ == "__main__":
    sys.exit(main())
