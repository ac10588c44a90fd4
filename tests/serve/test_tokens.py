from __future__ import annotations

from pathlib import Path

import pytest

from sightline.core.errors import UsageError
from sightline.serve.refusals import Refused
from sightline.serve.security import Rates, Tokens

LONG = "a-token-long-enough"


def test_tokens_are_read_from_a_file_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# who may ask\nann:{LONG}1\n\n{LONG}2\n")
    tokens = Tokens.read(file, {"SIGHTLINE_TOKENS": f"bob:{LONG}3, {LONG}4"})
    assert len(tokens) == 4
    assert [tokens.owner(f"{LONG}{i}") for i in (1, 2, 3, 4)] == ["ann", "token4", "bob", "token2"]
    assert tokens.owner(LONG) is None and tokens.owner("") is None and tokens.owner("ü\udcff") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ann:short", "at least 16"),
        (f"ann:{LONG}\nbob:{LONG}", "given twice"),
        (f"ann:{LONG}1\nann:{LONG}2", "two tokens are of 'ann'"),
        ("# nobody\n", "holds no token"),
    ],
)
def test_tokens_that_are_unsafe_or_unclear_stop_the_start(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(UsageError, match=reason):
        Tokens.read(file, {})


def test_a_bucket_lets_bursts_through_and_fills_again() -> None:
    rates = Rates(2.0, burst=3)
    for _ in range(3):
        rates.take("ann", now=10.0)
    with pytest.raises(Refused) as refused:
        rates.take("ann", now=10.0)
    assert refused.value.retry_after_s == pytest.approx(0.5)
    rates.take("bob", now=10.0)
    rates.take("ann", now=10.5)
    with pytest.raises(Refused):
        rates.take("ann", now=10.5)
    for _ in range(3):  # never more than the burst, however long nobody asked
        rates.take("ann", now=1e6)
    with pytest.raises(Refused):
        rates.take("ann", now=1e6)


def test_no_rate_is_no_limit_and_remembers_nobody() -> None:
    rates = Rates(0)
    for index in range(1000):
        rates.take(f"client{index}")
    assert not rates._buckets


def test_buckets_are_bounded_however_many_ask() -> None:
    rates = Rates(1)
    for index in range(10_500):
        rates.take(f"client{index}", now=0.0)
    assert len(rates._buckets) == 10_000
