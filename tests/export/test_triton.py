from __future__ import annotations

import os
import subprocess
from pathlib import Path

import onnxruntime as ort
import pytest

from serve.graphs import make_package
from sightline.cli.main import main
from sightline.core.errors import UsageError
from sightline.export.triton import export_triton
from sightline.runtime.loading import read_manifest

# Parses a configuration with the messages that NVIDIA ships, which know every field and refuse others.
PARSE = """
import sys, importlib.util, pathlib, tritonclient
path = pathlib.Path(tritonclient.__path__[0]) / "grpc" / "model_config_pb2.py"
spec = importlib.util.spec_from_file_location("model_config_pb2", path)
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
from google.protobuf import text_format
found = text_format.Parse(open(sys.argv[1]).read(), module.ModelConfig())
print(found.name, found.max_batch_size, [(i.name, i.data_type, list(i.dims)) for i in found.input],
      [o.name for o in found.output], found.dynamic_batching.max_queue_delay_microseconds)
"""


def test_a_package_becomes_a_model_repository(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", "detect", version="7")
    out = export_triton(package, tmp_path / "repository")
    text = (out / "detect" / "config.pbtxt").read_text()
    assert 'name: "detect"\nbackend: "onnxruntime"\nmax_batch_size: 32\n' in text
    assert '  name: "image"\n  data_type: TYPE_UINT8\n  dims: [ 48, 64, 3 ]\n' in text
    assert '  name: "detect.classes"\n  data_type: TYPE_INT64\n' in text
    model = out / "detect" / "7" / "model.onnx"
    assert read_manifest(model).version == "7"
    names = {node.name for node in ort.InferenceSession(model.read_bytes()).get_outputs()}
    assert all(f'"{name}"' in text for name in names)


def test_a_version_that_is_no_number_is_the_first(tmp_path: Path) -> None:
    out = export_triton(make_package(tmp_path / "p", "classify", version="v2-rc"), tmp_path / "r")
    assert (out / "classify" / "1" / "model.onnx").is_file()


def test_only_a_repository_of_ours_is_replaced(tmp_path: Path) -> None:
    package = make_package(tmp_path / "p", "classify")
    export_triton(package, tmp_path / "r")
    with pytest.raises(UsageError, match="already exists"):
        export_triton(package, tmp_path / "r")
    export_triton(package, tmp_path / "r", replace=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="not replaced"):
        export_triton(package, tmp_path / "mine", replace=True)
    bad = make_package(tmp_path / "b", "classify", name="a b")
    with pytest.raises(UsageError, match="makes no folder"):
        export_triton(bad, tmp_path / "s")


def test_the_command_takes_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = make_package(tmp_path / "p", "classify")
    with pytest.raises(SystemExit) as done:
        main(["export", str(package), "--to", "triton", "--out", str(tmp_path / "r")])
    assert done.value.code in (0, None)
    assert (tmp_path / "r" / "classify" / "config.pbtxt").is_file()
    assert "config.pbtxt" in capsys.readouterr().out


@pytest.mark.slow
def test_the_configuration_is_tritons_own_by_its_schema(tmp_path: Path) -> None:
    python = os.environ.get("SIGHTLINE_TRITON_PYTHON")
    if not python:
        pytest.skip("SIGHTLINE_TRITON_PYTHON names no interpreter with tritonclient")
    for task in ("detect", "segment"):
        out = export_triton(make_package(tmp_path / task, task), tmp_path / f"r-{task}")
        command = [python, "-c", PARSE, str(out / task / "config.pbtxt")]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert told.startswith(f"{task} 32 [('image', 2, [48, 64, 3])]") and told.endswith(" 2000\n")
