from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.made import texture
from sightline.core.likeness import MIN_CORRELATION, likeness, look, near_pairs

Picture = NDArray[np.uint8]


def recompressed(picture: Picture) -> Picture:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def halved(picture: Picture) -> Picture:
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def brighter(picture: Picture) -> Picture:
    return np.clip(picture.astype(float) * 1.1 + 8, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [recompressed, halved, brighter])
@pytest.mark.parametrize("seed", range(6))
def test_a_changed_copy_is_a_candidate_and_is_confirmed(seed: int, change: Any) -> None:
    picture = texture(seed, 320, 240)
    a, b = look(picture), look(change(picture))
    assert (a.hash ^ b.hash).bit_count() <= 7
    assert likeness(a, b) >= MIN_CORRELATION


def test_different_pictures_are_not_alike() -> None:
    looks = [look(texture(seed)) for seed in range(30)]
    worst = max(likeness(a, b) for i, a in enumerate(looks) for b in looks[:i])
    assert worst < 0.6


def test_a_mirrored_picture_is_alike_only_when_mirrored() -> None:
    picture = texture(3, 200, 150)
    a, b = look(picture), look(np.ascontiguousarray(picture[:, ::-1]))
    assert a.mirrored == b.hash and likeness(a, b, mirrored=True) >= MIN_CORRELATION
    assert likeness(a, b) < 0.6


def test_plain_pictures_are_never_held_to_be_alike() -> None:
    rng = np.random.default_rng(0)
    plain = [np.clip(200 + rng.normal(0, 1, (120, 160, 3)), 0, 255).astype(np.uint8) for _ in range(2)]
    assert likeness(look(plain[0]), look(plain[1])) == 0.0


def test_fields_of_scattered_cells_are_told_apart() -> None:
    def field(seed: int) -> Picture:
        rng = np.random.default_rng(seed)
        page = np.full((240, 320, 3), (225, 215, 220), np.uint8)
        for x, y in rng.uniform((0, 0), (320, 240), (25, 2)).astype(int).tolist():
            cv2.circle(page, (x, y), 18, (200, 140, 160), -1, cv2.LINE_AA)
        return page

    looks = [look(field(seed)) for seed in range(25)]
    assert max(likeness(a, b) for i, a in enumerate(looks) for b in looks[:i]) < MIN_CORRELATION - 0.1


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=25), st.data())
@settings(max_examples=60, deadline=None)
def test_banded_search_finds_the_pairs_that_brute_force_finds(hashes: list[int], data: st.DataObject) -> None:
    for _ in range(5):  # plant neighbours at known distances
        source = data.draw(st.sampled_from(hashes))
        flips = data.draw(st.lists(st.integers(0, 63), max_size=9, unique=True))
        hashes = [*hashes, source ^ sum(1 << f for f in flips)]
    array = np.array(hashes, np.uint64)
    found = {tuple(pair) for pair in near_pairs(array).tolist()}
    distance = {(i, j): (hashes[i] ^ hashes[j]).bit_count() for j in range(len(hashes)) for i in range(j)}
    assert all(distance[pair] <= 7 for pair in found)
    # Equal hashes are chained to their first; every other near pair of *distinct* hashes is found once.
    first = {h: i for i, h in reversed(list(enumerate(hashes)))}
    for (i, j), bits in distance.items():
        if bits == 0:
            assert (first[hashes[j]], j) in found
        elif bits <= 7:
            a, b = sorted((first[hashes[i]], first[hashes[j]]))
            assert (a, b) in found
