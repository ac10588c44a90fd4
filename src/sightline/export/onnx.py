"""A model as one ONNX graph, first layer (normalisation) and last (decoding) inside."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec, Signature

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

    from sightline.models.base import Model

RAW = "raw/"
EXAMPLE_BATCH = 2


def to_onnx(model: Model) -> onnx.ModelProto:
    """Trace a model with a free batch axis.

    The graph's inputs are the signature's, uint8 (B, H, W, 3) and their kin; its outputs are the decoded
    tensors `task.field`, then `embedding` where there is one, then the tensors between `raw` and
    `decode`, named `raw/NAME`, so that both sides of the decoding can be compared. `without_raw` takes
    the last away.

    Raises:
        ModelError: the model leaves out an output it owes, or cannot be traced.
    """
    import torch

    traced = copy.deepcopy(model).eval().cpu().float()
    examples = tuple(torch.from_numpy(example(spec)) for spec in traced.signature.inputs.values())
    names = _output_names(traced, examples)
    with _quiet(), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                _flat(traced, names),
                examples,
                dynamo=True,
                external_data=False,
                input_names=list(traced.signature.inputs),
                output_names=list(names),
                dynamic_shapes=(tuple({0: "batch"} for _ in examples),),
                optimize=True,
                verbose=False,
            )
        except (RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                f"cannot be traced to ONNX: {str(error).strip().splitlines()[0]}", where=type(model).__name__
            ) from error
    proto: onnx.ModelProto = program.model_proto
    return proto


def example(spec: InputSpec, batch: int = EXAMPLE_BATCH) -> np.ndarray[Any, Any]:
    """Pixels of an input, seeded: noise, which no layer can answer with a constant."""
    chance = np.random.default_rng(0)
    if spec.pixels == "track":
        return chance.uniform(0, 64, spec.shape(batch)).astype(spec.dtype)
    high = 5000 if spec.pixels == "depth16" else 256
    return chance.integers(0, high, spec.shape(batch)).astype(spec.dtype)


def without_raw(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph giving decoded tensors only."""
    import onnx

    out = onnx.ModelProto()
    out.CopyFrom(proto)
    kept = [value for value in out.graph.output if not value.name.startswith(RAW)]
    del out.graph.output[:]
    out.graph.output.extend(kept)
    return out


def decoded_outputs(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the decoded tensors a graph gives, in order."""
    return tuple(value.name for value in proto.graph.output if not value.name.startswith(RAW))


def _output_names(model: Model, examples: tuple[Tensor, ...]) -> tuple[str, ...]:
    """Names of decoded and raw tensors, from one pass of the model itself."""
    import torch

    signature: Signature = model.signature
    with torch.no_grad():
        raw = model.raw(dict(zip(signature.inputs, examples, strict=True)))
        decoded = model.decode(raw)
    missing = set(signature.outputs) - set(decoded)
    if missing:
        raise ModelError(f"decode leaves out {', '.join(sorted(missing))}", where=type(model).__name__)
    extra = ("embedding",) if "embedding" in decoded else ()
    # A tensor that decode hands on as it is would be one value under two names.
    seen = {id(tensor) for tensor in decoded.values()}
    between = tuple(f"{RAW}{name}" for name, tensor in raw.items() if id(tensor) not in seen)
    return (*signature.outputs, *extra, *between)


def _flat(model: Model, names: tuple[str, ...]) -> nn.Module:
    """The model with positional inputs and a tuple of outputs, as the tracer wants it."""
    from torch import nn

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
            raw = self.model.raw(dict(zip(self.model.signature.inputs, inputs, strict=True)))
            decoded = self.model.decode(raw)
            return tuple(raw[n.removeprefix(RAW)] if n.startswith(RAW) else decoded[n] for n in names)

    return Flat().eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tracer's own chatter out of the terminal; its errors still rise."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
