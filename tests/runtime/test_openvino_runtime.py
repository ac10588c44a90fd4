"""OpenVINO keeps the contract of every runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.runtime_contract import RuntimeContract

pytest.importorskip("openvino")


class TestOpenVino(RuntimeContract):
    runtime = "openvino"


def test_loading_leaves_the_signal_stack_of_its_thread_alone(tmp_path: Path) -> None:
    """OpenVINO unmaps the one it sets when it is freed by another thread; the next signal then kills."""
    code = (
        "import ctypes, signal, sys\n"
        "class Stack(ctypes.Structure):\n"
        "    _fields_ = [('at', ctypes.c_void_p), ('flags', ctypes.c_int), ('size', ctypes.c_size_t)]\n"
        "def stack():\n"
        "    now = Stack(); ctypes.CDLL(None).sigaltstack(None, ctypes.byref(now)); return now.at, now.size\n"
        "before = stack()\n"
        "from sightline.runtime.openvino_runtime import _core\n"
        "assert 'CPU' in _core().available_devices\n"
        "assert stack() == before, stack()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
