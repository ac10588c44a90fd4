"""`sightline serve`: packages behind a port."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    packages: Annotated[
        list[str], typer.Argument(help="packages, folders of packages, or NAME=PACKAGE", metavar="PACKAGE...")
    ],
    host: Annotated[str, typer.Option(help="interface; 0.0.0.0 for every one")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    tokens: Annotated[
        Path | None, typer.Option(help="file of bearer tokens, NAME:TOKEN a line; or SIGHTLINE_TOKENS")
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="requests a second for each token; 0: no limit")] = 0.0,
    deadline_ms: Annotated[float, typer.Option(min=1, help="longest a request may take")] = 2000.0,
    queue: Annotated[int | None, typer.Option(min=1, help="most that wait; else by the deadline")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="cores for each model; else all")] = None,
    sessions: Annotated[
        int | None, typer.Option(min=1, help="calls at once; else a core each, and one")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="pictures a call; else measured")] = None,
    delay_ms: Annotated[float, typer.Option(min=0, help="longest wait for a batch to fill")] = 2.0,
    runtime: Annotated[str | None, typer.Option(help="onnx or openvino; else the package's own")] = None,
    arithmetic: Annotated[
        Literal["f32", "bf16"] | None, typer.Option(help="bf16: faster in OpenVINO; else the package's own")
    ] = None,
    max_body_mb: Annotated[float, typer.Option(min=0.001, help="largest request")] = 32.0,
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="largest picture")] = 40.0,
    formats: Annotated[str, typer.Option(help="kinds of files that are decoded")] = "jpeg,png,webp,bmp",
    receive_s: Annotated[float, typer.Option(min=0.1, help="longest a request may take to arrive")] = 30.0,
    origin: Annotated[
        list[str] | None, typer.Option(help="web origin that may call it too; may be repeated")
    ] = None,
    label_studio_media: Annotated[
        Path | None, typer.Option(help="folder of the pictures that Label Studio's tasks name")
    ] = None,
    review: Annotated[
        str | None, typer.Option(help="keep what is hard, new or flagged: a folder, or postgresql://...")
    ] = None,
    review_privacy: Annotated[
        Literal["keep", "blur", "results"], typer.Option(help="keep pictures, blur them, or keep none")
    ] = "keep",
    review_budget_mb: Annotated[float, typer.Option(min=0.001, help="most megabytes of pictures")] = 2048.0,
    review_uncertain: Annotated[
        float, typer.Option(min=0, max=1, help="least doubt for which a picture is kept; 1: none")
    ] = 0.6,
    review_novel: Annotated[
        float, typer.Option(min=0, max=1, help="least novelty for which a picture is kept; 1: none")
    ] = 0.5,
    shadow: Annotated[
        str | None,
        typer.Option(help="a challenger that sees the same pictures and answers nobody; or NAME=PACKAGE"),
    ] = None,
    shadow_share: Annotated[
        float, typer.Option(min=0.001, max=1, help="share of one core that the shadow may take")
    ] = 0.1,
    watch_s: Annotated[float, typer.Option(min=0, help="look for new versions so often; 0: on SIGHUP")] = 2.0,
    drain_s: Annotated[float, typer.Option(min=0, help="time for open requests at the end")] = 20.0,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="no line for each request")] = False,
) -> None:
    """Serve packages over HTTP, WebSocket and the Open Inference Protocol until SIGTERM; logs are JSON lines.

    Listens on this machine alone unless told. A package that is replaced on disk is swapped in.
    """
    from sightline.monitor.review_items import ReviewOptions
    from sightline.serve.logs import Log
    from sightline.serve.options import MEGABYTE, Limits, ServeOptions
    from sightline.serve.running import LOOPBACK, Address, Review, Shadowed, build_service, serve
    from sightline.serve.security import Tokens

    limits = Limits(
        body_bytes=int(max_body_mb * MEGABYTE),
        pixels=int(max_megapixels * 1e6),
        formats=frozenset(word.strip() for word in formats.split(",") if word.strip()),
        header_s=min(10.0, receive_s),
        body_s=receive_s,
    )
    options = ServeOptions(
        threads=threads, sessions=sessions, batch=batch, delay_ms=delay_ms, deadline_ms=deadline_ms,
        queue=queue, runtime=runtime, arithmetic=arithmetic, limits=limits,
        origins=frozenset(origin or ()), media=str(label_studio_media or ""),
        drain_s=drain_s, watch_s=watch_s,
    )  # fmt: skip
    known = Tokens.read(tokens)
    if host not in LOOPBACK and not len(known):
        print("warning: everybody who reaches this address may ask; give --tokens", file=sys.stderr)
    kept = None
    if review is not None:
        rules = ReviewOptions(
            privacy=review_privacy, budget_mb=review_budget_mb, uncertain=review_uncertain, novel=review_novel
        )
        kept = Review(review, rules)
    beside = None
    if shadow is not None:
        name, _, place = shadow.rpartition("=")
        beside = Shadowed(Path(place), name, shadow_share)
    service = build_service(
        packages,
        options,
        tokens=known,
        rate=rate,
        log=Log(requests=not quiet),
        review=kept,
        shadow=beside,
    )
    serve(service, Address(host, port, tls_cert, tls_key))
