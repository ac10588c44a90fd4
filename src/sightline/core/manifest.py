"""`manifest.json`: what a package promises, and what was measured of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sightline.core.errors import ModelError, PackageError, UsageError
from sightline.core.files import inside, sha256, write_json
from sightline.core.specs import Signature

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Stage:
    """One network of a package.

    Attributes:
        file: name inside the package folder.
        sha256: hash of that file.
        runtime: `onnx` or `openvino`.
        precision: `f32`, `fp16` or `int8`.
        signature: inputs, outputs, classes, thresholds.
        outputs: decoded tensors the file gives, in order (`task.field`, and `embedding` if it has one).
        batch: whether the batch axis is free.
    """

    file: str
    sha256: str
    runtime: str
    precision: str
    signature: Signature
    outputs: tuple[str, ...]
    batch: bool = True


@dataclass(frozen=True, slots=True)
class Manifest:
    """A package's own words: stages, lineage, measured quality and speed, drift reference.

    Attributes:
        name: the problem's name.
        version: of the package, chosen by who exports it.
        stages: by name; one for most packages.
        lineage: fingerprints of problem, dataset, split and run, and the sightline version.
        quality: measured on the exported file: `task.metric` -> {value, low, high}.
        speed: measured by `bench`: milliseconds, bytes.
        reference: distributions of the validation set, for drift.
        pipeline: how several stages work together, empty for one: `kind` (`coarse-to-fine`), the stages
            by their part (`coarse`, `fine`), `mode` and its `settings`.
    """

    name: str
    version: str
    stages: dict[str, Stage]
    lineage: dict[str, str] = field(default_factory=dict)
    quality: dict[str, dict[str, float]] = field(default_factory=dict)
    speed: dict[str, float] = field(default_factory=dict)
    reference: dict[str, Any] = field(default_factory=dict)
    pipeline: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into the package folder."""
        write_json(folder / MANIFEST, self.to_json())

    @classmethod
    def from_json(cls, value: Any, *, where: object) -> Manifest:
        """Check plain values.

        Raises:
            PackageError: a key is absent or of the wrong kind, or the format is newer than this code.
        """
        try:
            if value["format"] > FORMAT:
                raise PackageError(
                    f"manifest format {value['format']} is newer than {FORMAT}",
                    where=where,
                    remedy="update sightline",
                )
            stages = {name: _stage(stage) for name, stage in value["stages"].items()}
            return cls(**{**value, "stages": stages})
        except (KeyError, TypeError, ValueError, AttributeError, ModelError) as error:
            raise PackageError(f"manifest is not whole: {error!r}", where=where) from error

    @classmethod
    def read(cls, folder: Path, *, verify: bool = True) -> Manifest:
        """Read a package's manifest and, unless told not to, hold its files to their hashes.

        Raises:
            PackageError: no manifest, malformed, a file absent, outside the folder, or changed.
        """
        manifest, _ = cls.read_with_text(folder)
        for stage in manifest.stages.values():
            if verify and sha256(stage_file(folder, stage)) != stage.sha256:
                raise PackageError(
                    f"{stage.file} does not match its hash",
                    where=folder / MANIFEST,
                    remedy="export the package again",
                )
        return manifest

    @classmethod
    def read_with_text(cls, folder: Path) -> tuple[Manifest, bytes]:
        """A package's manifest and the bytes it was read from; its files are there, their hashes not held.

        Raises:
            PackageError: no manifest, malformed, or a file absent or outside the folder.
        """
        path = folder / MANIFEST
        try:
            text = path.read_bytes()
            value = json.loads(text.decode("utf-8"))
        except FileNotFoundError:
            raise PackageError("is no package: it holds no manifest.json", where=folder) from None
        except (OSError, ValueError) as error:
            raise PackageError(f"manifest cannot be read ({error})", where=path) from error
        manifest = cls.from_json(value, where=path)
        for stage in manifest.stages.values():
            stage_file(folder, stage)
        return manifest, text


def stage_file(folder: Path, stage: Stage) -> Path:
    """Where a stage's file is; raises PackageError where it is absent or outside the folder."""
    where = folder / MANIFEST
    try:
        file = inside(folder, stage.file)
    except UsageError as error:
        raise PackageError(f"names a file outside the package: {stage.file!r}", where=where) from error
    if not file.is_file():
        raise PackageError(f"names {stage.file}, which is absent", where=where)
    return file


def _stage(value: Any) -> Stage:
    signature = Signature.from_json(value["signature"])
    return Stage(**{**value, "signature": signature, "outputs": tuple(value["outputs"])})
