"""ONNX Runtime keeps the contract of every runtime."""

from __future__ import annotations

from contracts.runtime_contract import RuntimeContract


class TestOnnxRuntime(RuntimeContract):
    runtime = "onnx"
