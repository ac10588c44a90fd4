"""Whether an exported graph answers as the model does, at four boundaries and in every runtime.

The boundaries, in the order of the pipeline: pixels as placed, tensors between network and decoding
(raw), decoded tensors, results in the frame. A fault is named by the first boundary that differs, because
everything after it must.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.errors import ParityFailed
from sightline.core.manifest import Stage
from sightline.core.predictor import Predictor
from sightline.core.results import Result
from sightline.core.specs import Signature
from sightline.export.compare import Allowance, Gap, compare_answers, compare_raw, cut_score
from sightline.export.onnx import RAW
from sightline.runtime.loading import resolve
from sightline.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from sightline.models.base import Model

Array = NDArray[Any]
Element = Mapping[str, Array]

# How far two right ways of computing a tensor are apart: a few of the last bits of an f32.
ROUNDING = 1e-6
DRAWS = 4
# What rounding alone changes at worst in those draws is allowed to the file so many times over.
SPARE = 3

BOUNDARIES = ("placed pixels", "raw", "decoded", "results in the frame")


@dataclass(frozen=True, slots=True)
class Check:
    """The widest gap of one quantity, in one runtime at one batch size."""

    boundary: str
    runtime: str
    batch: int
    tensor: str
    gap: Gap

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        value = float(self.gap.value)
        return {
            "boundary": self.boundary,
            "runtime": self.runtime,
            "batch": self.batch,
            "tensor": self.tensor,
            "what": self.gap.what,
            "value": value if np.isfinite(value) else str(value),
            "limit": self.gap.limit,
            "passes": self.gap.passes,
        }


def installed_runtimes() -> tuple[str, ...]:
    """Built-in runtimes whose library is here."""
    return ("onnx", "openvino") if find_spec("openvino") else ("onnx",)


def check_parity(
    model: Model,
    data: bytes,
    stage: Stage,
    elements: Sequence[Element],
    *,
    point_px: float,
    runtimes: Sequence[str] = (),
) -> list[Check]:
    """Compare a model with its traced graph at every boundary, alone and in a batch.

    Args:
        model: the trained model; it is copied and run in f32 on the CPU.
        data: the graph, giving raw tensors too (`onnx.to_onnx`).
        stage: its manifest entry, with every output named.
        elements: source pictures by input name; at least one should not be square.
        point_px: largest distance of two points, pixels.
        runtimes: which; all that are installed unless given.

    Raises:
        ParityFailed: a gap is past its limit; the message names the first boundary.
    """
    checks: list[Check] = []
    for runtime in runtimes or installed_runtimes():
        infer = resolve(runtime)(data, stage, RuntimeOptions())
        # The manifest's signature has been through JSON; the model's has not.
        signature = Signature.from_json(_plain(stage.signature))
        exported = Predictor(signature, infer)
        for batch in sorted({1, len(elements)}):
            gaps = _boundaries(model, exported, elements[:batch], point_px)
            checks += [Check(where, runtime, batch, tensor, gap) for where, tensor, gap in gaps]
    refuse(checks)
    return checks


def refuse(checks: Sequence[Check]) -> None:
    """Raise ParityFailed at the first check, in the order of the boundaries, that does not pass."""
    failed = [check for check in checks if not check.gap.passes]
    if failed:
        first = min(failed, key=lambda check: BOUNDARIES.index(check.boundary))
        raise ParityFailed(
            f"{first.gap.what} is {first.gap.value:.4g}, at most {first.gap.limit:g} is allowed",
            where=f"{first.boundary}: {first.tensor} ({first.runtime}, batch {first.batch})",
            remedy="nothing was written; look at the first operator that feeds this boundary",
        )


def _boundaries(
    model: Model, exported: Predictor, elements: Sequence[Element], point_px: float
) -> Iterator[tuple[str, str, Gap]]:
    """Gaps by boundary and tensor for one batch.

    Each side of the decoding is held to the model's own steps from the same tensors: rounding that
    differs before a suppression may rightly choose another of two boxes that nearly tie, and is not
    the decoding's fault. What such choices cost in all is measured by scoring the file.
    """
    trained = _OnCpu(model, exported.signature)
    placed, where = trained.predictor.place(elements)
    placed_too, _ = exported.place(elements)
    for name, pixels in placed.items():
        differs = pixels.shape != placed_too[name].shape or not np.array_equal(pixels, placed_too[name])
        yield BOUNDARIES[0], name, Gap("placings that differ", float(differs), 0.0)
    raw, found = trained.raw(placed), exported.infer(placed_too)
    for name, tensor in raw.items():
        if f"{RAW}{name}" in found:
            yield BOUNDARIES[1], name, compare_raw(tensor, found[f"{RAW}{name}"])
    taken = {name: found.get(f"{RAW}{name}", tensor) for name, tensor in raw.items()}
    want, *shaken = (trained.decode(t) for t in (taken, *(_rounded(taken, seed) for seed in range(DRAWS))))
    if "embedding" in want and "embedding" in found:
        yield BOUNDARIES[2], "embedding", compare_raw(want["embedding"], found["embedding"])
    signature = exported.signature
    sides = [[assemble(side, i, signature, *at) for i, at in enumerate(where)] for side in (want, *shaken)]
    answers = exported.predict(elements)
    for task in signature.tasks:
        rows = [[_row(side, task, i) for i in range(len(elements))] for side in (want, found, *shaken)]
        cuts = [cut_score(row) for row in rows[0]]
        yield from ((BOUNDARIES[2], task, gap) for gap in _widest(task, rows, cuts, point_px))
        cuts = [max(cut, signature.thresholds.get(task, 0.0)) for cut in cuts]
        framed = [[_fields(answer[task]) for answer in side] for side in (sides[0], answers, *sides[1:])]
        yield from ((BOUNDARIES[3], task, gap) for gap in _widest(task, framed, cuts, point_px))


def _rounded(arrays: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """The tensors as another order of summation might have left them: a few last bits moved."""
    rng = np.random.default_rng(seed)
    return {
        name: (value * (1 + rng.uniform(-ROUNDING, ROUNDING, value.shape))).astype(value.dtype)
        if value.dtype.kind == "f"
        else value
        for name, value in arrays.items()
    }


class _OnCpu:
    """An f32 copy of a model on the CPU, with its two steps apart."""

    def __init__(self, model: Model, signature: Signature) -> None:
        from sightline.models.predictor import torch_predictor

        self._model = copy.deepcopy(model).float().cpu().eval()
        self.predictor = torch_predictor(self._model).with_thresholds(signature.thresholds)

    def raw(self, placed: Mapping[str, Array]) -> dict[str, Array]:
        """Tensors between network and decoding."""
        return self._run(self._model.raw, placed)

    def decode(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        """Decoded tensors."""
        return self._run(self._model.decode, raw)

    @staticmethod
    def _run(step: Callable[[Any], Mapping[str, Any]], arrays: Mapping[str, Array]) -> dict[str, Array]:
        import torch

        with torch.inference_mode():
            tensors = step({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})
        return {name: tensor.numpy() for name, tensor in tensors.items()}


def _widest(task: str, sides: Sequence[Sequence[Any]], cuts: Sequence[float], point_px: float) -> list[Gap]:
    """The widest gap of each quantity over the pictures of a batch.

    `sides` are the model's answers, the file's, and the model's again from tensors rounded otherwise,
    several times.
    What the model's own answers change by rounding (scores of an untrained network all but tie, and a
    suppression then chooses freely) is allowed to the file `SPARE` times over.
    """
    widest: dict[str, Gap] = {}
    for want, found, *shaken, cut in zip(*sides, cuts, strict=True):
        allowed = Allowance(point_px, cut)
        own = zip(*(compare_answers(task, want, other, allowed) for other in shaken), strict=True)
        for gap, free in zip(compare_answers(task, want, found, allowed), own, strict=True):
            gap = replace(gap, limit=gap.limit + SPARE * max(draw.value for draw in free))
            old = widest.get(gap.what)
            if old is None or not gap.value - gap.limit <= old.value - old.limit:
                widest[gap.what] = gap
    return list(widest.values())


def _row(outputs: Mapping[str, Array], task: str, index: int) -> dict[str, Array]:
    prefix = f"{task}."
    return {
        name.removeprefix(prefix): np.asarray(value[index])
        for name, value in outputs.items()
        if name.startswith(prefix)
    }


def _fields(result: Result) -> dict[str, Array]:
    return {name: getattr(result, name) for name in result.__dataclass_fields__ if name != "names"}


def _plain(signature: Signature) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(signature.to_json()))
    return value


def frames(elements: Sequence[Element], signature: Signature) -> list[Element]:
    """The elements, every second one cut to two thirds of its height, so that some are not square."""
    first = next(iter(signature.inputs))
    out: list[Element] = []
    for index, element in enumerate(elements):
        axis = -3 if signature.inputs[first].pixels == "rgb8" else -2
        height, width = element[first].shape[axis], element[first].shape[axis + 1]
        out.append(_cut(element, signature) if index % 2 or height == width else element)
    return out


def _cut(element: Element, signature: Signature) -> Element:
    cut: dict[str, Array] = dict(element)
    for name, spec in signature.inputs.items():
        if spec.pixels == "track":
            continue
        axis = -3 if spec.pixels == "rgb8" else -2
        height = element[name].shape[axis]
        cut[name] = np.take(element[name], range(max(1, height * 2 // 3)), axis=axis)
    return cut
