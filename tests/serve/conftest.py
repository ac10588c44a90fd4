"""Services over tiny models, and pictures to ask them with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.asking import make_service
from serve.graphs import make_package
from sightline.serve.service import Service


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packages")
    return {task: make_package(root / task, task) for task in ("classify", "detect", "segment", "locate")}


@pytest.fixture(scope="session")
def service(packages: dict[str, Path]) -> Iterator[Service]:
    found = make_service([str(path) for path in packages.values()])
    yield found
    for served in found.models.all:
        served.batcher.close()
        assert served.batcher.join(5)
