"""Import of a COCO-2017-size file with all checks but media, against pycocotools' load of the same file.

The file (118,287 pictures, 860,001 instances, about 450 MB) is made once under `benchmarks/out`. Each
measurement is a process of its own; the two alternate. Figures: the median over rounds of the ratio of times,
and of the ratio of peak memories.

    python benchmarks/coco_import.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

OUT = Path(__file__).parent / "out"
PICTURES, INSTANCES, CATEGORIES = 118_287, 860_001, 80
TIME_BAR, MEMORY_BAR = 0.8, 0.45

OURS = """
import sys, time, resource
from pathlib import Path
from sightline.data.importing import import_dataset
from sightline.data.reading import ReadOptions
start = time.perf_counter()
options = ReadOptions(check_media=False)
dataset, ledger = import_dataset(sys.argv[1], sys.argv[2], "coco", options, media="none")
took = time.perf_counter() - start
counts = ledger.to_json()["counts"]
assert [counts[u]["read"] for u in ("picture", "annotation")] == list(map(int, sys.argv[3:])), counts
assert dataset.header["annotations"] == counts["annotation"]["read"] - counts["annotation"]["dropped"]
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
THEIRS = """
import sys, time, resource, contextlib, io
from pycocotools.coco import COCO
start = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO(sys.argv[1])
took = time.perf_counter() - start
assert len(coco.imgs) == int(sys.argv[3]) and len(coco.anns) == int(sys.argv[4])
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def instance(number: int, picture: int, width: int, height: int, random: np.random.Generator) -> str:
    """One annotation as COCO writes it: a polygon of some 25 points, or (1 in 100) a crowd's run lengths."""
    x, y = random.uniform(0, width * 0.7), random.uniform(0, height * 0.7)
    w, h = random.uniform(8, width - x), random.uniform(8, height - y)
    box = f"[{x:.2f},{y:.2f},{w:.2f},{h:.2f}]"
    if number % 100 == 0:
        cuts = np.sort(random.integers(0, width * height, 80))
        counts = np.diff(np.concatenate([[0], cuts, [width * height]])).tolist()
        shape = json.dumps({"counts": counts, "size": [height, width]})
    else:
        angles = np.sort(random.uniform(0, 2 * np.pi, int(random.integers(8, 46))))
        points = np.stack([x + w / 2 + w / 2.01 * np.cos(angles), y + h / 2 + h / 2.01 * np.sin(angles)], 1)
        shape = "[[" + ",".join(f"{v:.2f}" for v in points.ravel().tolist()) + "]]"
    return (
        f'{{"segmentation": {shape},"area": {w * h / 2:.4f},"iscrowd": {int(number % 100 == 0)},'
        f'"image_id": {picture},"bbox": {box},"category_id": {int(random.integers(1, CATEGORIES + 1))},'
        f'"id": {number}}}'
    )


def make(path: Path, pictures: int, instances: int) -> None:
    """Write the file; the same sizes give the same bytes. As in COCO, instances are in no order."""
    random = np.random.default_rng(0)
    ids = random.permutation(np.arange(1, 4 * pictures, 4)).tolist()
    sizes = [(640, 480) if i % 3 else (480, 640) for i in range(pictures)]
    owners = random.integers(0, pictures, instances).tolist()
    part = path.with_suffix(".part")
    with part.open("w") as file:
        file.write('{"info": {"year": 2017},"licenses": [],"images": [')
        for row, (image, (width, height)) in enumerate(zip(ids, sizes, strict=True)):
            file.write("," * (row > 0))
            file.write(
                f'{{"license": 3,"file_name": "{image:012d}.jpg","coco_url": "","height": {height},'
                f'"width": {width},"date_captured": "2013-11-14 11:18:45","id": {image}}}'
            )
        file.write('],"annotations": [')
        for number, owner in enumerate(owners, 1):
            file.write("," * (number > 1) + instance(number, ids[owner], *sizes[owner], random))
        names = [{"supercategory": "thing", "id": i, "name": f"class {i}"} for i in range(1, CATEGORIES + 1)]
        file.write(f'],"categories": {json.dumps(names)}}}')
    part.replace(path)


def measure(program: str, path: Path, pictures: int, instances: int) -> tuple[float, float]:
    """Seconds and peak MB of a process."""
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        words = [sys.executable, "-c", program, str(path), f"{folder}/d", str(pictures), str(instances)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    took, kilobytes = done.stdout.split()
    return float(took), int(kilobytes) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="a smaller file, for a quick look")
    words = parser.parse_args()
    pictures, instances = int(PICTURES * words.share), int(INSTANCES * words.share)
    OUT.mkdir(exist_ok=True)
    path = OUT / f"instances_{pictures}_{instances}.json"
    if not path.exists():
        make(path, pictures, instances)
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB")
    times, memories = [], []
    for number in range(words.rounds):
        ours, theirs = (measure(p, path, pictures, instances) for p in (OURS, THEIRS))
        times.append(ours[0] / theirs[0])
        memories.append(ours[1] / theirs[1])
        print(
            f"round {number + 1}: sightline {ours[0]:.2f} s, {ours[1]:.0f} MB; "
            f"pycocotools {theirs[0]:.2f} s, {theirs[1]:.0f} MB"
        )
    time, memory = statistics.median(times), statistics.median(memories)
    met = time <= TIME_BAR and memory <= MEMORY_BAR
    print(
        f"coco_import: time x{time:.2f} (bar <= {TIME_BAR}), peak memory x{memory:.2f} "
        f"(bar <= {MEMORY_BAR}): {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
