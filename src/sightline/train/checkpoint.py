"""The whole state of a training as safetensors and JSON: never pickled, never half there.

`state.json` is replaced last and names the tensor file that belongs to it, so that whatever kills the
process, and whenever, the folder holds one complete state.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sightline.core.errors import StorageError, WeightsError
from sightline.core.files import write_json, written_whole
from sightline.models.base import Model

STATE = "state.json"
Tensors = dict[str, Tensor]


@dataclass(slots=True)
class State:
    """Where a training stands, always between two optimiser steps.

    Attributes:
        epoch: the epoch under way, 0-based.
        at: optimiser steps done in it.
        step: optimiser steps done in all.
        pieces: parts every micro-batch is cut into (doubled when memory runs out).
        best: the best value of the monitored metric, None before the first validation.
        best_loss: the validation loss that came with it; it decides where the metric ties.
        best_epoch: the epoch that gave it.
        stale: validations since.
        stopped: the patience ran out.
        sums: running sums of this epoch's loss terms.
        seconds: wall time trained so far.
        order: (length, 2) index and repeat of this epoch's elements.
        losses: (N,) last loss of each element, NaN where not seen.
    """

    epoch: int = 0
    at: int = 0
    step: int = 0
    pieces: int = 1
    best: float | None = None
    best_loss: float = 0.0
    best_epoch: int = -1
    stale: int = 0
    stopped: bool = False
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    order: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    losses: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


def save_state(
    folder: Path, state: State, model: Model, optimizer: Any, ema: Tensors | None, extra: dict[str, Any]
) -> None:
    """Write everything a training needs to go on, and drop the state before it.

    Args:
        folder: `last/` of the run.
        state: where it stands.
        model: its weights and buffers.
        optimizer: its moments, by parameter name.
        ema: averaged weights, if any.
        extra: further plain values (the gradient scaler).
    """
    values = asdict(state)
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in (ema or {}).items()}
    moments, plain = _moments(model, optimizer)
    tensors |= moments
    tensors["order"] = torch.from_numpy(values.pop("order"))
    tensors["losses"] = torch.from_numpy(values.pop("losses"))
    name = f"state-{state.epoch:05d}-{state.at:06d}.safetensors"
    save_tensors(folder / name, tensors)
    write_json(folder / STATE, {"file": name, "state": values, "optimizer": plain, "extra": extra})
    for old in folder.iterdir():
        if old.name not in (name, STATE):
            with suppress(OSError):
                old.unlink()


def save_tensors(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    """Write tensors whole; those that share memory are written once each.

    Raises:
        StorageError: the disk is full, read-only, or access is denied.
    """
    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    seen: set[int] = set()
    for name, value in ready.items():
        if value.numel() and value.data_ptr() in seen:
            ready[name] = value.clone()
        seen.add(value.data_ptr())
    with written_whole(path) as part:
        try:
            save_file(ready, part, metadata=metadata)
        except SafetensorError as error:  # of a full disk it says no errno
            raise StorageError(
                f"cannot be written ({error})", where=path, remedy="make room and run it again"
            ) from error


def read_tensors(path: Path) -> Tensors:
    """Tensors of a safetensors file.

    Raises:
        WeightsError: absent, cut short, or not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"cannot be read as safetensors ({error})", where=path, remedy="start again without --resume"
        ) from error


def load_state(
    folder: Path, model: Model, optimizer: Any, ema: Tensors | None
) -> tuple[State, dict[str, Any]] | None:
    """Put a saved state back in place; None where there is none yet.

    Returns:
        The state and the extra values given to `save_state`.

    Raises:
        WeightsError: the state is damaged or belongs to another model.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        tensors = read_tensors(folder / values["file"])
        state = State(**values["state"], order=tensors["order"].numpy(), losses=tensors["losses"].numpy())
        _fill(model.state_dict(), tensors, "model.")
        if ema is not None:
            _fill(ema, tensors, "ema.")
        _restore(model, optimizer, tensors, values["optimizer"])
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"is no whole state ({error!r})", where=path) from error
    return state, values["extra"]


def _fill(target: Tensors, source: Tensors, prefix: str) -> None:
    """Copy in place, which keeps each tensor's device and memory layout."""
    for name, value in target.items():
        value.copy_(source[prefix + name])


def _moments(model: Model, optimizer: Any) -> tuple[Tensors, dict[str, Any]]:
    """The optimiser's state by parameter name: tensors, and plain values."""
    tensors: Tensors = {}
    plain: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{key}.{name}"] = value
            else:
                plain[f"{key}.{name}"] = value
    return tensors, plain


def _restore(model: Model, optimizer: Any, tensors: Tensors, plain: dict[str, Any]) -> None:
    """Moments take the layout of their parameter, so that sums over them come out to the bit."""
    named = dict(model.named_parameters())
    for path, value in tensors.items():
        if path.startswith("optimizer."):
            key, name = path.removeprefix("optimizer.").split(".", 1)
            like = named[name]
            held = torch.empty_like(like).copy_(value) if value.shape == like.shape else value.clone()
            optimizer.state[like][key] = held.detach() if value.ndim else value.clone()
    for path, value in plain.items():
        key, name = path.split(".", 1)
        optimizer.state[named[name]][key] = value
