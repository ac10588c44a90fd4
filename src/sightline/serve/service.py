"""The service as an ASGI application: who may ask, limits, errors, logs; and the route that must be fast.

Everything but `POST /predict/{model}` and WebSockets goes through FastAPI (`api.py`). The plain route is
answered here, because half a millisecond of routing is a tenth of a small network's time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sightline.core.errors import UsageError
from sightline.serve.batcher import Work
from sightline.serve.bodies import Body, Budget, Head, Message, Receive, Scope, Send
from sightline.serve.logs import Log
from sightline.serve.models import Models, Served
from sightline.serve.observing import Observer
from sightline.serve.options import ServeOptions
from sightline.serve.predicting import elements_of, wish_of
from sightline.serve.refusals import Refused
from sightline.serve.security import Rates, Tokens, check_origin, token_of
from sightline.serve.work import PictureWork

if TYPE_CHECKING:
    from sightline.monitor.review_queue import ReviewQueue
    from sightline.monitor.shadow import Shadow

CALL = "sightline.call"
CONNECTION = "sightline.connection"
# Sends a whole answer in one piece, where the server below can do that; false where it must go as messages.
ANSWER = "sightline.answer"
DEADLINE_HEADER = b"x-deadline-ms"
PREDICT = "/predict/"
# Asked by balancers and by the page before it knows a token; they tell nothing of the models.
OPEN = frozenset({"/", "/page.js", "/page.css", "/v2/health/live", "/v2/health/ready"})


class Service:
    """Packages behind HTTP.

    Args:
        models: what is served; loaded when the application starts, unless it is ready.
        options: limits and deadlines.
        tokens: who may ask; none lets everybody.
        rates: how often.
        observer: told of everything.
        log: where lines go.
        exposition: gives what `/metrics` answers and its media type.
        review: keeps what is worth a look, and takes flags and labels.
        shadow: answers what the champion answers, for comparison only.
    """

    def __init__(
        self,
        models: Models,
        options: ServeOptions,
        *,
        tokens: Tokens,
        rates: Rates,
        observer: Observer,
        log: Log,
        exposition: Callable[[], tuple[bytes, str]] | None = None,
        review: ReviewQueue | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        self.models, self.options, self.observer, self.log = models, options, observer, log
        self.exposition, self.review, self.shadow = exposition, review, shadow
        self._tokens, self._rates = tokens, rates
        self._budget = Budget(options.limits.buffered_bytes)
        self._api: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        self.fault: Exception | None = None

    @property
    def ready(self) -> bool:
        """Whether every model is warm and the service is not about to stop."""
        return self.models.ready and not self.draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, as ASGI 3 has it."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            from sightline.serve.sockets import converse

            await converse(self, Head(scope), receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Start listening at once, and load beside it: health answers while models warm up."""
        await receive()
        self._spawn(self._load())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.draining = True
        for task in list(self._tasks):
            task.cancel()
        await self.models.close(self.options.drain_s)
        for watcher in (self.review, self.shadow):
            if watcher is not None:
                await asyncio.get_running_loop().run_in_executor(None, watcher.close)
        await send({"type": "lifespan.shutdown.complete"})

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self) -> None:
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            if not self.models.ready:
                await loop.run_in_executor(None, self.models.load)
            self._check_shadow()
            self.api()
        except Exception as error:  # told by whoever runs the service
            self.fault = error
            return
        for served in self.models.all:
            self.log.line(
                "serving", model=served.name, version=served.engine.version, **served.engine.layout.to_json()
            )
        self.log.line("ready", seconds=round(time.perf_counter() - began, 3))
        if self.options.watch_s > 0:
            await self._watch()

    def _check_shadow(self) -> None:
        """Raise UsageError where the shadow follows what is not served: it would see nothing."""
        if self.shadow is not None and self.shadow.name not in self.models.names:
            raise UsageError(
                f"the shadow follows {self.shadow.name!r}, served: {', '.join(self.models.names)}",
                where=self.shadow.package,
                remedy="name whom it follows: --shadow NAME=PACKAGE",
            )

    async def _watch(self) -> None:
        """Look for new versions until the service ends."""
        while True:
            await asyncio.sleep(self.options.watch_s)
            await self.refresh()

    async def refresh(self) -> list[str]:
        """Swap in what changed on disk; names of the models that were swapped."""
        before = self.models.faults
        try:
            names = await self.models.refresh()
        except Exception as error:
            self.log.fault("refresh", error)
            return []
        for name in names:
            self.log.line("swapped", model=name, versions=self.models.versions(name))
        for place, reason in self.models.faults.items():
            if before.get(place) != reason:
                self.log.line("not_swapped", place=place, reason=reason)
        return names

    def api(self) -> Any:
        """The FastAPI application, made when it is first needed."""
        if self._api is None:
            from sightline.serve.api import build_api

            self._api = build_api(self)
        return self._api

    def admit(self, head: Head) -> str:
        """Who asks; counts it.

        Raises:
            Refused: 401 no or a wrong token, 403 a foreign origin, 429 too often.
        """
        check_origin(head.headers, self.options.origins)
        client = head.scope.get("client")
        key = str(client[0]) if client else ""
        if len(self._tokens):
            owner = self._tokens.owner(token_of(head.headers))
            if owner is None:
                self._rates.take(f"?{key}")
                raise Refused(401, "token", "a valid bearer token is needed")
            key = owner
        self._rates.take(key)
        return key

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = Head(scope)
        call = Call(self, head, receive, send)
        began = time.perf_counter()
        try:
            call.owner = "" if head.path in OPEN else self.admit(head)
            name = head.path[len(PREDICT) :]
            if head.method == "POST" and head.path.startswith(PREDICT) and "/" not in name:
                await call.give(200, *await self.predict(call, name))
            else:
                scope[CALL] = call
                await self.api()(scope, receive, call.send)
        except Refused as refused:
            await call.refuse(refused)
        except Exception as error:
            self.log.fault("fault", error, id=head.id)
            await call.refuse(Refused(500, "fault", "the service failed; its log has this request's id"))
        self.observer.request(call.model, call.status)
        if self.log.requests:
            self.log.line(
                "request", id=head.id, method=head.method, path=head.path[:200], status=call.status,
                model=call.model, owner=call.owner, ms=round(1000 * (time.perf_counter() - began), 2),
            )  # fmt: skip

    async def predict(self, call: Call, name: str, version: str | None = None) -> tuple[bytes, str]:
        """Body and media type of the plain route's answer."""
        head, limits = call.head, self.options.limits
        with call.lease(name, version) as served:
            deadline_s = call.deadline_s()
            wish = wish_of(head, top=self.options.top)
            served.batcher.check_room(deadline_s)
            with call.body() as body:
                data = await body.read()
                elements, single = elements_of(head, data, served.engine.signature.inputs, limits)
                if wish.picture_only and len(elements) > 1:
                    raise Refused(406, "not_acceptable", "several pictures are answered as JSON; see draw=")
                work = PictureWork(
                    served.engine, elements, replace(wish, single=single), limits, self.observer
                )
                answer: tuple[bytes, str] = await call.run(served, work, deadline_s)
                return answer


class Call:
    """One HTTP request: its head, its body, its one answer."""

    def __init__(self, service: Service, head: Head, receive: Receive, send: Send) -> None:
        self.service, self.head, self.receive = service, head, receive
        self._send = send
        self.model, self.owner, self.status = "", "", 0

    def body(self) -> Body:
        """The body, to be read within limits."""
        return Body(self.head, self.receive, self.service.options.limits, self.service._budget)

    def lease(self, name: str, version: str | None) -> Served:
        """The model asked for, held open until the call ends; raises `Refused` where there is none."""
        served = self.service.models.get(name, version)
        self.model = served.name
        return served

    def deadline_s(self) -> float:
        """Seconds this request may take; the client may ask for less than the service's own."""
        most = self.service.options.deadline_ms
        return (self.head.number(DEADLINE_HEADER, most) or most) / 1000

    async def run(self, served: Served, work: Work, deadline_s: float) -> Any:
        """Queue work and wait for its answer; given up when the connection goes."""
        ticket = served.batcher.submit(work, deadline_s)
        connection = self.head.scope.get(CONNECTION)
        if connection is not None:
            connection.waiting = ticket
        try:
            return await ticket.future
        finally:
            if connection is not None:
                connection.waiting = None

    async def send(self, message: Message) -> None:
        """Pass an answer on, with the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), *self._marks()]
        await self._send(message)

    def _marks(self) -> list[tuple[bytes, bytes]]:
        """Headers that every answer has."""
        found = [(b"x-request-id", self.head.id.encode())]
        if self.service.draining:
            found.append((b"connection", b"close"))
        return found

    async def give(
        self, status: int, body: bytes, media_type: str, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        """Answer with a whole body."""
        start = [
            (b"content-type", media_type.encode()),
            (b"content-length", b"%d" % len(body)),
            *(headers or []),
        ]
        whole = self.head.scope.get(ANSWER)
        if whole is not None and whole(status, [*start, *self._marks()], body):
            self.status = status
            return
        await self.send({"type": "http.response.start", "status": status, "headers": start})
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, refused: Refused) -> None:
        """Answer with a reason, unless an answer has begun or nobody is there."""
        if self.status:
            return
        if refused.status == 499:
            self.status = 499
            return
        body = refused.body(self.head.id)
        await self.give(refused.status, body, "application/json", refused.headers())


def to_json(value: Any) -> bytes:
    """A JSON body."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def location(*parts: str) -> str:
    """An address of the service's own, each part escaped."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
