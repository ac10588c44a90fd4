"""Which query answers for which object: the assignment of least total cost (Carion et al. 2020)."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

CLASS_COST, L1_COST, GIOU_COST = 2.0, 5.0, 2.0


def to_corners(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) as centre and size to xyxy."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def to_centres(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) xyxy to centre and size."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised overlap (...) of xyxy boxes that broadcast (Rezatofighi et al. 2019), in [-1, 1]."""
    meet = _area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - meet
    hull = _area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    return meet / union.clamp_min(1e-7) - (hull - union) / hull.clamp_min(1e-7)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp_min(0).prod(-1)


@torch.no_grad()
def match(logits: Tensor, boxes: Tensor, labels: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of queries and rows of objects that belong together, at most one each.

    Args:
        logits: (Q, C + 1) of one picture.
        boxes: (Q, 4) centre and size, over the picture's size.
        labels: (N,) classes of the objects.
        truth: (N, 4) boxes of the objects, as `boxes`.

    Returns:
        Two i64 tensors (min(Q, N),).
    """
    scores = logits.float().softmax(-1)[:, labels]
    away = (boxes[:, None].float() - truth[None]).abs().sum(-1)
    overlap = generalised_iou(to_corners(boxes.float())[:, None], to_corners(truth)[None])
    cost = L1_COST * away - CLASS_COST * scores - GIOU_COST * overlap
    # The loss itself tells of values that are not finite; the assignment must not stop first.
    rows, columns = linear_sum_assignment(cost.nan_to_num(1e6, 1e6, -1e6).cpu().numpy())
    return torch.as_tensor(rows, device=boxes.device), torch.as_tensor(columns, device=boxes.device)
