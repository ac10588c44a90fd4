"""Packages to predictors, one module a runtime; nothing here imports torch."""

from sightline.runtime.loading import RUNTIMES, load
from sightline.runtime.options import RuntimeOptions

__all__ = ["RUNTIMES", "RuntimeOptions", "load"]
