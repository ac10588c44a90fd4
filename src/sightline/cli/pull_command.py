"""`sightline pull`: a dataset from the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    address: Annotated[str, typer.Argument(help="hf://ORGANISATION/NAME, as `sightline push` wrote it")],
    out: Annotated[Path, typer.Argument(help="folder of the dataset to make")],
    revision: Annotated[str, typer.Option(help="branch, tag or commit")] = "main",
    endpoint: Annotated[
        str | None, typer.Option(help="of the Hub; else HF_ENDPOINT, or the public one")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="take the place of a dataset that is there")
    ] = False,
) -> None:
    """Bring a dataset, hold every file to its hash and the whole to its fingerprint.

    A pull that was cut short goes on where it stopped; the folder appears when it is whole.
    """
    from rich.console import Console

    from sightline.cli.bars import bars
    from sightline.data.hub import pull
    from sightline.data.hub_client import HubRepository

    repository = HubRepository(address, revision=revision, endpoint=endpoint)
    with bars(Console(stderr=True)) as show:
        dataset = pull(repository, out, replace=replace, progress=show)
    print(f"dataset {dataset.root}: {len(dataset.records)} records, fingerprint {dataset.fingerprint}")
