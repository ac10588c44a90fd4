"""Mask R-CNN (He et al. 2017) from torchvision's parts, with answers of fixed shape.

The network is torchvision's `MaskRCNN`, names included, so that its published checkpoints load. Placing
and normalising are ours (torchvision's transform is not used), and so are the steps between the parts:
torchvision's give lists of any length, which no graph with a batch axis can hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops.misc import FrozenBatchNorm2d

from sightline.core.specs import InputSpec, Signature, Task
from sightline.models.base import Batch, Model, Tensors
from sightline.models.inputs import Specs, first_layer, need_classes, only_input, only_task
from sightline.models.losses import batch_mean
from sightline.models.regions import ElementSampler, crop_masks, pool_regions
from sightline.models.suppress import keep_best

STRIDES = (4, 8, 16, 32, 64)
RATIOS = (0.5, 1.0, 2.0)
BOX_SIZE, MASK_SIZE, MASK_OUT = 7, 14, 28
PER_LEVEL, PROPOSAL_IOU, ANSWER_IOU = 200, 0.7, 0.5
RPN_BETA, BOX_BETA = 1 / 9, 1.0
LEAST_SIDE_PX = 1.0
Count = Annotated[int, Field(ge=1)]
BackboneName = Literal["resnet18", "resnet34", "resnet50", "resnet101"]


class MaskRcnn(Model):
    """torchvision's two-stage network: proposals, then a class, a box and a mask for each.

    Decoded, rows best first, empty rows score 0: `instances.boxes` (B, K, 4), `.scores`, `.classes`
    (B, K), `.masks` (B, K, 28, 28), each spanning its box; `embedding` (B, D).

    Args:
        signature: task `instances`, one colour or grey input.
        net: torchvision's module.
        proposals: regions handed to the second stage.
        rows: instances answered at most.
    """

    def __init__(self, signature: Signature, net: Any, *, proposals: int, rows: int) -> None:
        super().__init__(signature)
        self.input, spec = next(iter(signature.inputs.items()))
        self.size_wh = spec.size_wh
        self.first = first_layer(spec)
        self.net = net
        self.proposals, self.rows = proposals, min(rows, proposals)

    def raw(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """`proposals` (B, P, 4) in placed pixels, `logits` (B, P, C + 1) with background first, `deltas`
        (B, P, C + 1, 4), the maps `level0`..`level3`, and `deep` (B, D).
        """
        maps = self._maps(inputs)
        objectness, deltas = self._first_stage(maps)
        boxes = self._propose(objectness, deltas, maps)
        logits, refined = self._second_stage(maps, boxes.flatten(0, 1), _row_owners(boxes), fixed=True)
        count, kinds = boxes.shape[1], logits.shape[1]
        return {
            "proposals": boxes,
            "logits": logits.float().view(-1, count, kinds),
            "deltas": refined.float().view(-1, count, kinds, 4),
            **{f"level{i}": plane for i, plane in enumerate(maps[:4])},
            "deep": maps[3].mean((2, 3)).float(),
        }

    def _maps(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Five maps, stride 4 to 64."""
        return list(self.net.backbone(self.first(inputs[self.input])).values())

    def _first_stage(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Objectness (B, A) and deltas (B, A, 4) of every anchor."""
        objectness, deltas = self.net.rpn.head(maps)
        flat_objectness, flat_deltas = concat_box_prediction_layers(objectness, deltas)
        count = len(self._anchors(maps))
        return flat_objectness.view(-1, count), flat_deltas.view(-1, count, 4)

    def _anchors(self, maps: list[Tensor]) -> Tensor:
        """Boxes (A, 4) in placed pixels, level after level."""
        generator = self.net.rpn.anchor_generator
        device = maps[0].device
        generator.cell_anchors = [cell.to(device) for cell in generator.cell_anchors]
        sizes = [[plane.shape[-2], plane.shape[-1]] for plane in maps]
        strides = [[torch.tensor(s, device=device)] * 2 for s in STRIDES]
        return torch.cat(generator.grid_anchors(sizes, strides)).float()

    @torch.no_grad()
    def _propose(self, objectness: Tensor, deltas: Tensor, maps: list[Tensor]) -> Tensor:
        """The best regions (B, P, 4) after suppression; where fewer are left, the dropped follow."""
        anchors = self._anchors(maps)
        per_level = [plane.shape[-2] * plane.shape[-1] * len(RATIOS) for plane in maps]
        parts, start = [], 0
        for count in per_level:
            best = objectness[:, start : start + count].topk(min(PER_LEVEL, count), dim=1).indices
            parts.append(best + start)
            start += count
        rows = torch.cat(parts, 1)
        scores, order = objectness.detach().gather(1, rows).sigmoid().sort(1, descending=True)
        rows = rows.gather(1, order)
        near = anchors[rows]
        moved = deltas.detach().gather(1, rows.unsqueeze(-1).expand(-1, -1, 4))
        boxes = self._moved(self.net.rpn.box_coder, moved, near)
        keep = keep_best(boxes, torch.zeros_like(rows), PROPOSAL_IOU)
        best = (scores * 0.5 + keep).topk(min(self.proposals, rows.shape[1]), dim=1).indices
        return boxes.gather(1, best.unsqueeze(-1).expand(-1, -1, 4))

    def _moved(self, coder: Any, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (B, N, 4) moved by deltas (B, N, 4) and cut to the picture."""
        flat = coder.decode_single(deltas.flatten(0, 1).float(), boxes.flatten(0, 1))
        width, height = self.size_wh
        xs, ys = flat[:, 0::2].clamp(0, width), flat[:, 1::2].clamp(0, height)
        cut = torch.stack([xs[:, 0], ys[:, 0], xs[:, 1], ys[:, 1]], 1)
        return cut.view(-1, boxes.shape[1], 4)

    def _second_stage(
        self, maps: list[Tensor], boxes: Tensor, owners: Tensor, *, fixed: bool
    ) -> tuple[Tensor, Tensor]:
        """Class logits (N, C + 1) and deltas (N, 4 (C + 1)) of regions (N, 4)."""
        heads = self.net.roi_heads
        pooled = pool_regions(maps[:4], STRIDES[:4], boxes, owners, BOX_SIZE, fixed=fixed)
        logits, deltas = heads.box_predictor(heads.box_head(pooled))
        return logits, deltas

    def _mask_logits(self, maps: list[Tensor], boxes: Tensor, owners: Tensor, *, fixed: bool) -> Tensor:
        """Masks (N, C + 1, 28, 28) of regions (N, 4)."""
        heads = self.net.roi_heads
        pooled = pool_regions(maps[:4], STRIDES[:4], boxes, owners, MASK_SIZE, fixed=fixed)
        logits: Tensor = heads.mask_predictor(heads.mask_head(pooled))
        return logits

    def decode(self, raw: Tensors) -> Tensors:
        """The best class of each proposal, its box, suppression by class, and the masks of what is left."""
        scores, classes = raw["logits"].softmax(-1)[..., 1:].max(-1)
        scores, order = scores.sort(1, descending=True)
        classes = classes.gather(1, order)
        near = raw["proposals"].gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
        deltas = raw["deltas"].gather(1, order[..., None, None].expand(-1, -1, *raw["deltas"].shape[2:]))
        own = (classes + 1)[..., None, None].expand(-1, -1, 1, 4)
        boxes = self._moved(self.net.roi_heads.box_coder, deltas.gather(2, own)[:, :, 0], near)
        scores = scores * keep_best(boxes, classes, ANSWER_IOU)
        scores, best = scores.topk(self.rows, dim=1)
        classes = classes.gather(1, best)
        boxes = boxes.gather(1, best.unsqueeze(-1).expand(-1, -1, 4))
        maps = [raw[f"level{i}"] for i in range(4)]
        logits = self._mask_logits(maps, boxes.flatten(0, 1), _row_owners(boxes), fixed=True)
        picked = (classes.flatten() + 1)[:, None, None, None].expand(-1, 1, MASK_OUT, MASK_OUT)
        masks = logits.float().gather(1, picked).sigmoid().view(-1, self.rows, MASK_OUT, MASK_OUT)
        return {
            "instances.boxes": boxes,
            "instances.scores": scores,
            "instances.classes": classes,
            "instances.masks": masks,
            "embedding": raw["deep"],
        }

    def losses(self, batch: Batch) -> Tensors:
        """`objectness`, `anchor` (boxes of the first stage), `class`, `box` and `mask`.

        Crowds and boxes thinner than a pixel teach nothing.
        """
        maps = self._maps(batch.inputs)
        targets = [_as_torchvision(target) for target in batch.targets]
        objectness, deltas = self._first_stage(maps)
        boxes = self._propose(objectness, deltas, maps)
        per_term = self._first_terms(objectness, deltas, self._anchors(maps), targets)
        per_term |= self._second_terms(maps, boxes, targets)
        out = {name: batch_mean(value, batch.weights) for name, value in per_term.items()}
        return {**out, "per_example": torch.stack(list(per_term.values())).sum(0).detach()}

    def _first_terms(
        self, objectness: Tensor, deltas: Tensor, anchors: Tensor, targets: list[Tensors]
    ) -> Tensors:
        """Terms (B,) of the anchors that were chosen."""
        rpn = self.net.rpn
        labels, matched = rpn.assign_targets_to_anchors([anchors] * len(targets), targets)
        positive, negative = rpn.fg_bg_sampler(labels)
        found, moved = [], []
        for i in range(len(targets)):
            yes, chosen = positive[i] > 0, (positive[i] + negative[i]) > 0
            count = max(1, int(chosen.sum()))
            wanted = rpn.box_coder.encode_single(matched[i][yes], anchors[yes])
            found.append(
                F.binary_cross_entropy_with_logits(
                    objectness[i][chosen].float(), labels[i][chosen], reduction="sum"
                )
                / count
            )
            away = F.smooth_l1_loss(deltas[i][yes].float(), wanted, beta=RPN_BETA, reduction="sum")
            moved.append(away / count)
        return {"objectness": torch.stack(found), "anchor": torch.stack(moved)}

    def _second_terms(self, maps: list[Tensor], boxes: Tensor, targets: list[Tensors]) -> Tensors:
        """Terms (B,): of the proposals that were chosen, and of those of them that show an object."""
        chosen = self.net.roi_heads.select_training_samples(list(boxes.unbind()), targets)
        regions, labels, wanted = (torch.cat(chosen[i]) for i in (0, 2, 3))
        owners, counts = _owners(chosen[0]), [max(1, len(r)) for r in chosen[0]]
        logits, deltas = self._second_stage(maps, regions, owners, fixed=False)
        weights = torch.cat([torch.ones(1, device=boxes.device), self.class_weights.to(boxes.device)])
        each = F.cross_entropy(logits.float(), labels, weights, reduction="none")

        yes = torch.nonzero(labels > 0).flatten()
        kinds, owned, place = labels[yes], owners[yes], torch.arange(len(yes), device=boxes.device)
        moved = deltas[yes].float().view(len(yes), len(weights), 4)[place, kinds]
        away = F.smooth_l1_loss(moved, wanted[yes], beta=BOX_BETA, reduction="none").sum(1)

        # Rows of masks count on through the batch.
        before = torch.tensor([0, *(len(t["masks"]) for t in targets)], device=boxes.device).cumsum(0)
        rows = torch.cat(chosen[1])[yes] + before[owned]
        truth = crop_masks(torch.cat([t["masks"] for t in targets]), rows, regions[yes], MASK_OUT)
        guess = self._mask_logits(maps, regions[yes], owned, fixed=False)[place, kinds].float()
        cover = F.binary_cross_entropy_with_logits(guess, truth, reduction="none").mean((1, 2))
        shown = [max(1, int((owned == i).sum())) for i in range(len(targets))]
        return {
            "class": _by_element(each, owners, counts),
            "box": _by_element(away * weights[kinds], owned, counts),
            "mask": _by_element(cover * weights[kinds], owned, shown),
        }

    def backbone(self) -> nn.Module:
        """The ResNet below the pyramid."""
        body: nn.Module = self.net.backbone.body
        return body


def _as_torchvision(target: Tensors) -> Tensors:
    """A target as torchvision's parts read it: classes from 1, without crowds and slivers."""
    sides = target["boxes"][:, 2:] - target["boxes"][:, :2]
    keep = ~target["crowd"] & (sides >= LEAST_SIDE_PX).all(1)
    return {
        "boxes": target["boxes"][keep],
        "labels": target["labels"][keep] + 1,
        "masks": target["masks"][keep],
    }


def _row_owners(boxes: Tensor) -> Tensor:
    """Which element each of the joined rows (B, N, 4) is of; `len` would fix the batch of a graph."""
    return torch.arange(boxes.shape[0], device=boxes.device)[:, None].expand(boxes.shape[:2]).flatten()


def _owners(regions: list[Tensor]) -> Tensor:
    """Which element each of the joined regions is of."""
    return torch.cat([torch.full((len(r),), i, device=r.device) for i, r in enumerate(regions)])


def _by_element(values: Tensor, owners: Tensor, counts: list[int]) -> Tensor:
    """Sums (B,) of values (N,) over their owners, each divided by its count."""
    sums = torch.zeros(len(counts), device=values.device).index_add(0, owners, values)
    return sums / torch.tensor(counts, device=values.device)


def network(
    classes: int, backbone: str, *, frozen_norms: bool, width: int, anchor: float, regions: int
) -> Any:
    """Torchvision's module, random weights, with samplers that keep pictures apart."""
    norm = FrozenBatchNorm2d if frozen_norms else nn.BatchNorm2d
    body = getattr(resnet, backbone)(weights=None, norm_layer=norm)
    widths = [body.inplanes // 2**i for i in (3, 2, 1, 0)]
    layers = {f"layer{i + 1}": str(i) for i in range(4)}
    hidden = 4 * width
    net = MaskRCNN(
        BackboneWithFPN(body, layers, widths, width),
        rpn_anchor_generator=AnchorGenerator(
            tuple((int(anchor * stride),) for stride in STRIDES), (RATIOS,) * len(STRIDES)
        ),
        box_head=TwoMLPHead(width * BOX_SIZE**2, hidden),
        box_predictor=FastRCNNPredictor(hidden, classes + 1),
        mask_head=MaskRCNNHeads(width, (width,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(width, width, classes + 1),
    )
    net.rpn.fg_bg_sampler = ElementSampler(2 * regions, 0.5)
    net.roi_heads.fg_bg_sampler = ElementSampler(regions, 0.25)
    return net


def build(
    name: str,
    tasks: tuple[Task, ...] | None,
    classes: tuple[str, ...],
    inputs: Specs | None,
    *,
    backbone: BackboneName = "resnet50",
    frozen_norms: bool = False,
    width: Annotated[int, Field(ge=16)] = 256,
    anchor: Annotated[float, Field(gt=0)] = 8.0,
    regions: Count = 128,
    proposals: Count = 100,
    rows: Count = 50,
) -> Model:
    """Mask R-CNN, 320x320 unless told.

    `anchor` is the side of an anchor over its stride, `regions` how many teach the second stage for a
    picture, `frozen_norms` keeps the batch normalisation of loaded weights as it is.
    """
    only_task(name, tasks, "instances")
    need_classes(name, classes)
    key, spec = only_input(name, inputs, InputSpec((320, 320)))
    net = network(
        len(classes), backbone, frozen_norms=frozen_norms, width=width, anchor=anchor, regions=regions
    )
    return MaskRcnn(Signature(("instances",), classes, {key: spec}), net, proposals=proposals, rows=rows)
