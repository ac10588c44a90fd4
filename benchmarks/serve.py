"""The service's throughput and latency, against the limit of the machine and against LitServe.

The limit is what the same file gives without HTTP in the fastest runtime at hand (ONNX Runtime, OpenVINO
where it is installed) and the best of two layouts (a session of one thread for each core, one session with a
thread for each core), each thread decoding, placing and running the network. The load shares the machine's
cores with the server. LitServe 0.2 serves the same ONNX file in ONNX Runtime, in f32, with the same decoding
and placing, one worker a core with one thread each (its best layout here), from the interpreter that
SIGHTLINE_LITSERVE_PYTHON names; without it that half is not measured and the bar not met. The service runs
the file in ONNX Runtime and f32 too, as `sightline serve PACKAGE` does, unless `--runtime` or `--arithmetic`
says otherwise; the last line names what it was, since only like with like says what the service itself costs.
Rounds are interleaved; medians count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np

from serve_load import Load, environment, is_ready, jpegs, loaded, make_packages, request_bytes, server, tell
from sightline.core.media import decode_picture
from sightline.core.predictor import Predictor
from sightline.runtime.choosing import installed
from sightline.runtime.loading import load
from sightline.runtime.options import Mode, cores

LIMIT_BAR, RIVAL_BAR, ADDED_BAR_MS, START_BAR_S = 0.85, 1.3, 3.0, 2.0
CLIENTS = 32
VARIABLE = "SIGHTLINE_LITSERVE_PYTHON"

RIVAL = """
import json, sys
from pathlib import Path
import cv2, litserve, numpy as np, onnxruntime
from fastapi import UploadFile
from sightline.core.assemble import assemble
from sightline.core.manifest import Manifest
from sightline.core.media import decode_picture
from sightline.core.plain import plain_results
from sightline.core.predictor import Predictor

PACKAGE, PORT, CORES = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

class Api(litserve.LitAPI):
    def setup(self, device):
        cv2.setNumThreads(1)
        stage = next(iter(Manifest.read(PACKAGE).stages.values()))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(PACKAGE / stage.file), options)
        names = list(stage.outputs)
        infer = lambda inputs: dict(zip(names, session.run(names, inputs)))
        self.predictor = Predictor(stage.signature, infer, batch=1)

    def decode_request(self, request: UploadFile):
        return decode_picture(request.file.read())

    def predict(self, picture):
        placed, frames = self.predictor.place([{"image": picture}])
        return self.predictor.infer(placed), frames[0]

    def encode_response(self, output):
        outputs, (matrix, size_wh) = output
        results = assemble(outputs, 0, self.predictor.signature, matrix, size_wh)
        if "classify" in results:
            scores = results["classify"].scores
            best = np.argsort(-scores)[:5]
            return {"classify": {results["classify"].names[i]: float(scores[i]) for i in best}}
        return plain_results(results)

if __name__ == "__main__":
    service = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=CORES)
    service.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="error")
"""


def bare(predictor: Predictor, files: list[bytes], threads: int, seconds: float) -> float:
    """Pictures a second of decode, place and network in so many threads, without HTTP."""
    counts = [0] * threads
    end = time.perf_counter() + seconds

    def loop(index: int) -> None:
        while time.perf_counter() < end:
            picture = decode_picture(files[(counts[index] + index) % len(files)])
            placed, _ = predictor.place([{"image": picture}])
            predictor.infer(placed)
            counts[index] += 1

    began = time.perf_counter()
    workers = [threading.Thread(target=loop, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - began)


def bare_predictors(package: Path, options: argparse.Namespace) -> dict[str, tuple[Predictor, int]]:
    """Every layout of every runtime at hand, and how many threads call it."""
    runtimes = ["onnx", *(["openvino"] if installed("openvino") else [])]
    runtimes = [options.runtime] if options.arithmetic != "f32" else runtimes
    layouts: tuple[tuple[Mode, int], ...] = (("throughput", cores()), ("latency", 1))
    found = {}
    for runtime in runtimes:
        for mode, threads in layouts:
            predictor = load(package, cores(), mode, runtime=runtime, arithmetic=options.arithmetic)
            assert isinstance(predictor, Predictor)
            found[f"{runtime}_{mode}"] = (predictor, threads)
    return found


def bare_ms(predictor: Predictor, files: list[bytes], rounds: int) -> float:
    """Median milliseconds of one picture alone."""
    times = []
    for index in range(rounds):
        began = time.perf_counter()
        placed, _ = predictor.place([{"image": decode_picture(files[index % len(files)])}])
        predictor.infer(placed)
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1000


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def rival(python: str, package: Path, folder: Path) -> Iterator[int]:
    """LitServe in processes of its own, warm; its port."""
    script, port = folder / "rival.py", free_port()
    script.write_text(RIVAL)
    command = [python, str(script), str(package), str(port), str(cores())]
    with (folder / "rival.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment(), cwd=folder, process_group=0
        )
        try:
            while not is_ready(port, "/health"):
                if process.poll() is not None:
                    raise RuntimeError(f"LitServe ended: {(folder / 'rival.log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield port
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def as_form(file: bytes) -> bytes:
    """LitServe reads files from forms."""
    head = b'--x\r\nContent-Disposition: form-data; name="request"; filename="a.jpg"\r\n'
    body = head + b"Content-Type: image/jpeg\r\n\r\n" + file + b"\r\n--x--\r\n"
    return request_bytes("/predict", body, "multipart/form-data; boundary=x")


def right(*loads: Load) -> None:
    for load_ in loads:
        assert set(load_.statuses()) == {200}, f"answers were {load_.statuses()}"


def measure_model(name: str, package: Path, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Medians of every figure for one model."""
    files = jpegs()
    alone_in = bare_predictors(package, options)
    ours = [request_bytes(f"/predict/{name}", file) for file in files]
    theirs = [as_form(file) for file in files]
    rows: list[dict[str, float]] = []
    with ExitStack() as stack:
        how = ["--runtime", options.runtime, "--arithmetic", options.arithmetic]
        _, port = stack.enter_context(server([str(package), *how], folder / "ours.log"))
        loaded(port, ours, CLIENTS, 1)
        other = stack.enter_context(rival(options.litserve, package, folder)) if options.litserve else 0
        if other:
            loaded(other, theirs, CLIENTS, 2)
        for _ in range(options.rounds):
            rates = {
                f"bare_{layout}": bare(predictor, files, threads, options.seconds)
                for layout, (predictor, threads) in alone_in.items()
            }
            limit = max(rates.values())
            many = loaded(port, ours, CLIENTS, options.seconds)
            ms = [bare_ms(p, files, 60) for layout, (p, _) in alone_in.items() if options.runtime in layout]
            bare_one = min(ms)
            alone = loaded(port, ours, 1, 1.5)
            right(many, alone)
            row = {
                **rates, "limit": limit, "ours": many.rate, "share": many.rate / limit,
                "p50": many.percentile(50), "p99": many.percentile(99), "bare_ms": bare_one,
                "alone_ms": alone.percentile(50),
                "added_ms": alone.percentile(50) - bare_one,
            }  # fmt: skip
            if other:
                slower = loaded(other, theirs, CLIENTS, options.seconds)
                right(slower)
                row |= {"rival": slower.rate, "rival_p99": slower.percentile(99)}
                row["ratio"] = many.rate / slower.rate
            rows.append(row)
            tell(name, row)
    return {key: float(np.median([row[key] for row in rows])) for key in rows[0]}


def start_s(package: Path, folder: Path, rounds: int) -> tuple[float, bool]:
    """Median seconds from the command to readiness, and whether torch was loaded."""
    times, torch = [], False
    for _ in range(rounds):
        began = time.perf_counter()
        with server([str(package)], folder / "start.log") as (process, _):
            times.append(time.perf_counter() - began)
            torch |= "torch" in Path(f"/proc/{process.pid}/maps").read_text()
    return float(np.median(times)), torch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--models", nargs="*", default=["b0", "yolo"])
    parser.add_argument("--packages", type=Path, help="folder to keep the packages in")
    parser.add_argument("--runtime", choices=["onnx", "openvino"], default="onnx", help="of the service")
    parser.add_argument("--arithmetic", choices=["f32", "bf16"], default="f32", help="of service and limit")
    parser.add_argument("--litserve", default=os.environ.get(VARIABLE), help="a Python that has it")
    options = parser.parse_args()
    if options.arithmetic != "f32" and options.runtime != "openvino":
        parser.error("only OpenVINO rounds to bf16: give --runtime openvino too")
    cv2.setNumThreads(1)
    if not options.litserve:
        print(f"the comparison with LitServe is not measured: {VARIABLE} names no interpreter that has it")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        packages = make_packages(options.packages or folder)
        found = {name: measure_model(name, packages[name], folder, options) for name in options.models}
        start, torch = start_s(packages["b0"], folder, 3)
    for name, row in found.items():
        tell(f"{name} medians", row)
    share = min(row["share"] for row in found.values())
    added = max(row["added_ms"] for row in found.values())
    ratio = min((row["ratio"] for row in found.values() if "ratio" in row), default=0.0)
    faster = all(row["p99"] < row.get("rival_p99", 0) for row in found.values())
    print(
        f"serve ({options.runtime}, {options.arithmetic}; LitServe in onnx, f32): {share:.1%} of the limit "
        f"(bar {LIMIT_BAR:.0%}); {ratio:.2f}x LitServe (bar {RIVAL_BAR}x), "
        f"p99 {'below' if faster else 'not below'} its; {added:.2f} ms added (bar {ADDED_BAR_MS:g}); "
        f"ready in {start:.2f} s (bar {START_BAR_S:g}), torch {'loaded' if torch else 'not loaded'}"
    )
    met = share >= LIMIT_BAR and ratio >= RIVAL_BAR and faster and added <= ADDED_BAR_MS
    return 0 if met and start <= START_BAR_S and not torch else 1


if __name__ == "__main__":
    sys.exit(main())
