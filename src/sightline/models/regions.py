"""Regions of interest: which of them teach, and what the maps hold inside each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align

CANONICAL_PX, CANONICAL_LEVEL = 224.0, 2  # Lin et al. 2017, eq. 1: an ImageNet-sized region reads stride 16


class ElementSampler:
    """Chooses positives and negatives of each element by that element's own chance.

    Stands in for torchvision's sampler, which draws for all elements from one stream: there, labels of
    one picture change what is drawn for the next.

    Args:
        count: regions taken of an element at most.
        positive: largest share of positives among them.
    """

    def __init__(self, count: int, positive: float) -> None:
        self.count, self.positive = count, positive

    def __call__(self, labels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Masks (A,) u8 of positives and of negatives, from labels (A,): above 0, 0, and below to skip."""
        seeds = torch.randint(1 << 31, (max(1, len(labels)),)).tolist()
        pairs = [self._one(row, seed) for row, seed in zip(labels, seeds, strict=False)]
        return [positive for positive, _ in pairs], [negative for _, negative in pairs]

    def _one(self, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        order = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed)).to(labels.device)
        positive = first_of(order, labels >= 1, int(self.count * self.positive))
        left = self.count - int(positive.sum())
        return positive.to(torch.uint8), first_of(order, labels == 0, left).to(torch.uint8)


def first_of(order: Tensor, allowed: Tensor, count: int) -> Tensor:
    """Mask (A,) of at most `count` allowed places, those of lowest order."""
    taken = torch.zeros_like(allowed)
    places = torch.where(allowed, order, torch.inf).argsort()[: min(count, int(allowed.sum()))]
    taken[places] = True
    return taken


def region_levels(boxes: Tensor, levels: int) -> Tensor:
    """Index (N,) of the map that each region (N, 4) is read from: the larger, the coarser."""
    side = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(1).sqrt()
    level = (CANONICAL_LEVEL + torch.log2(side / CANONICAL_PX + 1e-6)).floor()
    return level.clamp(0, levels - 1).long()


def pool_regions(
    maps: Sequence[Tensor], strides: Sequence[int], boxes: Tensor, owners: Tensor, size: int, *, fixed: bool
) -> Tensor:
    """What the maps hold inside each region, (N, C, size, size), by bilinear sampling.

    Args:
        maps: (B, C, h_i, w_i), finest first.
        strides: of the maps, in placed pixels.
        boxes: (N, 4) xyxy in placed pixels.
        owners: (N,) which element of the batch each region is of.
        size: places along each side.
        fixed: read every region from every map and keep the right one: slower, but the same operations
            whatever the boxes are, as an exported graph needs.
    """
    levels = region_levels(boxes, len(maps))
    rois = torch.cat([owners.to(boxes.dtype)[:, None], boxes], 1)
    if fixed:
        out = torch.zeros((), device=boxes.device)
        for level, (plane, stride) in enumerate(zip(maps, strides, strict=True)):
            part = roi_align(plane, rois, size, 1 / stride, 2, aligned=True)
            out = out + part * (levels == level).to(part.dtype)[:, None, None, None]
        return out
    out = maps[0].new_zeros(len(rois), maps[0].shape[1], size, size)
    for level, (plane, stride) in enumerate(zip(maps, strides, strict=True)):
        here = torch.nonzero(levels == level).flatten()
        part = roi_align(plane, rois[here], size, 1 / stride, 2, aligned=True)
        out = out.index_put((here,), part.to(out.dtype))
    return out


def crop_masks(masks: Tensor, rows: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The parts (N, size, size) in [0, 1] of masks (M, H, W) inside boxes (N, 4), box n of mask rows[n]."""
    rois = torch.cat([rows.to(boxes.dtype)[:, None], boxes], 1)
    parts: Tensor = roi_align(masks[:, None].float(), rois, size, 1.0, -1, aligned=True)
    return parts[:, 0]
