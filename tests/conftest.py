"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything loads torch: spinning threads make tests crawl on a machine that is not alone.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import pytest

# The contracts' asserts tell what differed, as those in test files do.
pytest.register_assert_rewrite("contracts.model_contract", "contracts.made")

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public sets; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("SIGHTLINE_SHARED_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set SIGHTLINE_SHARED_DATA to run this")
    return folder
