"""Running the service: uvicorn with clocks on slow clients, and a stop that loses no request."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from sightline.core.errors import UsageError
from sightline.core.manifest import Manifest
from sightline.monitor.review_items import ReviewOptions
from sightline.serve.connections import Connection
from sightline.serve.logs import Log
from sightline.serve.models import Models
from sightline.serve.observing import Observers
from sightline.serve.options import ServeOptions
from sightline.serve.refusals import Refused
from sightline.serve.security import Rates, Tokens
from sightline.serve.service import Service

if TYPE_CHECKING:
    from sightline.monitor.metrics import Metrics
    from sightline.monitor.review_queue import ReviewQueue
    from sightline.monitor.shadow import Shadow

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Once told to stop, new requests are taken until none came for so long.
QUIET_S = 0.5
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service listens.

    Attributes:
        host: interface; only this machine by default.
        port: 0 takes a free one.
        certificate: PEM file for TLS, with `key` beside it.
        key: PEM file of its private key.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """Where what is worth a look is kept.

    Attributes:
        place: a folder, for SQLite, or the URL of a database.
        options: what is kept, and how much.
    """

    place: str
    options: ReviewOptions = field(default_factory=ReviewOptions)


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A challenger that sees the champion's pictures, and answers nobody.

    Attributes:
        package: its folder.
        name: of the champion it follows; the package's own where empty.
        share: of one core that it may take, above 0 and at most 1.
    """

    package: Path
    name: str = ""
    share: float = 0.1


class Server(uvicorn.Server):
    """uvicorn that, told to stop, answers what still comes on open connections before it closes them.

    A connection that is kept for more requests may have one on its way when it is closed: that request is
    lost. So at first every answer says `Connection: close`, readiness is withdrawn, and requests are taken as
    before; sockets are closed once nothing came for `QUIET_S`, or the drain time is over.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def main_loop(self) -> None:
        """Serve until a signal, then drain."""
        self._on_hangup()
        while not (self.should_exit or self._service.fault):
            await self.on_tick(0)
            await asyncio.sleep(0.1)
        self._service.draining = True
        self._service.log.line("draining")
        loop = asyncio.get_running_loop()
        end = loop.time() + self._service.options.drain_s
        seen, quiet_since = self.server_state.total_requests, loop.time()
        while loop.time() < end and not self.force_exit and self._service.fault is None:
            await asyncio.sleep(0.05)
            busy = len(self.server_state.tasks) > 0
            if busy or self.server_state.total_requests != seen:
                seen, quiet_since = self.server_state.total_requests, loop.time()
            if loop.time() - quiet_since >= QUIET_S:
                break

    def _on_hangup(self) -> None:
        """SIGHUP looks for new versions now."""
        loop, service = asyncio.get_running_loop(), self._service
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, lambda: service._spawn(service.refresh()))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; a second interrupt stops at once. It is not raised again: a clean stop exits with 0."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def build_service(
    places: Sequence[str],
    options: ServeOptions,
    *,
    tokens: Tokens | None = None,
    rate: float = 0.0,
    log: Log | None = None,
    watchers: Sequence[object] = (),
    review: Review | None = None,
    shadow: Shadowed | None = None,
) -> Service:
    """A service with metrics, drift and whatever else watches it, not yet loaded.

    Args:
        places: packages, folders of packages, `name=package`.
        options: limits and deadlines.
        tokens: who may ask.
        rate: requests a second for each token, or each address where there are no tokens; 0 for no limit.
        log: where lines go.
        watchers: more observers (`observing.Observer`), any of its methods.
        review: where pictures that are worth a look are kept; None keeps none.
        shadow: a challenger beside the champion of its name.

    Raises:
        SightlineError: the review store is a folder that cannot be written to, or no address; or a shadow
            that is no package.
    """
    from sightline.monitor.live import LiveDrift
    from sightline.monitor.metrics import Metrics

    def manifest(name: str, version: str) -> Manifest | None:
        with suppress(Refused):
            return models.get(name, version).engine.manifest
        return None

    metrics, lines = Metrics(), log or Log()
    drift = LiveDrift(metrics, manifest, say=lambda said: lines.line("drift", said=said))
    queue = None if review is None else _review_queue(review, manifest, metrics, lines)
    beside = None if shadow is None else _shadow(shadow, metrics, lines)
    observer = Observers([metrics, drift, *(w for w in (queue, beside) if w is not None), *watchers])
    models = Models(places, options, observer)
    return Service(
        models,
        options,
        tokens=tokens or Tokens({}),
        rates=Rates(rate),
        observer=observer,
        log=lines,
        exposition=metrics.exposition,
        review=queue,
        shadow=beside,
    )


def _shadow(shadow: Shadowed, metrics: Metrics, lines: Log) -> Shadow:
    from sightline.monitor.shadow import Shadow

    return Shadow(
        shadow.package, metrics, shadow.name, shadow.share, lambda said: lines.line("shadow", said=said)
    )


def _review_queue(
    review: Review, manifest: Callable[[str, str], Manifest | None], metrics: Metrics, lines: Log
) -> ReviewQueue:
    """A queue on its store; a server that is away now may come, a folder that cannot be made will not."""
    from sightline.monitor.review_queue import ReviewQueue
    from sightline.monitor.review_tables import address
    from sightline.monitor.store import Store

    if address(review.place).get_backend_name() == "sqlite":
        Store.open(review.place, review.options).close()
    return ReviewQueue(
        lambda: Store.open(review.place, review.options), manifest, review.options, metrics,
        say=lambda said: lines.line("review", said=said),
    )  # fmt: skip


def serve(service: Service, address: Address) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        UsageError: the address is taken or not of this machine, or TLS files cannot be read.
        SightlineError: a package that cannot be loaded.
    """
    import cv2

    cv2.setNumThreads(1)  # each worker decodes and places on its own core
    cv2.utils.logging.setLogLevel(0)  # strangers' damaged files are refused, not printed
    sys.setswitchinterval(0.001)  # the event loop answers while workers assemble
    listening = _listen(address)
    limits = service.options.limits
    protocol = type("LimitedConnection", (Connection,), {"limits": limits})
    config = uvicorn.Config(
        service, lifespan="on", log_config=None, access_log=False, http=protocol, ws="websockets-sansio",
        loop="uvloop" if sys.platform != "win32" else "asyncio", server_header=False, backlog=BACKLOG,
        timeout_keep_alive=30, ws_max_size=limits.body_bytes, ws_per_message_deflate=False, ws_max_queue=4,
        timeout_graceful_shutdown=int(service.options.drain_s) + 1,
        ssl_certfile=address.certificate, ssl_keyfile=address.key,
    )  # fmt: skip
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise UsageError(f"TLS files cannot be read ({error})", where=address.certificate) from error
    host, port = listening.getsockname()[:2]
    scheme = "https" if address.certificate else "http"
    service.log.line("listening", address=f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
    Server(config, service).run(sockets=[listening])
    if service.fault is not None:
        raise service.fault


def _listen(address: Address) -> socket.socket:
    """A bound socket, so that a taken port is told before anything is loaded."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise UsageError(
            f"cannot listen ({error})", where=f"{address.host}:{address.port}", remedy="choose another --port"
        ) from error
    listening.setblocking(False)
    return listening
