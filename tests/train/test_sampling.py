from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.train.sampling import Sampler, by_loss, divided, drawn, steps_of

LABELS = [[0]] * 80 + [[1]] * 16 + [[0, 2]] * 4
NONE = np.full(100, np.nan, np.float32)


def shares(kind: str, epochs: int = 20) -> np.ndarray:
    sampler = Sampler(kind, LABELS, seed=1)  # type: ignore[arg-type]
    rows = np.concatenate([sampler.epoch(e, NONE) for e in range(epochs)])
    rarest = np.array([max(row) for row in LABELS])[rows[:, 0]]
    return np.bincount(rarest) / epochs


def test_a_plain_epoch_holds_each_element_once_in_an_order_of_its_own() -> None:
    sampler = Sampler("plain", LABELS, seed=1)
    first, second = sampler.epoch(0, NONE), sampler.epoch(1, NONE)
    assert sorted(first[:, 0]) == list(range(100)) and not first[:, 1].any()
    assert (first != second).any() and (first == sampler.epoch(0, NONE)).all()
    assert (first != Sampler("plain", LABELS, seed=2).epoch(0, NONE)).any()


def test_over_sampling_repeats_rare_classes_and_under_sampling_thins_common_ones() -> None:
    over, under, balanced = shares("over"), shares("under"), shares("balanced")
    assert over[0] == pytest.approx(80, abs=1) and over.max() / over.min() < 1.3
    assert under[2] == pytest.approx(4, abs=0.2) and under.max() / under.min() < 1.3
    assert balanced.sum() == pytest.approx(100) and balanced.max() / balanced.min() < 1.3


def test_repeats_of_an_element_are_numbered() -> None:
    rows = Sampler("over", LABELS, seed=0).epoch(3, NONE)
    assert len({tuple(row) for row in rows.tolist()}) == len(rows)
    assert rows[:, 1].max() >= 3


def test_sampling_by_loss_draws_the_hard_ones_more_often_and_forgets_none() -> None:
    losses = np.ones(100, np.float32)
    losses[:10], losses[10:20], losses[20:30] = 9.0, 0.0, np.nan
    sampler = Sampler("loss", LABELS, seed=0)
    counts = np.mean([np.bincount(sampler.epoch(e, losses)[:, 0], minlength=100) for e in range(200)], axis=0)
    assert counts[:10].mean() == pytest.approx(9 * counts[30:].mean(), rel=0.1)
    assert 0 < counts[10:20].mean() < 0.4 * counts[30:].mean()
    assert counts[20:30].mean() == pytest.approx(by_loss(losses)[20] * 100, rel=0.15)
    assert sampler.epoch(0, losses).shape == (100, 2)


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=40).filter(lambda v: sum(v) >= 1),
    st.integers(0, 2**32),
)
def test_whole_counts_are_within_one_of_what_is_expected(values: list[float], seed: int) -> None:
    expected = np.array(values)
    length = round(float(expected.sum()))
    counts = drawn(expected, length, np.random.default_rng(seed))
    assert counts.sum() == length and counts.min() >= 0
    assert np.abs(counts - expected * length / expected.sum()).max() <= 1 + 1e-6


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 4))
def test_an_epoch_is_divided_evenly_and_whole(length: int, batch: int, accumulate: int) -> None:
    rows = np.arange(length * 2).reshape(-1, 2)
    groups = divided(rows, batch, accumulate)
    assert len(groups) == steps_of(length, batch, accumulate)
    assert (np.concatenate([part for group in groups for part in group]) == rows).all()
    sizes = [len(part) for group in groups for part in group]
    assert max(sizes) <= batch
    assert all(len(group) <= accumulate for group in groups)
    totals = [sum(len(part) for part in group) for group in groups]
    assert max(totals) - min(totals) <= 1
