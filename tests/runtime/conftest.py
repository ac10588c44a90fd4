"""Packages of tiny models, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.tiny_models import TinyModel
from sightline.export.writing import package_model


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packages")
    tasks = ("classify", "detect", "segment", "locate")
    return {task: package_model(TinyModel(task).eval(), root / task) for task in tasks}
