from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.geometry import box_iou
from sightline.models.box_losses import box_iou_pairs, ciou, distribution_focal, quality_focal

coordinate = st.floats(0, 500, width=32)
boxes = st.tuples(coordinate, coordinate, st.floats(1, 200, width=32), st.floats(1, 200, width=32)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


@given(st.lists(boxes, min_size=1, max_size=5), st.lists(boxes, min_size=1, max_size=5))
def test_overlap_is_the_reference_overlap(a: list[list[float]], b: list[list[float]]) -> None:
    ours = box_iou_pairs(torch.tensor(a)[:, None], torch.tensor(b)[None]).numpy()
    np.testing.assert_allclose(ours, box_iou(np.array(a), np.array(b)), atol=1e-4)


@given(boxes, boxes)
def test_ciou_is_at_most_the_overlap_and_one_for_equal_boxes(a: list[float], b: list[float]) -> None:
    one, two = torch.tensor(a), torch.tensor(b)
    assert ciou(one, two) <= box_iou_pairs(one, two) + 1e-5
    assert ciou(one, one).item() == pytest.approx(1, abs=1e-4)


def test_ciou_of_known_boxes() -> None:
    # Overlap 1/7; centres sqrt(2) apart, hull's diagonal 3 sqrt(2): 2 / 18 is taken off; aspects agree.
    a, b = torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 1.0, 3.0, 3.0])
    assert ciou(a, b).item() == pytest.approx(1 / 7 - 1 / 9, abs=1e-6)


@given(st.floats(0, 6.9), st.integers(0, 6))
def test_the_edge_loss_is_least_where_the_mean_bin_is_the_distance(distance: float, other: int) -> None:
    left = int(distance)
    share = distance - left
    right = torch.full((8,), 1e-6)
    right[left] += 1 - share
    right[left + 1] += share
    wrong = torch.full((8,), 1e-6)
    wrong[other] += 1
    target = torch.full((1, 4), distance)
    best = distribution_focal(right.log().expand(1, 4, 8), target)
    worse = distribution_focal(wrong.log().expand(1, 4, 8), target)
    assert (best <= worse + 1e-4).all()


def test_a_distance_past_the_last_bin_counts_as_the_last() -> None:
    logits = torch.zeros(1, 4, 8)
    logits[..., 7] = 20.0
    assert distribution_focal(logits, torch.full((1, 4), 100.0)).max() < 0.1


def test_the_soft_focal_loss_without_power_is_cross_entropy() -> None:
    logits, quality = torch.tensor([0.3, -1.0, 2.0]), torch.tensor([0.0, 0.4, 1.0])
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    assert torch.equal(quality_focal(logits, quality, 0), plain)
    assert (quality_focal(logits, quality, 2) < plain).all()
