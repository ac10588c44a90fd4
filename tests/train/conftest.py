from __future__ import annotations

from typing import Any

import pytest
import torch

from train.toys import TinyClassifier


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Small networks are slower on two threads, and other tests run beside these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name `tiny` builds the tiny classifier."""

    def build(name: str, **_: Any) -> TinyClassifier:
        assert name == "tiny"
        return TinyClassifier()

    monkeypatch.setattr("sightline.train.run.build", build)
