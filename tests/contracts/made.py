"""Made pictures with labels for every task, and how well a model answers them.

Plain shapes on a plain ground: enough for a small network to learn in seconds, so that the contract tests
a model's targets, losses and decoding, not its patience.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sightline.core.specs import InputSpec, Signature
from sightline.models.base import Batch, Tensors

COLOURS = torch.tensor(
    [[200, 60, 50], [60, 170, 70], [70, 90, 210], [220, 190, 60], [150, 70, 180], [70, 190, 200]],
    dtype=torch.float32,
)
GROUND_M = 4.0
GROUND_CLASS = 0


def made_batch(signature: Signature, count: int, seed: int = 0) -> Batch:
    """Pictures as the signature's inputs want them, and targets for every task it names.

    Each class but the ground's (class 0, where the signature has `segment` or stuff) is on a picture at
    most once. In a clip the shapes move; the truth is that of the newest frame.
    """
    generator = torch.Generator().manual_seed(seed)
    elements = [_element(signature, generator) for _ in range(count)]
    inputs = {name: torch.stack([pictures[name] for pictures, _ in elements]) for name in signature.inputs}
    targets = [target for _, target in elements]
    return Batch(inputs, targets, torch.ones(count), torch.arange(count))


def without_marks(batch: Batch) -> Batch:
    """The same pictures with nothing on them."""
    targets = []
    for full in batch.targets:
        target = {key: value.clone() for key, value in full.items()}
        for key in ("boxes", "labels", "crowd", "masks"):
            target[key] = target[key][:0]
        target["visible"] = torch.zeros_like(target["visible"])
        target["segment"] = torch.full_like(target["segment"], 255)
        target["panoptic"] = torch.full_like(target["panoptic"], -1)
        target["depth"] = torch.zeros_like(target["depth"])
        targets.append(target)
    return Batch(batch.inputs, targets, batch.weights, batch.indices)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _has_ground(signature: Signature) -> bool:
    return bool(signature.stuff) or "segment" in signature.tasks


def _element(signature: Signature, generator: torch.Generator) -> tuple[Tensors, Tensors]:
    """One element: pictures by input name, and its target."""
    classes = len(signature.classes)
    width, height = next(iter(signature.inputs.values())).size_wh
    label = int(torch.randint(0, max(1, classes), (), generator=generator))
    first = 1 if _has_ground(signature) else 0
    shown = [c for c in range(first, classes) if float(torch.rand((), generator=generator)) < 0.8]
    side = 1 if classes - first <= 1 else 2 if classes - first <= 4 else 3
    cells = torch.randperm(side * side, generator=generator)[: len(shown)].tolist()
    cell_w, cell_h = width / side, height / side
    boxes = []
    for cell in cells:
        w, h = (_uniform(generator, 0.4, 0.7) * size for size in (cell_w, cell_h))
        x = (cell % side) * cell_w + _uniform(generator, 0.08, 0.92 - w / cell_w) * cell_w
        y = (cell // side) * cell_h + _uniform(generator, 0.08, 0.92 - h / cell_h) * cell_h
        boxes.append([round(x), round(y), round(x + w), round(y + h)])
    placed = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    masks = _shapes(placed, shown, (height, width))
    target = _target(signature, label, placed, torch.tensor(shown, dtype=torch.int64), masks)
    pictures = {
        name: _picture(spec, signature, label, placed, shown, target, generator)
        for name, spec in signature.inputs.items()
    }
    return pictures, target


def _shapes(boxes: Tensor, shown: list[int], size_hw: tuple[int, int]) -> Tensor:
    """Masks (N, H, W): boxes for even classes, ellipses for odd ones."""
    ys, xs = torch.meshgrid(torch.arange(size_hw[0]) + 0.5, torch.arange(size_hw[1]) + 0.5, indexing="ij")
    masks = []
    for (x1, y1, x2, y2), label in zip(boxes.tolist(), shown, strict=True):
        u = (xs - (x1 + x2) / 2) / max(1.0, (x2 - x1) / 2)
        v = (ys - (y1 + y2) / 2) / max(1.0, (y2 - y1) / 2)
        masks.append((u**2 + v**2 <= 1) if label % 2 else (u.abs() <= 1) & (v.abs() <= 1))
    return torch.stack(masks) if masks else torch.zeros((0, *size_hw), dtype=torch.bool)


def _target(signature: Signature, label: int, boxes: Tensor, labels: Tensor, masks: Tensor) -> Tensors:
    points = torch.zeros(len(signature.classes), 2)
    visible = torch.zeros(len(signature.classes))
    points[labels] = (boxes[:, :2] + boxes[:, 2:]) / 2
    visible[labels] = 1.0
    segment = torch.full(masks.shape[1:], GROUND_CLASS)
    depth = torch.full(masks.shape[1:], GROUND_M)
    for mask, c in zip(masks, labels.tolist(), strict=True):
        segment[mask], depth[mask] = c, 1.0 + 0.4 * c
    if signature.stuff:
        ground = ~masks.any(0)
        height, width = ground.shape
        boxes = torch.cat([boxes, torch.tensor([[0.0, 0.0, width, height]])])
        labels = torch.cat([labels, torch.tensor([GROUND_CLASS])])
        masks = torch.cat([masks, ground[None]])
    panoptic = torch.full(segment.shape, -1)
    for row, mask in enumerate(masks):
        panoptic[mask] = row
    return {
        "label": torch.tensor(label),
        "boxes": boxes,
        "labels": labels,
        "crowd": torch.zeros(len(labels), dtype=torch.bool),
        "masks": masks,
        "points": points,
        "visible": visible,
        "segment": segment,
        "panoptic": panoptic,
        "depth": depth,
    }


def _picture(
    spec: InputSpec,
    signature: Signature,
    label: int,
    boxes: Tensor,
    shown: list[int],
    target: Tensors,
    generator: torch.Generator,
) -> Tensor:
    """Raw pixels of one input; older frames of a clip show the shapes further left."""
    if spec.pixels == "track":
        return _track(spec, target)
    width, height = spec.size_wh
    if spec.pixels == "depth16":
        return (target["depth"] * 1000).to(torch.uint16)
    ground = COLOURS[label % len(COLOURS)] * 0.35 if "classify" in signature.tasks else torch.full((3,), 60.0)
    frames = []
    for age in reversed(range(spec.frames)):
        picture = ground.expand(height, width, 3).clone()
        shift = torch.tensor([2.0, 0.0, 2.0, 0.0]) * age
        for mask, c in zip(_shapes(boxes - shift, shown, (height, width)), shown, strict=True):
            picture[mask] = COLOURS[c % len(COLOURS)]
        picture += torch.randn(picture.shape, generator=generator) * 4
        frames.append(picture.clamp(0, 255).to(torch.uint8))
    stack = torch.stack(frames)
    if spec.pixels == "grey8":
        stack = stack.float().mean(-1).to(torch.uint8)
    return stack if spec.frames > 1 else stack[0]


def _track(spec: InputSpec, target: Tensors) -> Tensor:
    """Where class 0 was in the frames before, oldest first."""
    rows = torch.zeros(spec.frames, 3)
    if target["visible"][0] > 0:
        ages = torch.arange(spec.frames, 0, -1)
        rows[:, 0], rows[:, 1] = target["points"][0, 0] - 2.0 * ages, target["points"][0, 1]
        rows[:, 2] = 1.0
    return rows


def score(task: str, outputs: Tensors, batch: Batch) -> float:
    """How well decoded answers fit the truth: 0 is nothing, 1 is all."""
    parts = {k.removeprefix(f"{task}."): v for k, v in outputs.items() if k.startswith(f"{task}.")}
    rows = [{k: v[i] for k, v in parts.items()} for i in range(len(batch))]
    return sum(SCORES[task](row, t) for row, t in zip(rows, batch.targets, strict=True)) / len(batch)


def _classify(row: Tensors, target: Tensors) -> float:
    return float(row["scores"].argmax() == target["label"])


def _segment(row: Tensors, target: Tensors) -> float:
    return float((row["classes"].long() == target["segment"]).float().mean())


def _depth(row: Tensors, target: Tensors) -> float:
    return 1 - float(((row["metres"] - target["depth"]).abs() / target["depth"]).mean())


def _locate(row: Tensors, target: Tensors) -> float:
    seen = target["visible"] > 0
    right = (row["visible"] > 0.5) == seen
    near = (row["points"] - target["points"]).norm(dim=1) <= 3
    return float((right & (near | ~seen)).float().mean())


def _f_score(hits: int, found: int, wanted: int) -> float:
    return 2 * hits / (found + wanted) if found + wanted else 1.0


def _iou(a: Tensor, b: Tensor) -> float:
    low, high = torch.maximum(a[:2], b[:2]), torch.minimum(a[2:], b[2:])
    meet = float((high - low).clamp_min(0).prod())
    return meet / max(1e-6, float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - meet)


def _detect(row: Tensors, target: Tensors) -> float:
    """F-score at a threshold of 0.4 and an overlap of one half."""
    found = torch.nonzero(row["scores"] > 0.4).flatten().tolist()
    left = list(range(len(target["labels"])))
    hits = 0
    for i in found:
        for j in left:
            same = int(row["classes"][i]) == int(target["labels"][j])
            if same and _iou(row["boxes"][i], target["boxes"][j]) >= 0.5:
                hits += 1
                left.remove(j)
                break
    return _f_score(hits, len(found), len(target["labels"]))


def _instances(row: Tensors, target: Tensors) -> float:
    """Detection's F-score, times how well the masks of the hits cover (IoU over one half)."""
    from sightline.core.assemble import paste_mask

    found = torch.nonzero(row["scores"] > 0.4).flatten().tolist()
    hits = 0
    for j, truth in enumerate(target["masks"]):
        for i in found:
            canvas = torch.zeros(truth.shape, dtype=torch.bool).numpy()
            paste_mask(canvas, row["boxes"][i].numpy(), row["masks"][i].numpy())
            guess = torch.from_numpy(canvas)
            overlap = float((guess & truth).sum()) / max(1.0, float((guess | truth).sum()))
            if int(row["classes"][i]) == int(target["labels"][j]) and overlap >= 0.5:
                hits += 1
                break
    return _f_score(hits, len(found), len(target["labels"]))


def _panoptic(row: Tensors, target: Tensors) -> float:
    """Share of the labelled pixels whose segment has the right class."""
    known = target["panoptic"] >= 0
    truth = target["labels"][target["panoptic"].clamp_min(0)]
    guess = torch.where(row["segments"] >= 0, row["classes"][row["segments"].clamp_min(0)], -1)
    return float((guess == truth)[known].float().mean())


SCORES: dict[str, Callable[[Tensors, Tensors], float]] = {
    "classify": _classify,
    "detect": _detect,
    "segment": _segment,
    "locate": _locate,
    "instances": _instances,
    "panoptic": _panoptic,
    "depth": _depth,
}
