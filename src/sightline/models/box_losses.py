"""Losses of boxes: overlap (CIoU, Zheng et al. 2020) and edge distributions (DFL, Li et al. 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_TINY = 1e-7


def box_iou_pairs(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of xyxy boxes (..., 4), broadcast pair by pair."""
    # Coordinate by coordinate: with pairs as the innermost axis every operation crawls.
    ax1, ay1, ax2, ay2 = a.unbind(-1)
    bx1, by1, bx2, by2 = b.unbind(-1)
    wide = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    high = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    meet = wide * high
    area_a = (ax2 - ax1).clamp(min=0) * (ay2 - ay1).clamp(min=0)
    area_b = (bx2 - bx1).clamp(min=0) * (by2 - by1).clamp(min=0)
    return meet / (area_a + area_b - meet + _TINY)


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU of xyxy boxes (..., 4), pair by pair, in (-1.5, 1].

    IoU less the squared distance of the centres over the squared diagonal of the common hull, less a
    penalty for unlike aspect (Zheng et al. 2020, eq. 8-11); the aspect's weight takes no gradient.
    """
    iou = box_iou_pairs(a, b)
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    diagonal = hull.square().sum(-1) + _TINY
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]).square().sum(-1) / 4
    angle_a = torch.atan(size_a[..., 0] / (size_a[..., 1] + _TINY))
    angle_b = torch.atan(size_b[..., 0] / (size_b[..., 1] + _TINY))
    aspect = (4 / math.pi**2) * (angle_a - angle_b).square()
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect + _TINY)
    return iou - apart / diagonal - weight * aspect


def distribution_focal(logits: Tensor, distances: Tensor) -> Tensor:
    """Distribution focal loss (N, 4) of edge distances.

    Cross entropy against the two bins next to the true distance, each by its nearness (Li et al. 2020,
    eq. 6).

    Args:
        logits: (N, 4, R) over the bins 0..R-1.
        distances: (N, 4) true distances in bins; cut to [0, R - 1).
    """
    bins = logits.shape[-1]
    target = distances.clamp(0, bins - 1 - 1e-3)
    left = target.floor()
    right_share = target - left
    log_p = F.log_softmax(logits, dim=-1)
    low = log_p.gather(-1, left.long()[..., None])[..., 0]
    high = log_p.gather(-1, left.long()[..., None] + 1)[..., 0]
    return -(low * (1 - right_share) + high * right_share)


def quality_focal(logits: Tensor, quality: Tensor, power: float) -> Tensor:
    """Binary cross entropy with a soft target, times `|target - p| ** power` (Li et al. 2020, eq. 5).

    `power` 0 is plain cross entropy; shapes as given.
    """
    plain = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    if power == 0:
        return plain
    gap = (quality - logits.sigmoid()).abs()
    return plain * gap**power
