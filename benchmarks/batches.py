"""Training batches for detection: sightline's loader against torchvision's, pictures a second.

Both read the same JPEGs (640x480, made here) and labels, place them into 640x640 and apply a flip, a rotation
of 5 degrees, a scale of 0.5 to 1.5, a translation of 10% and brightness, contrast and saturation of 20%, with
two workers and batches of 16. Each is measured in turn over several rounds of new epochs.

    python benchmarks/batches.py [--pictures 400] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from sightline.core.problem import AugmentSection
from sightline.core.specs import InputSpec
from sightline.data.importing import import_dataset
from sightline.data.samples import samples
from sightline.train.batches import Loader, Pictures
from sightline.train.labels import Labeller

SIZE, WORKERS, BATCH, BAR = 640, 2, 16, 3.0
SECTION = AugmentSection(
    flip=0.5, rotate=5, scale=(0.5, 1.5), translate=0.1, brightness=0.2, contrast=0.2, saturation=0.2
)


def make_pictures(folder: Path, count: int) -> None:
    """JPEGs with the detail and the file size of photographs, and a COCO file of boxes on them."""
    random = np.random.default_rng(0)
    images, annotations = [], []
    (folder / "pictures").mkdir()
    for number in range(count):
        coarse = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        picture += random.normal(0, 8, (480, 640, 1)).astype(np.int16)
        name = f"pictures/{number:05d}.jpg"
        cv2.imwrite(str(folder / name), np.clip(picture, 0, 255).astype(np.uint8))
        images.append({"id": number, "file_name": name, "width": 640, "height": 480})
        for _ in range(12):
            x, y, w, h = random.uniform((0, 0, 20, 20), (500, 380, 140, 100)).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(random.integers(1, 4)),
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(("red", "white", "platelet"), 1)]
    value = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(value))


def ours(folder: Path) -> Callable[[int], Iterator[Any]]:
    dataset, _ = import_dataset(folder / "labels.json", folder / "dataset", format="coco")
    inputs = {"image": InputSpec((SIZE, SIZE))}
    chosen = samples(dataset, [r.id for r in dataset.records], inputs)
    labeller = Labeller({"detect"}, dataset.classes, dataset.read_map)
    loader = Loader(Pictures(dataset, chosen, inputs, labeller, section=SECTION), WORKERS)

    def epoch(number: int) -> Iterator[Any]:
        order = np.random.default_rng(number).permutation(len(chosen)).tolist()
        keys = [(number, index, 0) for index in order]
        for packed in loader.batches([keys[i : i + BATCH] for i in range(0, len(keys), BATCH)]):
            yield packed.unpack()

    return epoch


def theirs(folder: Path) -> Callable[[int], Iterator[Any]]:
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.ToImage(),
            v2.RandomHorizontalFlip(0.5),
            v2.Resize(SIZE - 1, max_size=SIZE),
            v2.CenterCrop(SIZE),
            v2.RandomAffine(5, translate=(0.1, 0.1), scale=(0.5, 1.5), fill=114),
            v2.ColorJitter(0.2, 0.2, 0.2),
            v2.SanitizeBoundingBoxes(),
        ]
    )
    raw = CocoDetection(str(folder), str(folder / "labels.json"), transforms=change)
    loader: DataLoader[Any] = DataLoader(
        wrap_dataset_for_transforms_v2(raw, target_keys=("boxes", "labels")),
        batch_size=BATCH,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
        collate_fn=_stacked,
    )
    return lambda number: iter(loader)


def _stacked(rows: list[Any]) -> Any:
    return torch.stack([picture for picture, _ in rows]), [target for _, target in rows]


def rate(epoch: Callable[[int], Iterator[Any]], number: int, count: int) -> float:
    """Pictures a second over one epoch."""
    start = time.perf_counter()
    for _ in epoch(number):
        pass
    return count / (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_pictures(folder, options.pictures)
        contestants = {"sightline": ours(folder), "torchvision v2": theirs(folder)}
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(options.rounds + 1):
            for name, epoch in contestants.items():
                found = rate(epoch, number, options.pictures)
                if number:  # the first starts the workers
                    rates[name].append(found)
    for name, found in rates.items():
        print(f"{name:<16}{statistics.median(found):7.0f} pictures a second")
    ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
    print(f"batches: {ratio:.2f} times torchvision's pictures a second (bar: at least {BAR:g})")
    return 0 if ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
