"""Non-maximum suppression as a fixed number of tensor operations, so that a graph can hold it."""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.models.box_losses import box_iou_pairs

ROUNDS = 16


def keep_best(boxes: Tensor, classes: Tensor, iou: float, rounds: int = ROUNDS) -> Tensor:
    """Rows (B, K) f32, 1 or 0, that greedy suppression within each class keeps.

    Boxes are in descending order of score. A row is dropped when a kept row before it, of its class,
    overlaps it by more than `iou`. The fixed point of that rule, found by iteration (Zheng et al. 2021,
    cluster NMS), is the greedy answer: after n rounds every row that ends a chain of at most n
    suppressions is settled. Chains longer than a handful do not occur in practice.

    Args:
        boxes: (B, K, 4) f32 xyxy.
        classes: (B, K) i64.
        iou: overlap above which the lower row is dropped, 0..1.
        rounds: iterations unrolled into the graph.
    """
    count = boxes.shape[1]
    overlap = box_iou_pairs(boxes[:, :, None], boxes[:, None, :])
    order = torch.arange(count, device=boxes.device)
    earlier = order[None, :] < order[:, None]
    rival = (overlap > iou) & (classes[:, :, None] == classes[:, None, :]) & earlier
    beats = rival.to(boxes.dtype)
    keep = torch.ones_like(beats[:, :, :1])
    for _ in range(rounds):
        keep = (torch.matmul(beats, keep) < 0.5).to(boxes.dtype)
    return keep[..., 0]
