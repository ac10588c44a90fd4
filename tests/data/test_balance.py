from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.errors import UsageError
from sightline.data.balance import class_weights, effective_number, record_weights

counts = st.lists(st.integers(0, 10**6), min_size=1, max_size=12)


def test_effective_number_is_the_geometric_sum_of_cui_2019() -> None:
    # 1 + beta + beta^2 for three samples
    assert effective_number([3], beta=0.5)[0] == pytest.approx(1.75)
    assert effective_number([0, 1, 5], beta=0.0).tolist() == [0, 1, 1]


@given(counts, st.floats(0, 0.999999))
def test_effective_number_grows_with_the_count_and_stays_under_it_and_under_its_limit(
    numbers: list[int], beta: float
) -> None:
    effective = effective_number(numbers, beta)
    order = np.argsort(numbers, kind="stable")
    assert (np.diff(effective[order]) >= -1e-9).all()
    assert (effective <= np.array(numbers) + 1e-6).all()
    assert (effective <= 1 / (1 - beta) * (1 + 1e-6)).all()


def test_beta_near_one_gives_the_counts_back() -> None:
    assert effective_number([10, 1000], beta=1 - 1e-12) == pytest.approx([10, 1000], rel=1e-6)


@given(counts)
def test_class_weights_have_mean_one_over_the_classes_seen_and_favour_the_rare(numbers: list[int]) -> None:
    weights = class_weights(numbers)
    seen = np.array(numbers) > 0
    if seen.any():
        assert weights[seen].mean() == pytest.approx(1, rel=1e-5)
        rare, common = np.argmin(np.where(seen, numbers, 10**9)), np.argmax(numbers)
        assert weights[rare] >= weights[common]
    assert (weights[~seen] == 1).all()


def test_wrong_counts_and_betas_are_refused() -> None:
    with pytest.raises(UsageError, match="not negative"):
        class_weights([1, -1])
    with pytest.raises(UsageError, match="beta is 1"):
        class_weights([1], beta=1.0)
    with pytest.raises(UsageError, match="none of plain"):
        record_weights([[0]], "twice")  # type: ignore[arg-type]


LABELS = [[0]] * 80 + [[1]] * 20


def test_oversampling_repeats_the_rare_class_until_classes_are_even() -> None:
    weights = record_weights(LABELS, "over")
    assert weights[:80].sum() == pytest.approx(80) and weights[80:].sum() == pytest.approx(80)
    assert weights.min() == 1


def test_undersampling_thins_out_the_frequent_class_until_classes_are_even() -> None:
    weights = record_weights(LABELS, "under")
    assert weights[:80].sum() == pytest.approx(20) and weights[80:].sum() == pytest.approx(20)
    assert weights.max() == 1


def test_balanced_sampling_keeps_the_length_of_the_epoch() -> None:
    weights = record_weights(LABELS, "balanced")
    assert weights.sum() == pytest.approx(100)
    assert weights[:80].sum() == pytest.approx(weights[80:].sum())


def test_a_record_with_several_classes_counts_as_its_rarest_and_one_without_counts_once() -> None:
    weights = record_weights([[0], [0], [0], [0, 1], []], "over")
    assert weights.tolist() == [1, 1, 1, 4, 1]  # class 0 is on four records, class 1 on one
    assert record_weights([[], []], "balanced").tolist() == [1, 1]


def test_no_record_is_repeated_beyond_the_limit() -> None:
    labels = [[0]] * 1000 + [[1]]
    assert record_weights(labels, "over", limit=20).max() == 20
    assert record_weights(labels, "under", limit=20).min() == 1 / 20
    assert record_weights(labels, "plain").tolist() == [1] * 1001
