"""`sightline export`: package a trained run, if it still answers as it did."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    run: Annotated[Path, typer.Argument(help="folder of the run; with --to triton, of a package too")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder of the package to make")],
    data: Annotated[
        Path | None, typer.Option(help="the dataset; else the one the run was trained on")
    ] = None,
    split: Annotated[str | None, typer.Option(help="name of the split; else the run's own")] = None,
    part: Annotated[str, typer.Option(help="held-out part to measure on")] = "val",
    version: Annotated[str, typer.Option(help="of the package")] = "1",
    runtime: Annotated[Literal["onnx", "openvino"] | None, typer.Option(help="else the problem's")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="TASK=SCORE; else the best F1; may be repeated")
    ] = None,
    to: Annotated[Literal["package", "triton"], typer.Option(help="triton: a model repository")] = "package",
    replace: Annotated[
        bool, typer.Option("--replace", help="take the place of a package that is there")
    ] = False,
) -> None:
    """Write a package, after its final form was compared with the trained model and scored.

    Past a tolerance nothing is written, the first boundary that differs is named, and the exit code is 1.
    """
    from sightline.core.errors import UsageError
    from sightline.data.dataset import Dataset
    from sightline.data.split import Split
    from sightline.export.package import export
    from sightline.train.run import Run
    from sightline.train.stages import STAGES

    if to == "triton" and (run / "manifest.json").is_file():
        _triton(run, out, replace)
        return
    if (run / STAGES).is_file():
        if to == "triton":
            raise UsageError("is a run of two stages", where=run, remedy="export its package, then that")
        _export_stages(run, out, data, split, part, version, runtime, replace)
        return
    trained = Run.open(run)
    dataset = Dataset.open(data or trained.config["dataset"]["path"])
    name = split or trained.config["split"]["name"]
    ids = Split.open(dataset.root / "splits" / f"{name}.parquet", dataset=dataset).part(part)
    section = trained.problem.export
    changes: dict[str, object] = {}
    if runtime is not None:
        changes["runtime"] = runtime
    if threshold:
        given = dict(map(_threshold, threshold))
        changes["thresholds"] = {str(task): v for task, v in section.thresholds.items()} | given
    if not ids:
        raise UsageError(f"part {part!r} of split {name!r} is empty", where=dataset.root)
    wanted = type(section).model_validate({**section.model_dump(), **changes})
    if to == "package":
        _print(export(trained, dataset, ids, out, wanted, version=version, replace_old=replace))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = export(trained, dataset, ids, Path(made) / "package", wanted, version=version)
        _print(folder)
        _triton(folder, out, replace)


def _triton(package: Path, out: Path, replace: bool) -> None:
    """A package as a repository, and where its configurations are."""
    from sightline.export.triton import CONFIG, export_triton

    repository = export_triton(package, out, replace=replace)
    for file in sorted(repository.glob(f"*/{CONFIG}")):
        print(f"model of a Triton repository: {file}")


def _export_stages(
    run: Path,
    out: Path,
    data: Path | None,
    split: str | None,
    part: str,
    version: str,
    runtime: Literal["onnx", "openvino"] | None,
    replace: bool,
) -> None:
    """Package a run of two stages."""
    from sightline.data.dataset import Dataset
    from sightline.data.split import Split
    from sightline.export.staged import export_stages
    from sightline.train.stages import StagedRun

    trained = StagedRun.open(run)
    config = trained.fine.config
    dataset = Dataset.open(data or config["dataset"]["path"])
    name = split or config["split"]["name"]
    ids = Split.open(dataset.root / "splits" / f"{name}.parquet", dataset=dataset).part(part)
    section = trained.problem.export.model_copy(update={"runtime": runtime} if runtime else {})
    stages = (trained.coarse, trained.fine, trained.problem)
    folder = export_stages(*stages, dataset, ids, out, section, version=version, replace_old=replace)
    _print(folder)


def _threshold(text: str) -> tuple[str, float]:
    from sightline.core.errors import UsageError
    from sightline.core.specs import TASKS

    task, _, score = text.partition("=")
    try:
        value = float(score)
    except ValueError:
        value = -1.0
    if task not in TASKS or not 0 <= value <= 1:
        raise UsageError(
            f"threshold {text!r} is not TASK=SCORE", remedy="for example: --threshold detect=0.4"
        )
    return task, value


def _print(folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from sightline.runtime.loading import read_manifest

    manifest = read_manifest(folder)
    table = Table(title=f"{manifest.name}, version {manifest.version}")
    for column in ("metric", "value", "95% interval"):
        table.add_column(column)
    for name, figure in manifest.quality.items():
        table.add_row(name, f"{figure['value']:.4g}", f"{figure['low']:.4g} to {figure['high']:.4g}")
    console = Console()
    console.print(table)
    for stage in manifest.stages.values():
        for task, value in stage.signature.thresholds.items():
            console.print(f"threshold of {task}: {value:g}")
    console.print(f"package: {folder}", soft_wrap=True)
