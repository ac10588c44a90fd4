"""A one-stage, anchor-free detector in four sizes, written from the papers.

A cross-stage-partial backbone (Wang et al. 2020) with pooled context (He et al. 2015, SPP), a path
aggregation neck (Liu et al. 2018), a decoupled head without anchors (Ge et al. 2021, YOLOX) whose edges
are distributions (Li et al. 2020), trained on task-aligned points (Feng et al. 2021). The graph ends
after suppression: boxes, scores and classes with a fixed number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.assign import Assigned, Truth, task_aligned
from sightline.models.base import Batch, Model, Tensors
from sightline.models.box_losses import ciou, distribution_focal, quality_focal
from sightline.models.csp import Backbone, Conv, Neck, Size
from sightline.models.inputs import Specs, first_layer, need_classes, only_input, only_task
from sightline.models.suppress import keep_best

STRIDES = (8, 16, 32)
THRESHOLD = 0.05

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]


SIZES: dict[str, Size] = {
    "n": Size((16, 32, 64, 128, 192), (1, 2, 2, 1), 64),
    "s": Size((32, 64, 128, 192, 320), (1, 2, 2, 1), 96),
    "m": Size((48, 96, 192, 384, 512), (2, 3, 3, 2), 160),
    "l": Size((64, 128, 256, 512, 640), (3, 5, 5, 3), 224),
}


@dataclass(frozen=True, slots=True)
class YoloOptions:
    """What may be changed without another file.

    Attributes:
        bins: bins of each edge's distribution; an edge reaches `(bins - 1) * stride` pixels.
        candidates: points a box takes at most in training.
        score_power, iou_power: of the alignment.
        focal_power: 0 is plain cross entropy for the classes.
        box_gain, class_gain, edge_gain: weights of the three terms.
        rows: detections given out; empty rows score 0.
        considered: best rows that enter suppression.
        nms_iou: overlap above which the lower of two rows of one class is dropped.
    """

    bins: int = 16
    candidates: int = 13
    score_power: float = 1.0
    iou_power: float = 6.0
    focal_power: float = 0.0
    box_gain: float = 7.5
    class_gain: float = 0.5
    edge_gain: float = 1.5
    rows: int = 100
    considered: int = 400
    nms_iou: float = 0.65


class Head(nn.Module):
    """Edges and classes of one level, by two branches; the class branch is depthwise."""

    def __init__(self, inputs: int, width: int, bins: int, classes: int, stride: int) -> None:
        super().__init__()
        self.edges = nn.Sequential(
            Conv(inputs, width, 3), Conv(width, width, 3), nn.Conv2d(width, 4 * bins, 1)
        )
        self.classes = nn.Sequential(
            Conv(inputs, inputs, 3, groups=inputs),
            Conv(inputs, width),
            Conv(width, width, 3, groups=width),
            Conv(width, width),
            nn.Conv2d(width, classes, 1),
        )
        # About one object a hundred points of the finest level, fewer points above: a calm first loss.
        rate = 0.01 * (stride / STRIDES[0]) / 2
        nn.init.constant_(_bias(self.classes), -math.log((1 - rate) / rate))
        # Boxes start a few strides wide: even bins would start them half the last bin wide, and a first
        # overlap near zero aligns with nothing.
        with torch.no_grad():
            _bias(self.edges).copy_((-0.3 * torch.arange(bins)).repeat(4))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4 bins + C, H, W)."""
        return torch.cat([self.edges(x), self.classes(x)], 1)


def _bias(branch: nn.Sequential) -> Tensor:
    """The bias of a branch's last convolution."""
    last = branch[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    return last.bias


class Yolo(Model):
    """Detector of one size; reads one colour or grey input, answers `detect`.

    Pictures whose sides 32 does not divide are padded with the mean colour at the right and bottom.

    Args:
        signature: task `detect`, one input of single pictures, at least one class.
        size: widths and depths.
        options: of training and decoding.
    """

    def __init__(self, signature: Signature, size: Size, options: YoloOptions) -> None:
        super().__init__(signature)
        self.options = options
        self.input, spec = next(iter(signature.inputs.items()))
        self.first = first_layer(spec)
        self.features = Backbone(size)
        self.neck = Neck(size)
        self.heads = nn.ModuleList(
            Head(width, size.head, options.bins, len(signature.classes), stride)
            for width, stride in zip(size.widths[2:], STRIDES, strict=True)
        )
        self.register_buffer("bin_values", torch.arange(options.bins).float(), persistent=False)
        self.bin_values: Tensor

    def backbone(self) -> nn.Module:
        """The part before the neck."""
        return self.features

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """`level8`, `level16`, `level32` (B, 4 bins + C, H / s, W / s) and `embedding` (B, D)."""
        pictures = self.first(inputs[self.input])
        height, width = pictures.shape[2:]
        down, right = -height % STRIDES[-1], -width % STRIDES[-1]
        if down or right:
            pictures = F.pad(pictures, (0, right, 0, down))
        features = self.features(pictures)
        levels = [head(x) for head, x in zip(self.heads, self.neck(features), strict=True)]
        out = {f"level{stride}": level for stride, level in zip(STRIDES, levels, strict=True)}
        out["embedding"] = features[-1].mean((2, 3))
        return out

    def decode(self, raw: Tensors) -> Tensors:
        """Boxes, scores and classes after suppression, best first, `options.rows` of them."""
        options = self.options
        edges, logits, centres, strides = self._flat(raw)
        boxes = self._boxes(edges, centres, strides)
        scores = logits.sigmoid()
        considered = min(options.considered, boxes.shape[1])
        _, points = scores.amax(2).topk(considered, dim=1)
        count = scores.shape[2]
        pairs = scores.gather(1, points[..., None].expand(-1, -1, count)).flatten(1)
        best, flat = pairs.topk(considered, dim=1)
        classes = flat % count
        rows = points.gather(1, torch.div(flat, count, rounding_mode="floor"))
        picked = boxes.gather(1, rows[..., None].expand(-1, -1, 4))
        kept = best * keep_best(picked, classes, options.nms_iou)
        final, order = kept.topk(min(options.rows, considered), dim=1)
        return {
            "detect.boxes": picked.gather(1, order[..., None].expand(-1, -1, 4)),
            "detect.scores": final,
            "detect.classes": classes.gather(1, order),
            "embedding": raw["embedding"].float(),
        }

    def losses(self, batch: Batch) -> Tensors:
        """`box` (1 - CIoU), `edge` (distribution focal) and `class` terms, and `per_example` (B,)."""
        raw = self.raw(batch.inputs)
        with torch.autocast(raw["embedding"].device.type, enabled=False):
            edges, logits, centres, strides = self._flat(raw)
            options = self.options
            assigned = task_aligned(
                logits.detach().sigmoid(),
                self._boxes(edges.detach(), centres, strides),
                centres,
                strides,
                Truth.pad(batch.targets),
                candidates=options.candidates,
                score_power=options.score_power,
                iou_power=options.iou_power,
            )
            terms = self._terms(assigned, edges, logits, centres, strides)
        # Terms are divided by the quality of all pictures that count, not of each: a picture's share is
        # its number of objects. A weight then scales a picture even in a batch of one.
        quality = assigned.quality.sum(1)
        total = (quality * (batch.weights > 0)).sum().clamp(min=1.0)
        out = {name: (term * batch.weights).sum() / total for name, term in terms.items()}
        out["per_example"] = (torch.stack(list(terms.values())).sum(0) / quality.clamp(min=1.0)).detach()
        return out

    def _terms(
        self, assigned: Assigned, edges: Tensor, logits: Tensor, centres: Tensor, strides: Tensor
    ) -> Tensors:
        """Each term summed over the points of a picture (B,)."""
        options, positive = self.options, assigned.positive
        picture, point = positive.nonzero(as_tuple=True)
        labels = assigned.labels[positive]
        target = torch.zeros_like(logits)
        target[picture, point, labels] = assigned.quality[positive]
        by_class = quality_focal(logits, target, options.focal_power) * self.class_weights
        by_class = torch.where(assigned.ignored[..., None], 0.0, by_class)
        weight = assigned.quality[positive] * self.class_weights[labels]
        truth = assigned.boxes[positive]
        # Only the positive points' distributions are softened again, this time with a gradient.
        answers, middle, stride = edges[positive], centres[point], strides[point]
        reach = torch.cat([middle - truth[:, :2], truth[:, 2:] - middle], 1) / stride[:, None]
        edge = distribution_focal(answers, reach).mean(1) * weight
        box = (1 - ciou(self._boxes(answers, middle, stride), truth)) * weight
        zero = logits.new_zeros(len(logits))
        return {
            "box": options.box_gain * zero.index_add(0, picture, box),
            "class": options.class_gain * by_class.sum((1, 2)),
            "edge": options.edge_gain * zero.index_add(0, picture, edge),
        }

    def _flat(self, raw: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Edges (B, A, 4, R), logits (B, A, C), centres (A, 2) and strides (A,) over all levels, f32."""
        rows, centres, strides = [], [], []
        for stride in STRIDES:
            level = raw[f"level{stride}"].float()
            height, width = level.shape[2:]
            rows.append(level.flatten(2).transpose(1, 2))
            ys = (torch.arange(height, device=level.device) + 0.5) * stride
            xs = (torch.arange(width, device=level.device) + 0.5) * stride
            grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
            centres.append(torch.stack([grid_x, grid_y], -1).reshape(-1, 2))
            strides.append(torch.full((height * width,), float(stride), device=level.device))
        flat = torch.cat(rows, 1)
        bins = self.options.bins
        edges, logits = flat[..., : 4 * bins].reshape(-1, flat.shape[1], 4, bins), flat[..., 4 * bins :]
        return edges, logits, torch.cat(centres), torch.cat(strides)

    def _boxes(self, edges: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
        """Boxes (..., A, 4) xyxy in placed pixels: the mean of each edge's distribution (..., A, 4, R)."""
        reach = torch.matmul(edges.softmax(-1), self.bin_values) * strides[:, None]
        return torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], -1)


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    rows: Count = 100,
    considered: Count = 400,
    nms_iou: Share = 0.65,
    bins: Annotated[int, Field(ge=4, le=64)] = 16,
    candidates: Count = 13,
    score_power: Positive = 1.0,
    iou_power: Positive = 6.0,
    focal_power: Annotated[float, Field(ge=0)] = 0.0,
    box_gain: Positive = 7.5,
    class_gain: Positive = 0.5,
    edge_gain: Positive = 1.5,
) -> Model:
    """A detector by its name, `yolo-n`, `-s`, `-m` or `-l`, at 640x640 unless told."""
    only_task(name, tasks, "detect")
    need_classes(name, classes)
    key, spec = only_input(name, inputs, InputSpec((640, 640)))
    signature = Signature(("detect",), classes, {key: spec}, {"detect": THRESHOLD})
    options = YoloOptions(
        bins=bins,
        candidates=candidates,
        score_power=score_power,
        iou_power=iou_power,
        focal_power=focal_power,
        box_gain=box_gain,
        class_gain=class_gain,
        edge_gain=edge_gain,
        rows=rows,
        considered=considered,
        nms_iou=nms_iou,
    )
    return Yolo(signature, SIZES[name.removeprefix("yolo-")], options)
