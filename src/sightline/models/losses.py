"""Terms that several architectures share. Each gives one value an element, so that elements can be
weighted, mined and reported before the mean is taken.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

VOID = 255


def batch_mean(per_example: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean () of values (B,): the sum of weight x value over B.

    The divisor is B and not the weights' sum, so that a weight still counts in a batch of one and over
    accumulated micro-batches.
    """
    return (per_example * weights.to(per_example)).sum() / max(1, len(per_example))


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor, *, smoothing: float = 0.0, ignore: int = -100
) -> Tensor:
    """Cross-entropy of logits (B, C, ...) against class indices (B, ...): one value an element (B,).

    Over places it is the mean of the weighted terms divided by the mean weight of the places that
    count, so that class weights shift attention within a picture. For a whole picture (no places) the
    class weight multiplies the term. Elements without a place that counts give 0.
    """
    terms = F.cross_entropy(
        logits.float(),
        labels,
        class_weights.to(logits.device),
        reduction="none",
        ignore_index=ignore,
        label_smoothing=smoothing,
    )
    if terms.ndim == 1:
        return terms
    counts = labels != ignore
    place_weights = class_weights.to(logits.device)[labels.clamp(0, len(class_weights) - 1)] * counts
    return terms.flatten(1).sum(1) / place_weights.flatten(1).sum(1).clamp_min(1e-6)


def hard_cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor, *, threshold: float = 0.9, keep: float = 1 / 16
) -> Tensor:
    """Cross-entropy over the hard places only (online hard example mining, Shrivastava et al. 2016).

    Places whose probability of the true class is under `threshold` count, and at least the share `keep`
    of the hardest. One value an element (B,); logits (B, C, H, W), labels (B, H, W) with 255 void.
    """
    plain = F.cross_entropy(logits.float(), labels, reduction="none", ignore_index=VOID).flatten(1)
    counts = (labels != VOID).flatten(1)
    weight = class_weights.to(logits.device)[labels.clamp(0, len(class_weights) - 1)].flatten(1)
    least = max(1, int(plain.shape[1] * keep))
    floor = plain.detach().topk(least, dim=1).values[:, -1:]
    bound = -torch.log(torch.tensor(threshold, device=plain.device))
    hard = counts & (plain.detach() >= torch.minimum(floor, bound))
    share = hard * weight
    return (plain * share).sum(1) / share.sum(1).clamp_min(1e-6)


def dice(logits: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
    """One minus the soft Dice overlap, averaged over the classes that are present: (B,).

    Milletari et al. 2016, with linear terms in the denominator. Logits (B, C, H, W), labels (B, H, W)
    with 255 void. Elements without a labelled place give 0.
    """
    counts = labels != VOID
    truth = F.one_hot(labels.where(counts, 0), logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    truth = truth * counts.unsqueeze(1)
    guess = logits.float().softmax(1) * counts.unsqueeze(1)
    meet = (guess * truth).flatten(2).sum(2)
    total = (guess + truth).flatten(2).sum(2)
    present = truth.flatten(2).any(2)
    weight = present * class_weights.to(logits.device)
    loss = 1 - (2 * meet + 1) / (total + 1)
    return (loss * weight).sum(1) / weight.sum(1).clamp_min(1e-6)


def log_depth(log_metres: Tensor, metres: Tensor) -> Tensor:
    """Mean absolute difference of natural logarithms (B,) over the places (B, H, W) known in `metres`.

    Near zero it is the mean absolute relative error. Elements without a known place give 0.
    """
    known = metres > 0
    away = (log_metres.float() - metres.clamp_min(1e-3).log()).abs() * known
    return away.flatten(1).sum(1) / known.flatten(1).sum(1).clamp_min(1)
