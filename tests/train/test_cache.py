from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sightline.train.cache import MEGABYTE, Cache, Cached
from train.toys import MemoryDataset


def picture(value: int, side: int = 100) -> np.ndarray:
    return np.full((side, side + 1, 3), value, np.uint8)


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_cache_gives_back_what_it_took_and_stops_at_its_limit(tmp_path: Path, on_disk: bool) -> None:
    cache = Cache(100, 1, tmp_path if on_disk else None)
    kept = [cache.put(number, picture(number)) for number in range(50)]
    size = picture(0).nbytes
    assert sum(kept) == MEGABYTE // size and kept == sorted(kept, reverse=True)
    assert cache.used_bytes <= MEGABYTE and len(cache) == sum(kept)
    for number in range(50):
        held = cache.get(number)
        if kept[number]:
            assert held is not None and (held == picture(number)).all()
        else:
            assert held is None
    if on_disk:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_one_process_puts_in_another_finds(tmp_path: Path, on_disk: bool) -> None:
    cache = Cache(3, 1, tmp_path if on_disk else None)
    child = os.fork()
    if not child:
        cache.put(1, picture(7))
        os._exit(0)
    os.waitpid(child, 0)
    held = cache.get(1)
    assert held is not None and (held == 7).all() and cache.get(0) is None


def test_a_picture_is_decoded_once_and_its_copy_cannot_be_harmed(tmp_path: Path) -> None:
    dataset = MemoryDataset(6)
    cached = Cached(dataset, dataset.records[:4], "memory", 1, tmp_path)
    for _ in range(3):
        for record in dataset.records:
            assert (cached.read(record) == MemoryDataset().read(record)).all()
    assert dataset.reads == 4 + 3 * 2
    assert cached.classes == dataset.classes
    with pytest.raises(ValueError, match="read-only"):
        cached.read(dataset.records[0])[:] = 0
