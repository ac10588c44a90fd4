"""What is kept when a training breaks: the batch, and which tensor broke first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.errors import TrainingFailed
from sightline.core.files import write_json
from sightline.models.base import Batch, Model
from sightline.train.checkpoint import State, save_tensors

FAILED = "failed"


class NotFinite(Exception):
    """A loss or a gradient that is not a number; turned into TrainingFailed with its evidence."""

    def __init__(self, place: str, terms: dict[str, float], batch: Batch) -> None:
        super().__init__(place)
        self.place, self.terms, self.batch = place, terms, batch


def is_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def captured(folder: Path, model: Model, error: NotFinite, state: State, optimizer: Any) -> TrainingFailed:
    """Write the batch and the cause to `failed/`; returns the error to raise."""
    place = first_broken(model, error.batch) if error.place == "loss" else error.place
    out = folder / FAILED
    tensors = {f"input.{name}": value for name, value in error.batch.inputs.items()}
    for row, target in enumerate(error.batch.targets):
        tensors |= {f"target.{row}.{name}": value for name, value in target.items()}
    save_tensors(out / "batch.safetensors", tensors)
    rate = max(group["lr"] for group in optimizer.param_groups)
    terms = {name: repr(value) for name, value in error.terms.items()}
    indices = error.batch.indices.tolist()
    write_json(
        out / "cause.json",
        {
            "epoch": state.epoch,
            "step": state.step,
            "lr": rate,
            "terms": terms,
            "broken": place,
            "indices": indices,
        },
    )
    listed = ", ".join(f"{name} {value}" for name, value in terms.items())
    return TrainingFailed(
        f"the {'loss' if error.place == 'loss' else 'gradient'} is not a number ({listed}); "
        f"first broken: {place}; learning rate {rate:g}; the batch is kept in {out}",
        where=f"epoch {state.epoch + 1}, step {state.step}",
        remedy="lower the learning rate, clip gradients, or look at the labels of that batch",
    )


@torch.no_grad()
def first_broken(model: Model, batch: Batch) -> str:
    """The first parameter, else the first layer's output, else the loss, that is not finite."""
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return f"parameter {name}"
    broken: list[str] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not broken and not bool(torch.isfinite(output).all()):
                broken.append(f"output of {name} ({type(module).__name__})")

        return hook

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if name and not list(module.children())
    ]
    try:
        terms = model.losses(batch)
    finally:
        for handle in handles:
            handle.remove()
    if broken:
        return broken[0]
    bad = [name for name, value in terms.items() if not bool(torch.isfinite(value).all())]
    return f"loss term {bad[0]}" if bad else "not reproduced in f32: the autocast precision overflowed"


def blame(model: Model) -> str:
    """The first parameter whose gradient is not finite."""
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            return f"gradient of {name}"
    return "the norm of all gradients, though each is finite"
