"""Starting weights: none, ImageNet through timm, a file, or a run. Nothing is unpickled but tensors."""

from __future__ import annotations

import json
import pickle
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sightline.core.errors import ModelError, WeightsError
from sightline.core.files import sha256, written_whole
from sightline.models.backbones import Maps, Pooled
from sightline.models.base import Model

PICKLED = (".pth", ".pt", ".bin", ".ckpt")
# Where the tensors are in checkpoints that hold more, tried in this order.
NESTED = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "params", "net")
# What wrappers put before names.
WRAPPERS = ("", "module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.", "module.model.")
BEST = "best.safetensors"
Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of each tensor.

    Attributes:
        source: where the weights came from.
        loaded: names in the model that were filled.
        reinitialised: name in the model -> why it keeps its random start.
        unused: names in the source that fit nothing.
        notes: remarks on the source as a whole.
    """

    source: str
    loaded: tuple[str, ...] = ()
    reinitialised: Mapping[str, str] | None = None
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        fresh = dict(self.reinitialised or {})
        words = [f"{self.source}: {len(self.loaded)} tensors loaded"]
        if fresh:
            words.append(f"{len(fresh)} start at random ({_some(fresh)})")
        if self.unused:
            words.append(f"{len(self.unused)} of the source unused ({_some(self.unused)})")
        return "; ".join([*words, *self.notes])


def _some(names: Any, most: int = 4) -> str:
    """The first names of many, with what is said of them."""
    shown = [f"{k}: {names[k]}" if isinstance(names, Mapping) and names[k] else str(k) for k in names]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")


def load_weights(model: Model, source: str | Path) -> Loaded:
    """Fill a fresh model from `source`, in place.

    Args:
        model: as `catalogue.build` gave it.
        source: `none`; `imagenet` (timm's weights for the backbone, downloaded); a `.safetensors` file;
            a `.pth`, `.pt`, `.bin` or `.ckpt` file, which is read with `weights_only` and converted to
            safetensors beside itself once; or a run folder, whose `best.safetensors` is taken.

    Returns:
        Which tensors were loaded, kept random or unused. Tensors whose shape differs (a head for other
        classes) keep their random start and are named.

    Raises:
        WeightsError: absent, cut short, of an unknown kind, unsafe, not to be had over the network, or
            without a single tensor that fits.
    """
    if str(source) == "none":
        return Loaded("none")
    if str(source) == "imagenet":
        return _load_imagenet(model)
    path = Path(source)
    weights, meta, notes = read_weights(path)
    result = _fill(model, weights, str(path))
    theirs = _classes(meta)
    if theirs is not None and theirs != model.signature.classes:
        notes = (*notes, f"the source's classes were {', '.join(theirs)}: the head is to be trained again")
    return replace(result, notes=notes)


def _classes(meta: Mapping[str, str]) -> tuple[str, ...] | None:
    """Class names in the signature that a run writes beside its weights; None where there is none."""
    try:
        return tuple(str(name) for name in json.loads(meta["signature"])["classes"])
    except (KeyError, TypeError, ValueError):
        return None


def read_weights(path: Path) -> tuple[Weights, dict[str, str], tuple[str, ...]]:
    """Tensors by name, the file's metadata, and remarks, from a file or a run folder.

    Raises:
        WeightsError: as `load_weights`.
    """
    if path.is_dir():
        if not (path / BEST).is_file():
            raise WeightsError(f"is no run: it holds no {BEST}", where=path)
        path = path / BEST
    if not path.is_file():
        raise WeightsError(
            "no such file or folder", where=path, remedy="weights are none, imagenet, a file or a run folder"
        )
    if path.suffix == ".safetensors":
        return (*_read_safe(path), ())
    if path.suffix in PICKLED:
        return _read_pickled(path)
    raise WeightsError(
        f"weights of kind {path.suffix or 'unknown'!r} are not read",
        where=path,
        remedy=f"give .safetensors or one of {', '.join(PICKLED)}",
    )


def _read_safe(path: Path) -> tuple[Weights, dict[str, str]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"is cut short or no safetensors file ({error})", where=path, remedy="copy or download it again"
        ) from error


def _read_pickled(path: Path) -> tuple[Weights, dict[str, str], tuple[str, ...]]:
    """A pickled checkpoint, through its safetensors copy where that was made from these very bytes."""
    digest = sha256(path)
    safe = path.with_name(path.name + ".safetensors")
    if safe.is_file():
        weights, meta = _read_safe(safe)
        if meta.get("source_sha256") == digest:
            return weights, meta, ()
    weights = _unpickled(path)
    meta = {"source": path.name, "source_sha256": digest}
    try:
        with written_whole(safe) as part:
            save_file(weights, part, metadata=meta)
    except OSError as error:
        return weights, meta, (f"no safetensors copy was kept ({error})",)
    return weights, meta, (f"converted once to {safe.name}",)


def _unpickled(path: Path) -> Weights:
    try:
        value: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"holds more than tensors, or is no checkpoint ({first})",
            where=path,
            remedy="save its state_dict alone, where it was made",
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"is cut short or no checkpoint ({first})", where=path, remedy="copy or download it again"
        ) from error
    for key in NESTED:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
            break
    found = dict(value) if isinstance(value, Mapping) else {}
    tensors = {str(k): v.detach().clone().contiguous() for k, v in found.items() if isinstance(v, Tensor)}
    if not tensors:
        raise WeightsError("holds no tensors by name", where=path, remedy="save a state_dict")
    return tensors


def _load_imagenet(model: Model) -> Loaded:
    """Fill every timm network of the model with timm's weights for it."""
    parts = {n: m for n, m in model.named_modules() if isinstance(m, (Maps, Pooled))}
    if not parts:
        raise WeightsError(
            "this architecture has no ImageNet weights",
            remedy="use weights: none, or give a .safetensors or .pth file, or a run folder",
        )
    weights: Weights = {}
    for name, part in parts.items():
        try:
            with _no_waiting():
                fetched = part.fetch()
        except ModelError as error:
            raise WeightsError(str(error), remedy="choose another backbone, or weights: none") from error
        except Exception as error:
            # timm, huggingface_hub and what they stand on raise whatever their transport raises.
            raise WeightsError(
                f"ImageNet weights of {part.name} could not be downloaded ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]})",
                remedy="check the network, or name a file downloaded elsewhere, or use weights: none",
            ) from error
        weights |= {f"{name}.{key}": value for key, value in fetched.items()}
    return _fill(model, weights, "imagenet")


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Let the hub use only its cache where its host has no address: it would retry for most of a minute."""
    from huggingface_hub import constants

    was = constants.HF_HUB_OFFLINE
    url = urlsplit(constants.ENDPOINT)
    try:
        if not getproxies():
            socket.getaddrinfo(url.hostname, url.port or 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was


def _fill(model: Model, weights: Weights, source: str) -> Loaded:
    """Copy what fits by name and shape; names are tried as they are, then under wrappers."""
    own = model.state_dict()
    renamed = _best_names(model, own, weights)
    fits = {n: o for n, o in renamed.items() if n in own and own[n].shape == weights[o].shape}
    if not any(own[name].ndim for name in fits):
        raise WeightsError(
            f"not one of its {len(weights)} tensors fits the model",
            where=source,
            remedy=f"its names begin {_some(sorted(weights))}; the model's begin {_some(sorted(own))}",
        )
    with torch.no_grad():
        for name, origin in fits.items():
            own[name].copy_(weights[origin])
    reasons = {
        name: f"{_shape(weights[renamed[name]])} in the source, {_shape(own[name])} here"
        if name in renamed
        else ""
        for name in own
        if name not in fits
    }
    used = set(fits.values())
    unused = tuple(name for name in weights if name not in used)
    return Loaded(source, tuple(fits), reasons, unused)


def _best_names(model: Model, own: Weights, weights: Weights) -> dict[str, str]:
    """Name in the model -> name in the source, under the wrapper that lets most tensors fit."""
    inner = ["", *(f"{n}.net." for n, m in model.named_modules() if isinstance(m, (Maps, Pooled)))]
    best: dict[str, str] = {}
    most = -1
    for cut in WRAPPERS:
        for put in inner:
            names = {put + o.removeprefix(cut): o for o in weights if o.startswith(cut)}
            fit = sum(n in own and own[n].shape == weights[o].shape for n, o in names.items())
            if fit > most:
                best, most = names, fit
    return best


def _shape(tensor: Tensor) -> str:
    return "x".join(str(length) for length in tensor.shape) or "scalar"
