from __future__ import annotations

import torch

from sightline.models.assign import Truth, task_aligned


def grid(side: int, stride: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres of a square grid, and their strides."""
    at = (torch.arange(side) + 0.5) * stride
    ys, xs = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([xs, ys], -1).reshape(-1, 2), torch.full((side * side,), stride)


def target(*rows: tuple[list[float], int, bool]) -> dict[str, torch.Tensor]:
    """Boxes with a label and a crowd flag each."""
    return {
        "boxes": torch.tensor([r[0] for r in rows], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([r[1] for r in rows], dtype=torch.long),
        "crowd": torch.tensor([r[2] for r in rows], dtype=torch.bool),
    }


def squares(centres: torch.Tensor, half: float) -> torch.Tensor:
    """A guess of one size around every point."""
    return torch.cat([centres - half, centres + half], 1)[None]


def test_a_box_takes_its_best_aligned_points_inside() -> None:
    centres, strides = grid(8, 8.0)
    truth = Truth.pad([target(([16, 16, 40, 40], 1, False))])
    scores = torch.full((1, 64, 2), 0.5)
    found = task_aligned(scores, squares(centres, 12), centres, strides, truth, candidates=3)
    assert int(found.positive.sum()) == 3
    where = centres[found.positive[0]]
    assert ((where > 16) & (where < 40)).all()
    # The point in the middle fits exactly: its quality is its overlap, one.
    assert found.quality.max().item() == 1.0
    assert centres[found.quality[0].argmax()].tolist() == [28.0, 28.0]
    assert (found.labels[found.positive] == 1).all()


def test_a_contested_point_goes_to_the_box_it_overlaps_most() -> None:
    centres, strides = grid(4, 8.0)
    truth = Truth.pad([target(([0, 0, 32, 32], 0, False), ([8, 8, 24, 24], 1, False))])
    found = task_aligned(
        torch.full((1, 16, 2), 0.5), squares(centres, 8), centres, strides, truth, candidates=16
    )
    inner = ((centres > 8) & (centres < 24)).all(1)
    assert (found.labels[0][inner & found.positive[0]] == 1).all()
    assert (found.boxes[0][inner] == torch.tensor([8.0, 8.0, 24.0, 24.0])).all()


def test_a_sliver_between_the_points_still_finds_one() -> None:
    centres, strides = grid(4, 8.0)
    truth = Truth.pad([target(([9.0, 15.5, 30.0, 16.2], 0, False))])
    found = task_aligned(torch.full((1, 16, 1), 0.5), squares(centres, 6), centres, strides, truth)
    assert found.positive.any()


def test_crowds_are_ignored_and_boxes_without_area_are_no_truth() -> None:
    centres, strides = grid(4, 8.0)
    truth = Truth.pad([target(([0, 0, 16, 32], 0, True), ([20, 20, 20, 30], 0, False)), target()])
    found = task_aligned(
        torch.full((2, 16, 1), 0.5), squares(centres, 6).repeat(2, 1, 1), centres, strides, truth
    )
    assert not found.positive.any()
    assert found.ignored[0].tolist() == (centres[:, 0] < 16).tolist()
    assert not found.ignored[1].any()
