from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from contracts.made import made_batch
from contracts.model_contract import ModelContract, Trained, assert_agrees, export
from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec
from sightline.models.catalogue import build


class TestYolo(ModelContract):
    name = "yolo-n"
    steps = 80

    def test_openvino_agrees_at_batch_one_and_eight(self, trained: Trained, tmp_path: Path) -> None:
        openvino = pytest.importorskip("openvino")
        export(trained.model, {"image": trained.batch.inputs["image"][:2]}, tmp_path / "model.onnx")
        precision = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(tmp_path / "model.onnx", "CPU", precision)
        for count in (1, 8):
            pictures = trained.batch.inputs["image"][:count]
            with torch.inference_mode():
                ours = {name: value.numpy() for name, value in trained.model({"image": pictures}).items()}
            theirs = dict(zip(ours, compiled(pictures.numpy()).to_tuple(), strict=True))
            assert (ours["detect.scores"] > 0.5).any()
            for name in ours:
                assert_agrees(name, ours, theirs)


def test_the_family_has_the_parameters_its_page_tells() -> None:
    counts = {}
    for size in "nsml":
        with torch.device("meta"):
            model = build(f"yolo-{size}", classes=[str(i) for i in range(80)])
        counts[size] = round(sum(p.numel() for p in model.parameters()) / 1e6, 2)
    assert counts == {"n": 2.1, "s": 5.46, "m": 21.64, "l": 47.3}


def test_points_in_a_crowd_region_teach_no_class() -> None:
    torch.manual_seed(0)
    model = build("yolo-n", classes=("a",), inputs={"image": InputSpec((96, 64))}).eval()
    batch = made_batch(model.signature, 1)
    none = {k: batch.targets[0][k][:0] for k in ("boxes", "labels", "crowd")}
    everywhere = {
        "boxes": torch.tensor([[0.0, 0.0, 96.0, 64.0]]),
        "labels": torch.tensor([0]),
        "crowd": torch.tensor([True]),
    }
    empty = model.losses(replace(batch, targets=[none]))
    crowd = model.losses(replace(batch, targets=[everywhere]))
    assert empty["class"] > 0
    assert crowd["class"] == 0 and crowd["box"] == 0


def test_two_inputs_and_other_tasks_are_refused() -> None:
    with pytest.raises(ModelError, match="one input"):
        build("yolo-n", classes=("a",), inputs={"a": InputSpec((64, 64)), "b": InputSpec((64, 64))})
    with pytest.raises(ModelError, match="answers detect"):
        build("yolo-n", tasks=("segment",), classes=("a",))
    with pytest.raises(ModelError, match="at least 1 classes"):
        build("yolo-n")
