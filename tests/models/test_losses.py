from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sightline.models.losses import batch_mean, cross_entropy, dice, hard_cross_entropy

ONES = torch.ones(3)


def maps() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 6, generator=generator)
    labels = torch.randint(0, 3, (2, 8, 6), generator=generator)
    return logits, labels


def test_a_weight_counts_even_in_a_batch_of_one() -> None:
    assert batch_mean(torch.tensor([2.0]), torch.tensor([3.0])).item() == 6


def test_cross_entropy_of_places_equals_torchs_weighted_mean() -> None:
    logits, labels = maps()
    weights = torch.tensor([0.5, 1.0, 4.0])
    ours = cross_entropy(logits[:1], labels[:1], weights)
    assert ours[0].item() == pytest.approx(F.cross_entropy(logits[:1], labels[:1], weights).item(), rel=1e-5)


def test_void_places_do_not_count() -> None:
    logits, labels = maps()
    changed = logits.clone()
    labels[:, :4] = 255
    changed[:, :, :4] += 5 * torch.randn(changed[:, :, :4].shape)
    for term in (
        lambda x: cross_entropy(x, labels, ONES, ignore=255),
        lambda x: hard_cross_entropy(x, labels, ONES),
        lambda x: dice(x, labels, ONES),
    ):
        assert torch.allclose(term(logits), term(changed))


def test_an_element_that_is_all_void_gives_zero() -> None:
    logits, labels = maps()
    labels[:] = 255
    assert cross_entropy(logits, labels, ONES, ignore=255).tolist() == [0, 0]
    assert hard_cross_entropy(logits, labels, ONES).tolist() == [0, 0]
    assert dice(logits, labels, ONES).tolist() == [0, 0]


def test_hard_cross_entropy_leaves_easy_places_out() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 0] = 20.0
    logits[0, 0, 0, 0] = -1.0
    all_places = cross_entropy(logits, labels, torch.ones(2)).item()
    assert hard_cross_entropy(logits, labels, torch.ones(2)).item() == pytest.approx(
        16 * all_places, rel=1e-3
    )


def test_dice_is_near_zero_when_right_and_near_one_when_wrong() -> None:
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels[:, :8] = 1
    right = F.one_hot(labels, 2).movedim(-1, 1) * 40.0 - 20
    assert dice(right, labels, torch.ones(2)).item() < 0.01
    assert dice(-right, labels, torch.ones(2)).item() > 0.98
