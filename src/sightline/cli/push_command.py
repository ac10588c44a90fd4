"""`sightline push`: a dataset to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    dataset: Annotated[Path, typer.Argument(help="dataset folder")],
    address: Annotated[str, typer.Argument(help="hf://ORGANISATION/NAME, a dataset repository")],
    public: Annotated[bool, typer.Option("--public", help="make it public; else private")] = False,
    revision: Annotated[str, typer.Option(help="branch")] = "main",
    shard: Annotated[str, typer.Option(help="most bytes of media in a shard: 256M")] = "256M",
    endpoint: Annotated[
        str | None, typer.Option(help="of the Hub; else HF_ENDPOINT, or the public one")
    ] = None,
) -> None:
    """Send a dataset in shards; a push that was cut short goes on where it stopped.

    The token is the one of `hf auth login`, or of HF_TOKEN.
    """
    from rich.console import Console

    from sightline.cli.bars import bars
    from sightline.cli.sizes import read_bytes
    from sightline.data.dataset import Dataset
    from sightline.data.hub import push
    from sightline.data.hub_client import HubRepository

    opened = Dataset.open(dataset)
    repository = HubRepository(address, revision=revision, endpoint=endpoint)
    with bars(Console(stderr=True)) as show:
        done = push(
            opened, repository, private=not public, shard_bytes=read_bytes(shard, "--shard"), progress=show
        )
    text = f"{repository.name}: {done.sent} shards sent ({done.bytes:,} bytes), {done.there} were there; "
    print(text + f"fingerprint {done.fingerprint}")
