from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.geometry import box_iou
from sightline.models.suppress import keep_best


def greedy(boxes: np.ndarray, classes: np.ndarray, limit: float) -> list[bool]:
    """The rule as it is told: best first, drop what overlaps a kept one of its class."""
    iou = box_iou(boxes, boxes)
    kept: list[bool] = []
    for row in range(len(boxes)):
        rivals = [i for i in range(row) if kept[i] and classes[i] == classes[row] and iou[i, row] > limit]
        kept.append(not rivals)
    return kept


@given(st.integers(0, 10_000), st.integers(1, 120), st.integers(1, 3), st.sampled_from([0.3, 0.5, 0.7]))
def test_suppression_is_the_greedy_one(seed: int, count: int, kinds: int, limit: float) -> None:
    chance = np.random.default_rng(seed)
    corner = chance.uniform(0, 60, (2, count, 2))
    boxes = np.concatenate([corner, corner + chance.uniform(5, 40, (2, count, 2))], 2).astype(np.float32)
    classes = chance.integers(0, kinds, (2, count))
    ours = keep_best(torch.from_numpy(boxes), torch.from_numpy(classes), limit)
    for row in range(2):
        assert ours[row].bool().tolist() == greedy(boxes[row].astype(np.float64), classes[row], limit)


def test_a_chain_longer_than_the_rounds_is_the_limit() -> None:
    # Each box overlaps only its neighbours by more than a third: greedy keeps every other one.
    steps = torch.arange(12.0)
    boxes = torch.stack([steps * 4, 0 * steps, steps * 4 + 10, 0 * steps + 10], 1)[None]
    classes = torch.zeros(1, 12, dtype=torch.long)
    assert keep_best(boxes, classes, 0.4)[0].tolist() == [1.0, 0.0] * 6
    assert keep_best(boxes, classes, 0.4, rounds=4)[0].tolist() != [1.0, 0.0] * 6
