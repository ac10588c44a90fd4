"""`sightline train`: a model from a dataset and a split, or a run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    problem: Annotated[Path, typer.Argument(help="problem.yaml: task, model and how it is trained")],
    dataset: Annotated[Path, typer.Argument(help="dataset folder, as `sightline import` makes it")],
    split: Annotated[str | None, typer.Option(help="name of a split; else the only one there is")] = None,
    out: Annotated[Path, typer.Option(help="folder of the run")] = Path("runs/train"),
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in the folder")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="overfit ten pictures, estimate time, disk and memory, write nothing"),
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda; empty chooses")] = "",
) -> None:
    """Train a model: batches, loop, validation, best and last weights, metrics, TensorBoard.

    A dry run exits 1 where ten pictures are not learned by heart: the data or the loss make no sense.
    """
    from sightline.cli.splits import named_split
    from sightline.core.problem import Problem
    from sightline.data.dataset import Dataset
    from sightline.train import rehearse, train

    asked, labelled = Problem.load(problem), Dataset.open(dataset)
    part = named_split(labelled, split)
    if dry_run:
        found = rehearse(asked, labelled, part, device=device or None)
        print(found)
        if not found.learns:
            raise typer.Exit(1)
        return
    if asked.stages is not None:
        from sightline.train.stages import train_stages

        both = train_stages(asked, labelled, part, out, device=device or None)
        print(f"best weights and figures: {both.coarse.folder} and {both.fine.folder}")
        return
    run = train(asked, labelled, part, out, resume=resume, device=device or None)
    print(f"best weights and figures: {run.folder}")
