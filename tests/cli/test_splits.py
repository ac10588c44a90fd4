"""Which split is taken where none is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sightline.cli.splits import named_split
from sightline.core.errors import UsageError


def holding(root: Path, *names: str) -> Any:
    """A dataset with splits of these names."""
    (root / "splits").mkdir()
    for name in names:
        (root / "splits" / f"{name}.parquet").touch()
    return SimpleNamespace(root=root, split=lambda name: name)


@pytest.mark.parametrize(
    ("names", "taken"), [(("first",), "first"), (("author",), "author"), (("author", "first"), "first")]
)
def test_the_only_split_is_taken_and_the_authors_where_it_is_alone(
    tmp_path: Path, names: tuple[str, ...], taken: str
) -> None:
    assert named_split(holding(tmp_path, *names), None) == taken


def test_a_named_split_is_taken_whatever_there_is(tmp_path: Path) -> None:
    assert named_split(holding(tmp_path, "first"), "author") == "author"


def test_of_several_splits_one_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name one with --split: author, first, second"):
        named_split(holding(tmp_path, "author", "first", "second"), None)


def test_where_there_is_no_split_the_verb_that_makes_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make one with: sightline split"):
        named_split(holding(tmp_path), None)
