"""OpenVINO keeps the contract of every runtime."""

from __future__ import annotations

import pytest

from contracts.runtime_contract import RuntimeContract

pytest.importorskip("openvino")


class TestOpenVino(RuntimeContract):
    runtime = "openvino"
