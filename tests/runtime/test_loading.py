"""Loading packages: what is whole opens, what is not is refused with a reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export.tiny_models import TinyModel
from sightline.core.errors import PackageError, UsageError
from sightline.core.manifest import Manifest
from sightline.core.onnx_file import append_metadata, split_metadata
from sightline.core.predictor import Predictor
from sightline.core.results import same
from sightline.core.specs import InputSpec
from sightline.export.writing import package_model
from sightline.runtime.coarse_to_fine import CoarseToFine
from sightline.runtime.following import Track
from sightline.runtime.loading import load, load_stage, read_manifest

PICTURE = {"image": np.random.default_rng(0).integers(0, 256, (40, 70, 3)).astype(np.uint8)}


@pytest.fixture
def package(packages: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(packages["detect"], tmp_path / "package"))


def edit(package: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = package / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_the_file_alone_answers_as_its_folder_does(package: Path) -> None:
    folder, alone = load(package, threads=1), load(package / "model.onnx", threads=1)
    a, b = folder.predict([PICTURE])[0], alone.predict([PICTURE])[0]
    assert same(a["detect"], b["detect"])
    assert alone.signature == folder.signature
    assert read_manifest(package / "model.onnx").name == read_manifest(package).name


def test_a_changed_byte_is_noticed(package: Path) -> None:
    model = package / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 3] ^= 1
    model.write_bytes(data)
    with pytest.raises(PackageError, match="hash"):
        load(package)
    with pytest.raises(PackageError):
        load(model)


def test_a_file_cut_short_is_refused(package: Path) -> None:
    model = package / "model.onnx"
    data = model.read_bytes()
    for length in (0, 1, 100, len(data) - 1):
        model.write_bytes(data[:length])
        with pytest.raises(PackageError):
            load(package)
        with pytest.raises(PackageError):
            load(model)


def test_a_file_without_a_manifest_says_so(package: Path) -> None:
    model = package / "model.onnx"
    model.write_bytes(split_metadata(model.read_bytes())[0])
    with pytest.raises(PackageError, match="carries no sightline manifest"):
        load(model)


def test_a_newer_format_asks_for_an_update(package: Path) -> None:
    edit(package, lambda value: value.update(format=99))
    with pytest.raises(PackageError, match="update sightline"):
        load(package)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/hostname", "a/../../x.onnx"])
def test_a_file_outside_the_package_is_refused(package: Path, name: str) -> None:
    (package.parent / "model.onnx").write_bytes((package / "model.onnx").read_bytes())
    edit(package, lambda value: value["stages"]["model"].update(file=name))
    with pytest.raises(PackageError, match="outside"):
        load(package)


def test_a_link_that_leaves_the_package_is_refused(package: Path) -> None:
    away = package.parent / "away.onnx"
    (package / "model.onnx").rename(away)
    (package / "model.onnx").symlink_to(away)
    with pytest.raises(PackageError, match="outside"):
        load(package)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.pop("stages"),
        lambda v: v["stages"]["model"].pop("signature"),
        lambda v: v["stages"]["model"]["signature"].update(tasks=["fly"]),
        lambda v: v["stages"]["model"]["signature"]["inputs"]["image"].update(size_wh=["a", "b"]),
        lambda v: v["stages"]["model"].update(surprise=1),
        lambda v: v.update(stages=[]),
        lambda v: v.update(stages={}),
        lambda v: v.update(format="1"),
    ],
)
def test_a_manifest_that_is_not_whole_is_refused(
    package: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit(package, change)
    with pytest.raises(PackageError):
        load(package)


def test_a_manifest_that_disagrees_with_its_graph_is_refused(package: Path) -> None:
    inputs = "signature", "inputs"
    edit(package, lambda v: v["stages"]["model"][inputs[0]][inputs[1]]["image"].update(size_wh=[99, 99]))
    with pytest.raises(PackageError, match="its manifest says"):
        load(package)


def test_folders_that_are_no_package_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(PackageError):
            load(place)
    (tmp_path / "manifest.json").write_text("{not json")
    with pytest.raises(PackageError, match=r"manifest\.json"):
        load(tmp_path)


def test_an_unknown_runtime_is_named_with_the_known_ones(package: Path) -> None:
    with pytest.raises(UsageError, match="onnx, openvino"):
        load(package, runtime="abacus")


def test_a_package_of_several_stages_asks_which(package: Path) -> None:
    edit(package, lambda v: v["stages"].update(second=v["stages"]["model"]))
    with pytest.raises(UsageError, match="model, second"):
        load(package)
    assert load(package, stage="second", threads=1).predict([PICTURE])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.booleans())
def test_damage_anywhere_gives_a_package_error_or_the_same_model(
    package: Path, at: int, value: int, cut: bool
) -> None:
    data = bytearray((package / "model.onnx").read_bytes())
    at %= len(data)
    data[at] = value
    damaged = package.parent / "damaged.onnx"
    damaged.write_bytes(data[:at] if cut else data)
    try:
        predictor = load(damaged, threads=1)
    except (PackageError, UsageError):
        return
    assert len(predictor.predict([PICTURE])) == 1


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=4))
def test_metadata_goes_in_and_comes_out(metadata: dict[str, str]) -> None:
    body = b"\x08\x0a"  # ir_version 10
    assert split_metadata(append_metadata(body, metadata)) == (body, metadata)


def test_loading_and_predicting_never_imports_torch(package: Path) -> None:
    code = (
        "import sys, numpy as np; from sightline.runtime import load; "
        f"load({str(package)!r}).predict([{{'image': np.zeros((9, 9, 3), np.uint8)}}]); "
        "print([m for m in ('torch', 'pyarrow', 'pandas', 'matplotlib', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def two_stages(folder: Path, pipeline: dict[str, Any]) -> Path:
    """A package of two tiny locators, one of whole frames and one of windows, beside their manifest."""
    specs = {"coarse": InputSpec((64, 48), frames=1), "fine": InputSpec((64, 48), fit="native")}
    stages = {}
    for name, spec in specs.items():
        single = package_model(TinyModel("locate", spec, classes=("head",)).eval(), folder.parent / name)
        shutil.copy(single / "model.onnx", folder / f"{name}.onnx")
        stages[name] = replace(read_manifest(single).stages["model"], file=f"{name}.onnx")
    Manifest("two", "1", stages, pipeline=pipeline).write(folder)
    return folder


@pytest.mark.parametrize("runtime", [None, "onnx"])
def test_a_package_of_two_stages_loads_as_one_predictor(tmp_path: Path, runtime: str | None) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    how = {"kind": "coarse-to-fine", "coarse": "coarse", "fine": "fine", "settings": {"lag": 1}}
    loaded = load(two_stages(folder, how), threads=1, runtime=runtime)
    assert isinstance(loaded, CoarseToFine)
    assert loaded.mode == Track(lag=1)
    clip = {"clip": PICTURE["image"]}
    alone = loaded.predict([clip])[0]["locate"]
    with loaded.with_mode("each").open_stream() as stream:
        assert same(stream.push(clip)["locate"], alone)
    coarse = load(folder, stage="coarse", runtime=runtime, threads=1)
    assert isinstance(coarse, Predictor)
    with pytest.raises(UsageError, match="coarse, fine"):
        load_stage(folder)


def test_a_pipeline_of_a_stage_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    how = {"kind": "coarse-to-fine", "coarse": "coarse", "fine": ["fine", "finer"]}
    with pytest.raises(PackageError, match="'finer'"):
        load(two_stages(folder, how))


def test_stages_that_nothing_joins_must_be_named(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    with pytest.raises(UsageError, match="name one"):
        load(two_stages(folder, {}))
