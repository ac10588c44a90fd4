from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from sightline.core.errors import WeightsError
from sightline.models import weights
from sightline.models.base import Model
from sightline.models.catalogue import build
from sightline.models.weights import load_weights

NAME = "test_resnet"


def model(classes: int = 3, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return build(NAME, classes=[f"c{i}" for i in range(classes)])


def test_none_leaves_the_model_as_it_is() -> None:
    fresh = model()
    before = {k: v.clone() for k, v in fresh.state_dict().items()}
    assert load_weights(fresh, "none").loaded == ()
    assert all(torch.equal(before[k], v) for k, v in fresh.state_dict().items())


def test_a_safetensors_file_fills_every_tensor(tmp_path: Path) -> None:
    first, second = model(seed=1), model(seed=2)
    save_file(first.state_dict(), tmp_path / "w.safetensors")
    result = load_weights(second, tmp_path / "w.safetensors")
    assert set(result.loaded) == set(second.state_dict())
    assert not result.reinitialised and not result.unused
    assert all(torch.equal(first.state_dict()[k], v) for k, v in second.state_dict().items())


def test_a_head_for_other_classes_is_named_and_stays_random(tmp_path: Path) -> None:
    save_file(model(5).state_dict(), tmp_path / "w.safetensors")
    other = model(3, seed=2)
    before = other.state_dict()["head.weight"].clone()
    result = load_weights(other, tmp_path / "w.safetensors")
    assert result.reinitialised == {
        "head.weight": f"5x{before.shape[1]} in the source, 3x{before.shape[1]} here",
        "head.bias": "5 in the source, 3 here",
    }
    assert set(result.unused) == {"head.weight", "head.bias"}
    assert torch.equal(before, other.state_dict()["head.weight"])
    assert "2 start at random (head.weight: 5x" in str(result)


def test_a_pth_is_converted_once_and_the_copy_is_used_while_it_matches(tmp_path: Path) -> None:
    source = model(seed=1)
    path = tmp_path / "w.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, path)
    result = load_weights(model(seed=2), path)
    assert not result.reinitialised and "converted once to w.pth.safetensors" in str(result)
    assert len(load_file(tmp_path / "w.pth.safetensors")) == len(source.state_dict())
    assert load_weights(model(seed=2), path).notes == ()
    torch.save(model(5).state_dict(), path)
    assert "head.bias" in dict(load_weights(model(), path).reinitialised or {})


def test_a_backbone_file_as_timm_names_it_fills_the_backbone(tmp_path: Path) -> None:
    foreign = timm.create_model(NAME, num_classes=7)
    save_file(foreign.state_dict(), tmp_path / "timm.safetensors")
    ours = model()
    result = load_weights(ours, tmp_path / "timm.safetensors")
    assert set(result.reinitialised or {}) == {"head.weight", "head.bias"}
    assert all(name.startswith(("fc.", "head.")) for name in result.unused)


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("unpickled",))


def test_a_checkpoint_that_runs_code_is_refused_unrun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"a": torch.ones(1)}, "evil": Evil()}, path)
    with pytest.raises(WeightsError, match="holds more than tensors"):
        load_weights(model(), path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError):
        load_weights(model(), path)
    assert "unpickled" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_cut_short_is_an_error_that_says_so(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(model().state_dict(), path)
    else:
        save_file(model().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match=r"cut short|no checkpoint"):
        load_weights(model(), path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.with_name("absent.pth"), "no such file"),
        (lambda p: p.with_suffix(".h5"), "kind '.h5' are not read"),
        (lambda p: p.parent, "is no run: it holds no best.safetensors"),
    ],
)
def test_what_is_no_weights_file_is_refused(tmp_path: Path, make: Any, words: str) -> None:
    (tmp_path / "w.h5").write_bytes(b"x")
    with pytest.raises(WeightsError, match=words):
        load_weights(model(), make(tmp_path / "w"))


def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": 1}}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no tensors by name"):
        load_weights(model(), tmp_path / "w.pth")


def test_weights_of_another_network_are_refused_with_both_names(tmp_path: Path) -> None:
    save_file({"encoder.layer": torch.ones(3)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"not one of its 1 tensors fits.*encoder\.layer"):
        load_weights(model(), tmp_path / "w.safetensors")


def test_a_run_folder_gives_its_best_weights_and_says_if_classes_differ(tmp_path: Path) -> None:
    source = build(NAME, classes=("x", "y", "z"))
    header = {"signature": json.dumps(source.signature.to_json())}
    save_file(source.state_dict(), tmp_path / "best.safetensors", metadata=header)
    result = load_weights(model(), tmp_path)
    assert len(result.loaded) == len(model().state_dict())
    assert "classes were x, y, z" in str(result)


def test_imagenet_weights_fill_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    published = timm.create_model(NAME, num_classes=0)
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: published)
    ours = model(seed=3)
    result = load_weights(ours, "imagenet")
    assert set(result.reinitialised or {}) == {"head.weight", "head.bias"}
    assert torch.equal(ours.state_dict()["net.net.conv1.0.weight"], published.state_dict()["conv1.0.weight"])


def test_a_host_without_an_address_fails_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "https://host.invalid")
    monkeypatch.setattr(weights, "getproxies", dict)
    with pytest.raises(WeightsError, match=r"could not be downloaded.*weights: none"):
        load_weights(model(), "imagenet")
    assert not constants.HF_HUB_OFFLINE


def test_a_network_failure_says_so_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model()

    def fails(*_: object, **__: object) -> None:
        raise ConnectionError("name resolution failed")

    monkeypatch.setattr(timm, "create_model", fails)
    with pytest.raises(WeightsError, match=r"could not be downloaded.*name resolution.*weights: none"):
        load_weights(ours, "imagenet")


@pytest.mark.parametrize("value", ["not json", "3", "[1]", '{"classes": 3}', "{}"])
def test_metadata_of_other_writers_does_no_harm(tmp_path: Path, value: str) -> None:
    save_file(model().state_dict(), tmp_path / "w.safetensors", metadata={"signature": value})
    assert load_weights(model(), tmp_path / "w.safetensors").notes == ()
