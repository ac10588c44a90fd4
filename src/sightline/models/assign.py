"""Which grid points answer for which boxes: task-aligned assignment (Feng et al. 2021, TOOD)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sightline.models.box_losses import box_iou_pairs


@dataclass(slots=True)
class Assigned:
    """What each grid point should say.

    Attributes:
        positive: (B, A) bool, the point answers for a box.
        ignored: (B, A) bool, the point lies in a crowd region and is no positive: it says nothing.
        boxes: (B, A, 4) f32, the box answered for (rubbish where not positive).
        labels: (B, A) i64, its class.
        quality: (B, A) f32 in [0, 1], the normalised alignment; 0 where not positive.
    """

    positive: Tensor
    ignored: Tensor
    boxes: Tensor
    labels: Tensor
    quality: Tensor


@dataclass(slots=True)
class Truth:
    """Boxes of a batch padded to one length M: boxes (B, M, 4), labels (B, M), valid and crowd (B, M)."""

    boxes: Tensor
    labels: Tensor
    valid: Tensor
    crowd: Tensor

    @classmethod
    def pad(cls, targets: list[dict[str, Tensor]]) -> Truth:
        """Stack the targets of a batch; boxes without an area are no truth."""
        most = max(1, max((len(t["boxes"]) for t in targets), default=1))
        device = targets[0]["boxes"].device
        shape = (len(targets), most)
        boxes = torch.zeros((*shape, 4), device=device)
        labels = torch.zeros(shape, dtype=torch.long, device=device)
        valid = torch.zeros(shape, dtype=torch.bool, device=device)
        crowd = torch.zeros(shape, dtype=torch.bool, device=device)
        for row, target in enumerate(targets):
            count = len(target["boxes"])
            if count == 0:
                continue
            boxes[row, :count] = target["boxes"].float()
            labels[row, :count] = target["labels"]
            has_area = (target["boxes"][:, 2:] > target["boxes"][:, :2]).all(dim=1)
            region = target["crowd"] if "crowd" in target else torch.zeros_like(has_area)
            valid[row, :count] = has_area & ~region
            crowd[row, :count] = has_area & region
        return cls(boxes, labels, valid, crowd)


@torch.no_grad()
def task_aligned(
    scores: Tensor,
    boxes: Tensor,
    centres: Tensor,
    strides: Tensor,
    truth: Truth,
    *,
    candidates: int = 13,
    score_power: float = 1.0,
    iou_power: float = 6.0,
) -> Assigned:
    """Assign by the alignment `score ** score_power * iou ** iou_power` of each point with each box.

    Each box takes the `candidates` best aligned points whose centre lies in it; a point wanted by
    several boxes goes to the one it overlaps most. The quality is the alignment scaled, box by box, so
    that its largest value is the largest overlap the box has among its points.

    Args:
        scores: (B, A, C) f32 class probabilities.
        boxes: (B, A, 4) f32 predicted boxes.
        centres: (A, 2) f32 grid points in placed pixels.
        strides: (A,) f32 spacing of the points.
        truth: the padded boxes.
        candidates: points a box takes at most.
        score_power: weight of the classification in the alignment.
        iou_power: weight of the localisation in the alignment.
    """
    inside = _inside(centres, strides, truth.boxes) & truth.valid[:, :, None]
    iou = box_iou_pairs(truth.boxes[:, :, None], boxes[:, None]).clamp(0, 1)
    index = truth.labels[:, None, :].expand(-1, scores.shape[1], -1)
    own = scores.gather(2, index).transpose(1, 2)
    alignment = torch.where(inside, own**score_power * iou**iou_power, 0.0)

    best, where = alignment.topk(min(candidates, alignment.shape[2]), dim=2)
    chosen = torch.zeros_like(inside).scatter_(2, where, best > 0)
    contested = chosen.sum(1, keepdim=True) > 1
    favourite = torch.where(chosen, iou, -1.0).argmax(1, keepdim=True)
    rows = torch.arange(chosen.shape[1], device=chosen.device)[None, :, None]
    chosen = torch.where(contested, rows == favourite, chosen)

    peak = torch.where(chosen, alignment, 0.0).amax(2, keepdim=True)
    overlap = torch.where(chosen, iou, 0.0).amax(2, keepdim=True)
    # Early alignments are as small as 1e-14: the floor must lie below them, or nothing is ever taught.
    scaled = torch.where(chosen, alignment / peak.clamp(min=1e-30) * overlap, 0.0)
    owner = chosen.to(torch.uint8).argmax(1)
    positive = chosen.any(1)
    crowd = _inside(centres, strides, truth.boxes) & truth.crowd[:, :, None]
    return Assigned(
        positive,
        crowd.any(1) & ~positive,
        truth.boxes.gather(1, owner[..., None].expand(-1, -1, 4)),
        truth.labels.gather(1, owner),
        scaled.sum(1).clamp(0, 1),
    )


def _inside(centres: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    """Whether points lie in boxes (B, M, A); a box thinner than the grid is widened to catch one."""
    least = strides / 2 + 1e-3
    inside = torch.ones((), dtype=torch.bool, device=boxes.device)
    for axis in (0, 1):
        low, high = boxes[..., axis, None], boxes[..., axis + 2, None]
        reach = torch.maximum((high - low) / 2, least)
        inside = inside & ((centres[:, axis] - (low + high) / 2).abs() < reach)
    return inside
