"""A training's folder: what was asked, what came of it, and the weights."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sightline.core.errors import DatasetError, UsageError, WeightsError
from sightline.core.files import fingerprint, refusals, sha256, write_json
from sightline.core.predictor import Predictor
from sightline.core.problem import Problem
from sightline.core.specs import InputSpec
from sightline.models.base import Model
from sightline.models.catalogue import build
from sightline.models.predictor import torch_predictor
from sightline.train.checkpoint import read_tensors
from sightline.train.journal import read_rows

CONFIG = "run.json"
BEST = "best.safetensors"
FORMAT = 1
PACKAGES = ("sightline", "torch", "torchvision", "timm", "accelerate", "numpy", "opencv-python-headless")

# What may differ when a run goes on: it changes how fast the numbers come, not the numbers.
FREE = ("workers", "cache", "cache_mb", "save_minutes")


class Run:
    """One training on disk, finished or not.

    Attributes:
        folder: where it is.
        config: `run.json` as plain values.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = folder, config

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open a run.

        Raises:
            DatasetError: the folder is no run, or its config is damaged.
        """
        root = Path(folder).absolute()
        path = root / CONFIG
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            if config["format"] > FORMAT:
                raise DatasetError(f"run format {config['format']} is newer than {FORMAT}", where=path)
        except FileNotFoundError:
            raise DatasetError(
                "is no run: it holds no run.json", where=root, remedy="make one with: sightline train"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"cannot be read ({error!r})", where=path) from error
        return cls(root, config)

    @property
    def problem(self) -> Problem:
        """What was asked for."""
        return Problem.parse(self.config["problem"], where=self.folder / CONFIG)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over what determines the result."""
        return fingerprint(self.config["key"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Figures by epoch, from `metrics.jsonl`."""
        return read_rows(self.folder)

    @property
    def best(self) -> dict[str, float]:
        """Validation metrics of the epoch whose weights were kept; empty before the first."""
        kept = [row for row in self.rows if row["best"]]
        return dict(kept[-1]["val"]) if kept else {}

    @property
    def done(self) -> bool:
        """Whether the training has come to its end.

        Raises:
            WeightsError: the saved state is damaged.
        """
        path = self.folder / "last" / "state.json"
        try:
            state = json.loads(path.read_text(encoding="utf-8"))["state"]
            return bool(state["stopped"] or state["epoch"] >= self.config["epochs"])
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(
                f"is no whole state ({error!r})", where=path, remedy="train again in another folder"
            ) from error

    def model(self) -> Model:
        """The best weights in their architecture, in evaluation mode on the CPU.

        Raises:
            WeightsError: no epoch has been validated yet, or the file is damaged or does not fit.
        """
        path = self.folder / BEST
        if not path.exists():
            raise WeightsError("holds no best.safetensors yet", where=self.folder, remedy="train it further")
        model = build_model(self.problem, tuple(self.config["classes"]))
        try:
            model.load_state_dict(read_tensors(path))
        except RuntimeError as error:
            raise WeightsError(" ".join(str(error).split())[:500], where=path) from error
        return model.eval()

    def predictor(self, device: str | torch.device = "cpu", *, batch: int = 8) -> Predictor:
        """A predictor over the best weights."""
        return torch_predictor(self.model(), device, batch=batch)


def build_model(problem: Problem, classes: tuple[str, ...]) -> Model:
    """The problem's architecture with random weights."""
    section = problem.model
    inputs: dict[str, InputSpec] | None = None
    if section.input is not None:
        spec = section.input
        inputs = {
            "clip" if spec.frames > 1 else "image": InputSpec(
                size_wh=spec.size,
                fit=spec.fit,
                pad=spec.pad,
                pixels=spec.pixels,
                frames=spec.frames,
                stride=spec.stride,
            )
        }
    return build(section.name, tasks=problem.tasks, classes=classes, inputs=inputs, **section.options)


def config_key(problem: Problem, dataset: Any, split: Any, mined: str = "") -> dict[str, Any]:
    """What determines the trained weights, as plain values; `mined` is the fingerprint of mined crops."""
    asked = problem.model_dump(mode="json")
    train = {name: value for name, value in asked["train"].items() if name not in FREE}
    weights = Path(problem.model.weights)
    weights = weights / BEST if weights.is_dir() else weights
    return {
        "tasks": asked["tasks"],
        "model": asked["model"],
        "weights": sha256(weights) if weights.is_file() else problem.model.weights,
        "train": train,
        "classes": list(dataset.classes),
        "dataset": dataset.fingerprint,
        "split": split.fingerprint,
        **({"mined": mined} if mined else {}),
    }


def begin(out: Path, problem: Problem, dataset: Any, split: Any, *, resume: bool, mined: str = "") -> Run:
    """Make the folder of a new run, or open that of the same one to go on.

    Raises:
        UsageError: the folder holds something else, a run of another config (the differing keys are
            named), or a run at all where `resume` is false.
        StorageError: the folder cannot be made, read or written to.
    """
    with refusals(out):
        return _begun(out.absolute(), problem, dataset, split, resume=resume, mined=mined)


def _begun(out: Path, problem: Problem, dataset: Any, split: Any, *, resume: bool, mined: str) -> Run:
    key = config_key(problem, dataset, split, mined)
    if (out / CONFIG).exists():
        run = Run.open(out)
        changed = differing(run.config["key"], key)
        if changed:
            raise UsageError(
                f"holds a run of another config; different: {', '.join(changed)}",
                where=out,
                remedy="choose another folder",
            )
        if not resume:
            raise UsageError(
                "holds a run already", where=out, remedy="pass --resume to go on, or choose another folder"
            )
        return run
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("is not empty and no run", where=out, remedy="choose another folder")
    config = {
        "format": FORMAT,
        "key": key,
        "problem": problem.model_dump(mode="json"),
        "classes": list(dataset.classes),
        "dataset": {"path": str(dataset.root), "fingerprint": dataset.fingerprint},
        "split": {"name": getattr(split, "name", ""), "fingerprint": split.fingerprint},
        "epochs": problem.train.epochs,
        "seed": problem.train.seed,
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / CONFIG, config)
    return Run(out, config)


def differing(a: Any, b: Any, path: str = "") -> list[str]:
    """Dotted names of the values that differ between two trees."""
    if isinstance(a, dict) and isinstance(b, dict):
        names = sorted(a.keys() | b.keys())
        return [
            found
            for name in names
            for found in differing(a.get(name), b.get(name), f"{path}.{name}" if path else name)
        ]
    return [] if a == b else [path]


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
