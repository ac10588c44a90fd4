from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.data.stratify import stratified

SHARES = (0.7, 0.15, 0.15)

tables = st.integers(3, 60).flatmap(
    lambda units: st.integers(1, 5).flatmap(
        lambda classes: st.lists(
            st.lists(st.integers(0, 6), min_size=classes, max_size=classes), min_size=units, max_size=units
        )
    )
)


@given(tables, st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_every_unit_goes_to_one_part_and_no_part_is_empty(table: list[list[int]], seed: int) -> None:
    chosen = stratified(np.array(table), SHARES, seed)
    assert len(chosen) == len(table)
    assert set(chosen.tolist()) == {0, 1, 2}
    assert (chosen == stratified(np.array(table), SHARES, seed)).all(), "the same seed, the same split"


def test_shares_hold_for_every_class_even_for_a_rare_one() -> None:
    rng = np.random.default_rng(0)
    rates = np.array([0.9, 0.3, 0.05, 0.01])
    table = np.column_stack([rng.random((4000, 4)) < rates, np.ones(4000)])
    chosen = stratified(table, SHARES, seed=3)
    for part, share in enumerate(SHARES):
        held = table[chosen == part].sum(axis=0) / table.sum(axis=0)
        assert np.abs(held - share).max() < 0.03, held


def test_shares_hold_for_units_of_very_different_size() -> None:
    rng = np.random.default_rng(1)
    size = rng.geometric(0.05, 400)
    table = np.column_stack([rng.binomial(size, 0.3), size])
    chosen = stratified(table, SHARES, seed=0)
    for part, share in enumerate(SHARES):
        assert abs(table[chosen == part, 1].sum() / size.sum() - share) < 0.02


def test_a_class_in_four_units_reaches_every_part() -> None:
    table = np.zeros((300, 2), int)
    table[:, 1] = 1
    table[:4, 0] = 1
    assert set(stratified(table, SHARES, seed=0)[:4].tolist()) == {0, 1, 2}


def test_another_seed_gives_another_split() -> None:
    table = np.ones((50, 1))
    assert (stratified(table, SHARES, 0) != stratified(table, SHARES, 1)).any()
