"""The public interface: every name is there, and importing it costs nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sightline


@pytest.mark.parametrize("name", sightline.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert callable(getattr(sightline, name))
    assert name in dir(sightline)


def test_a_verb_that_shares_its_name_with_a_room_is_both() -> None:
    code = (
        "import sightline, sightline.export.package, sightline.train.run; "
        "assert callable(sightline.export) and callable(sightline.train); "
        "assert sightline.export.package.export; "
        "from sightline import export, evaluate; assert callable(export) and callable(evaluate)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sightline.nothing


def test_importing_brings_in_no_torch_nor_anything_heavy() -> None:
    code = (
        "import sys, sightline; print([m for m in ('torch', 'numpy', 'cv2', 'onnxruntime', 'pyarrow', 'av') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_calling_a_room_calls_its_verb() -> None:
    with pytest.raises(TypeError, match="export"):
        sightline.export()
