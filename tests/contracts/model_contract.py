"""What every architecture must do. A model's test class inherits `ModelContract` and names the model.

    from contracts.model_contract import ModelContract

    class TestMine(ModelContract):
        name = "mine"
        tasks = ("segment",)

A plug-in that is not declared as an entry point overrides `build` instead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from contracts.made import made_batch, score, without_marks
from sightline.core.results import RESULT_TYPES, same
from sightline.core.specs import TASK_OUTPUTS, InputSpec, Task
from sightline.models.base import Batch, Model, Tensors
from sightline.models.catalogue import build
from sightline.models.predictor import torch_predictor

Arrays = dict[str, np.ndarray[Any, Any]]
KINDS = {"f32": torch.float32, "i64": torch.int64, "u8": torch.uint8}


@dataclass
class Trained:
    """A model after the short training of the contract, in evaluation mode."""

    model: Model
    batch: Batch
    history: list[float]


def total(terms: Tensors) -> Tensor:
    """What training minimises: the sum of the terms."""
    return sum((v for k, v in terms.items() if k != "per_example"), torch.zeros(()))


@contextmanager
def frozen_chance() -> Iterator[None]:
    """The same dropout and sampling in every block that is entered."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Small tensors are quicker on one thread, above all where other processes want the rest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Positional(nn.Module):
    """A model with its inputs as positional arguments and its answers as a tuple, for the exporter."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(dict(zip(self.model.signature.inputs, tensors, strict=True))).values())


def export(model: Model, inputs: Tensors, path: Path) -> None:
    """Write ONNX with a free batch axis, everything in one file."""
    names = tuple(model.signature.inputs)
    with torch.inference_mode():
        outputs = list(model(inputs))
    torch.onnx.export(
        Positional(model).eval(),
        tuple(inputs[name] for name in names),
        str(path),
        input_names=list(names),
        output_names=outputs,
        dynamo=True,
        dynamic_shapes=(tuple({0: torch.export.Dim("batch", min=1, max=64)} for _ in names),),
        external_data=False,
        verbose=False,
    )


class ModelContract:
    """Inherited tests; attributes say which model and how much of it.

    Attributes:
        name: the model's name.
        tasks: what it is asked to answer; None takes its own.
        classes: of the made pictures. Class 0 is the ground where the model has `segment` or stuff.
        options: of the architecture, chosen small.
        size_wh: size of the training pictures.
        other_sizes: further sizes it must take; not square.
        steps, rate: length and rate of the short training (Adam).
        fall: last loss over first loss must be under this.
        bars: score (0..1, see `made.score`) that each task must reach on the ten training pictures.
        published: parameters as published in (millions, decimals given), or None, of the model that
            `published_model` builds.
        unused: prefixes of parameters that may stay without a gradient.
    """

    name: ClassVar[str] = ""
    tasks: ClassVar[tuple[Task, ...] | None] = None
    classes: ClassVar[tuple[str, ...]] = ("ground", "ball", "post")
    options: ClassVar[dict[str, Any]] = {}
    size_wh: ClassVar[tuple[int, int]] = (64, 48)
    other_sizes: ClassVar[tuple[tuple[int, int], ...]] = ((96, 64), (70, 50))
    steps: ClassVar[int] = 60
    rate: ClassVar[float] = 2e-3
    fall: ClassVar[float] = 0.5
    bars: ClassVar[dict[str, float]] = {}
    bar: ClassVar[float] = 0.9
    published: ClassVar[tuple[float, int] | None] = None
    unused: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def build(cls, size_wh: tuple[int, int]) -> Model:
        """The model under test at an input size, from one seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            specs = cls.specs(size_wh)
            return build(cls.name, cls.tasks, cls.classes, specs, **cls.options)

    @classmethod
    def specs(cls, size_wh: tuple[int, int]) -> dict[str, InputSpec]:
        """The model's own inputs, at a size."""
        own = build(cls.name, cls.tasks, cls.classes, **cls.options).signature.inputs
        return {name: replace(spec, size_wh=size_wh) for name, spec in own.items()}

    @classmethod
    def published_model(cls) -> Model:
        """The model whose parameters are counted."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls) -> Trained:
        """One short training for all tests of the class that need a model with opinions."""
        model = cls.build(cls.size_wh).train()
        batch = made_batch(model.signature, 10)
        optimizer = torch.optim.Adam(model.parameters(), lr=cls.rate)
        history = []
        with frozen_chance(), one_thread():
            for step in range(cls.steps):
                for group in optimizer.param_groups:
                    group["lr"] = cls.rate * min(1.0, 2 * (1 - step / cls.steps))
                loss = total(model.losses(batch))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
                history.append(loss.item())
        return Trained(model.eval(), batch, history)

    def test_any_batch_and_size_decodes_to_the_promised_tensors(self) -> None:
        for size_wh in (self.size_wh, *self.other_sizes):
            model = self.build(size_wh).eval()
            for count in (1, 3):
                batch = made_batch(model.signature, count)
                with torch.inference_mode():
                    outputs = model(batch.inputs)
                names = [name for name in outputs if name != "embedding"]
                assert names == list(model.signature.outputs)
                check_shapes(model, outputs, count, size_wh)

    def test_results_are_in_the_pixels_of_the_source(self, trained: Trained) -> None:
        predictor = torch_predictor(trained.model)
        elements = [odd_source(trained.model.signature.inputs, seed) for seed in range(3)]
        answers = predictor.predict(elements)
        for element, answer in zip(elements, answers, strict=True):
            shape_hw = source_hw(next(iter(element.values())))
            assert set(answer) == set(trained.model.signature.tasks)
            for task, result in answer.items():
                assert isinstance(result, RESULT_TYPES[task])  # type: ignore[arg-type]
                for dense in ("segments", "metres"):
                    if hasattr(result, dense):
                        assert getattr(result, dense).shape == shape_hw

    def test_loss_is_finite_and_teaches_every_parameter(self) -> None:
        model = self.build(self.size_wh).train()
        batch = made_batch(model.signature, 4)
        terms = model.losses(batch)
        assert all(torch.isfinite(value).all() for value in terms.values())
        assert all(value.ndim == 0 for name, value in terms.items() if name != "per_example")
        if "per_example" in terms:
            assert terms["per_example"].shape == (4,)
            assert not terms["per_example"].requires_grad
        total(terms).backward()
        idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert [name for name in idle if not name.startswith(self.unused or ("\0",))] == []

    def test_losses_are_finite_in_bf16(self) -> None:
        model = self.build(self.size_wh).train()
        batch = made_batch(model.signature, 2)
        with torch.autocast("cpu", torch.bfloat16):
            terms = model.losses(batch)
        assert all(torch.isfinite(value).all() for value in terms.values())
        total(terms).backward()

    def test_overfits_ten_pictures(self, trained: Trained) -> None:
        assert np.isfinite(trained.history).all()
        assert trained.history[-1] < self.fall * trained.history[0]
        with torch.inference_mode():
            outputs = trained.model(trained.batch.inputs)
        reached = {task: score(task, outputs, trained.batch) for task in trained.model.signature.tasks}
        assert {t: s for t, s in reached.items() if s < self.bars.get(t, self.bar)} == {}

    def test_an_element_of_weight_zero_counts_nothing(self) -> None:
        model = self.build(self.size_wh).train()
        batch = made_batch(model.signature, 4)
        batch.weights = torch.tensor([1.0, 1.0, 1.0, 0.0])
        other = replace(batch, targets=[*batch.targets[:3], batch.targets[0]])
        with frozen_chance():
            first = total(model.losses(batch))
        with frozen_chance():
            second = total(model.losses(other))
        assert first.item() == pytest.approx(second.item(), rel=1e-4)

    def test_class_weights_change_the_loss(self) -> None:
        if not self.classes:
            pytest.skip("a model without classes")
        model = self.build(self.size_wh).train()
        batch = made_batch(model.signature, 4)
        with frozen_chance():
            before = total(model.losses(batch))
        model.class_weights.copy_(torch.linspace(0.2, 3.0, len(self.classes)))
        with frozen_chance():
            after = total(model.losses(batch))
        assert torch.isfinite(after)
        assert abs(after.item() - before.item()) > 1e-4 * abs(before.item())

    def test_pictures_without_a_mark_give_a_finite_loss(self) -> None:
        model = self.build(self.size_wh).train()
        batch = without_marks(made_batch(model.signature, 3))
        loss = total(model.losses(batch))
        assert torch.isfinite(loss)
        if loss.requires_grad:
            loss.backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(torch.isfinite(grad).all() for grad in grads)

    def test_saved_weights_give_the_same_answers(self, trained: Trained, tmp_path: Path) -> None:
        save_file(
            {k: v.contiguous() for k, v in trained.model.state_dict().items()}, tmp_path / "w.safetensors"
        )
        copy = self.build(self.size_wh).eval()
        copy.load_state_dict(load_file(tmp_path / "w.safetensors"))
        with torch.inference_mode():
            before, after = trained.model(trained.batch.inputs), copy(trained.batch.inputs)
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_two_threads_get_what_one_gets(self, trained: Trained) -> None:
        predictor = torch_predictor(trained.model)
        element = odd_source(trained.model.signature.inputs, 1)
        alone = predictor.predict([element])[0]
        found: list[Any] = [None, None]

        def answer(place: int) -> None:
            found[place] = predictor.predict([element])[0]

        threads = [threading.Thread(target=answer, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for other in found:
            assert all(same(alone[task], other[task]) for task in alone)

    @pytest.fixture(scope="class")
    @classmethod
    def exported(cls, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The trained model as one ONNX file."""
        path = tmp_path_factory.mktemp("exported") / "model.onnx"
        export(trained.model, {name: value[:2] for name, value in trained.batch.inputs.items()}, path)
        return path

    def test_exported_graph_agrees_at_batch_one_and_three(self, trained: Trained, exported: Path) -> None:
        session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        for part, ours in answers_by_batch(trained, (1, 3)):
            theirs = dict(zip(names, session.run(None, part), strict=True))
            assert list(theirs) == list(ours)
            for name in ours:
                assert theirs[name].dtype == ours[name].dtype, name
                assert_agrees(name, ours, theirs)

    def test_openvino_agrees_at_batch_one_and_three(self, trained: Trained, exported: Path) -> None:
        openvino = pytest.importorskip("openvino")
        network = openvino.Core().compile_model(str(exported), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        for part, ours in answers_by_batch(trained, (1, 3)):
            found = network.create_infer_request().infer(part)
            for name in ours:
                assert_agrees(name, ours, {name: found[name]})

    def test_parameters_are_as_many_as_published(self) -> None:
        if self.published is None:
            pytest.skip("no published count")
        millions, decimals = self.published
        count = sum(p.numel() for p in self.published_model().parameters()) / 1e6
        assert round(count, decimals) == millions


def answers_by_batch(trained: Trained, counts: tuple[int, ...]) -> Iterator[tuple[Arrays, Arrays]]:
    """Inputs and the model's own answers, as arrays, for the first pictures of the batch."""
    for count in counts:
        part = {name: value[:count] for name, value in trained.batch.inputs.items()}
        with torch.inference_mode():
            ours = {name: value.numpy() for name, value in trained.model(part).items()}
        yield {name: value.numpy() for name, value in part.items()}, ours


def check_shapes(model: Model, outputs: Tensors, count: int, size_wh: tuple[int, int]) -> None:
    """Hold decoded tensors to the words of `specs.TASK_OUTPUTS`."""
    sizes = {"B": count, "H": size_wh[1], "W": size_wh[0], "C": len(model.signature.classes)}
    for task in model.signature.tasks:
        bound = dict(sizes)
        if task == "locate":
            bound["K"] = len(model.signature.classes)
        for name, promise in TASK_OUTPUTS[task].items():
            tensor = outputs[f"{task}.{name}"]
            letters, kind = promise[1:].split(")")[0], promise.split(") ")[1].split()[0].rstrip(",")
            want = [int(w) if w.isdigit() else w for w in letters.split(", ")]
            assert tensor.ndim == len(want), (task, name, tensor.shape)
            for letter, length in zip(want, tensor.shape, strict=True):
                expected = letter if isinstance(letter, int) else bound.setdefault(letter, length)
                assert length == expected, (task, name, tensor.shape)
            assert tensor.dtype == KINDS[kind], (task, name, tensor.dtype)
            assert not tensor.is_floating_point() or torch.isfinite(tensor).all(), (task, name)
    if "embedding" in outputs:
        assert outputs["embedding"].ndim == 2 and outputs["embedding"].dtype == torch.float32


def odd_source(specs: dict[str, InputSpec], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Source pictures of a size that no input has."""
    chance = np.random.default_rng(seed)
    out = {}
    for name, spec in specs.items():
        shape = replace(spec, size_wh=(53 + seed, 91)).shape(1)[1:]
        if spec.pixels == "track":
            out[name] = chance.uniform(1, 50, shape).astype(spec.dtype)
            continue
        top = 5000 if spec.dtype == "uint16" else 256
        out[name] = chance.integers(0, top, shape).astype(spec.dtype)
    return out


def source_hw(picture: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Height and width of a picture, a clip or a depth map."""
    shape = picture.shape[:-1] if picture.shape[-1] == 3 else picture.shape
    return int(shape[-2]), int(shape[-1])


def assert_agrees(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Two answers are one, up to rounding: rows of equal score may trade places."""
    a, b = ours[name], theirs[name]
    assert a.shape == b.shape, name
    scores = ours.get(f"{name.split('.')[0]}.scores")
    if name.split(".")[0] in ("detect", "instances") and a.ndim > 1:
        keep = untied(scores)
        a, b = a[keep], b[keep]
    if a.dtype.kind in "iu":
        assert a.size == 0 or (a == b).mean() >= 0.998, name
    else:
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3, err_msg=name)


def untied(scores: Any) -> Any:
    """Rows (B, K) above 0.05 whose score differs from both neighbours' by more than rounding."""
    gaps = np.abs(np.diff(scores, axis=1)) > 1e-4
    edge = np.ones((len(scores), 1), bool)
    return (scores > 0.05) & np.concatenate([edge, gaps], 1) & np.concatenate([gaps, edge], 1)
