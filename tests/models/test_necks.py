from __future__ import annotations

import pytest
import torch

from sightline.models.necks import NECKS, Fuse, NeckName

SIZES = ((16, 24, 20), (32, 12, 10), (64, 6, 5), (96, 3, 3))


@pytest.mark.parametrize("name", NECKS)
@pytest.mark.parametrize("keep", [1, 3, 4])
def test_a_neck_gives_equally_wide_maps_of_the_sizes_it_got(name: NeckName, keep: int) -> None:
    neck = NECKS[name]([s[0] for s in SIZES], 8, keep=keep)
    out = neck([torch.randn(2, *s) for s in SIZES])
    assert [tuple(m.shape) for m in out] == [(2, 8, *s[1:]) for s in SIZES[:keep]]
    sum(m.sum() for m in out).backward()
    assert all(p.grad is not None for p in neck.parameters())


@pytest.mark.parametrize("name", NECKS)
def test_the_coarsest_map_reaches_the_finest(name: NeckName) -> None:
    torch.manual_seed(0)
    neck = NECKS[name]([s[0] for s in SIZES], 8, keep=1).eval()
    maps = [torch.randn(1, *s) for s in SIZES]
    before = neck(maps)[0]
    maps[-1] = maps[-1] + 5
    assert not torch.allclose(before, neck(maps)[0])


def test_fusion_weights_are_shares() -> None:
    fuse = Fuse(2, 4)
    fuse.mix = torch.nn.Identity()
    fuse.weights.data = torch.tensor([3.0, -7.0])
    one, two = torch.ones(1, 4, 2, 2), torch.full((1, 4, 2, 2), 9.0)
    assert torch.allclose(fuse([one, two]), one, atol=1e-3)
