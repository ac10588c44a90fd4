"""Carries a computer-vision model through its whole life; every seam is a checked contract.

The names below are the public interface. Each is looked up when it is first used, so that importing
sightline costs little and never brings in torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# Name -> module that owns it.
_PUBLIC = {
    "Problem": "sightline.core.problem",
    "Manifest": "sightline.core.manifest",
    "InputSpec": "sightline.core.specs",
    "Signature": "sightline.core.specs",
    "Predictor": "sightline.core.predictor",
    "SightlineError": "sightline.core.errors",
    "Dataset": "sightline.data.dataset",
    "Split": "sightline.data.split",
    "ReadOptions": "sightline.data.reading",
    "import_dataset": "sightline.data.importing",
    "make_split": "sightline.data.split",
    "audit": "sightline.data.audit",
    "Run": "sightline.train.run",
    "train": "sightline.train.training",
    "Report": "sightline.evaluate.report",
    "evaluate": "sightline.evaluate.evaluation",
    "export": "sightline.export.package",
    "load": "sightline.runtime.loading",
    "predict": "sightline.video.prediction",
    "watch": "sightline.video.live",
    "bench": "sightline.lifecycle.bench",
    "monitor": "sightline.monitor.offline",
    "DriftReport": "sightline.monitor.report",
    "run": "sightline.lifecycle.run",
    "retrain": "sightline.lifecycle.retrain",
}

__all__ = sorted(_PUBLIC)


class _Room(ModuleType):
    """A room that is called as its verb: `sightline.export(...)` beside `sightline.export.package`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        verb = self.__name__.removeprefix("sightline.")
        return getattr(import_module(_PUBLIC[verb]), verb)(*arguments, **options)


class _Sightline(ModuleType):
    """Makes each room that shares its name with a verb callable at the moment it is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _PUBLIC and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Sightline


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sightline' has no attribute {name!r}")
    if name in ("train", "evaluate", "export", "monitor"):
        return import_module(f"sightline.{name}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
