"""One package with a reference for all tests of this room: exporting it takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.packages import watched_package


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return watched_package(tmp_path_factory.mktemp("watched") / "package")
