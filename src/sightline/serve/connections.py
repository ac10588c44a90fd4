"""A connection as uvicorn has it, with clocks on slow clients, and answers that leave in one piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from sightline.serve.batcher import Ticket
from sightline.serve.options import Limits
from sightline.serve.service import ANSWER, CONNECTION

HEAD_BYTES = 64 * 1024


def _raw(status: str, code: str, message: str) -> bytes:
    """A whole answer for a request that never became one."""
    body = json.dumps({"error": message, "code": code, "id": ""}).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + body


class Connection(HttpToolsProtocol):
    """One connection: a head and a body must arrive in time, and a client that leaves frees its place.

    `waiting` is the ticket whose answer this connection waits for.
    """

    limits = Limits()

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.waiting: Ticket | None = None
        # Which message is arriving, and what of it: "head", "body", or nothing once it is there.
        self._message, self._part = 0, "head"
        self._clock: asyncio.TimerHandle | None = None
        self._timed: tuple[int, str] | None = None
        self._head_bytes = self._unread = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock; refuse what is over the number of connections."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.write(_raw("503 Service Unavailable", "connections", "too many connections"))
            transport.close()
            return
        self._set_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what nobody waits for any more."""
        self._part = ""
        self._set_clock()
        if self.waiting is not None:
            self.waiting.abandon()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; a head that does not end is cut off."""
        super().data_received(data)
        if self._part == "head" and self.parser is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(
                    _raw("431 Request Header Fields Too Large", "header", "the request's head is too large")
                )
                self.transport.close()
        self._set_clock()

    def on_message_begin(self) -> None:
        """A request begins; on a connection that was kept, its clock starts here."""
        super().on_message_begin()
        if self._part != "head":
            self._message += 1
        self._part = "head"
        self._head_bytes = self._unread = 0

    def on_headers_complete(self) -> None:
        """The head is there; now the body has its time."""
        self._part = "body"
        super().on_headers_complete()
        if "path" in self.scope:
            scope: Any = self.scope
            scope[CONNECTION], scope[ANSWER] = self, partial(self.answer, self.cycle)

    def on_body(self, body: bytes) -> None:
        """Take a part; what comes after an early refusal is dropped, up to a limit."""
        super().on_body(body)
        if self.cycle is not None and self.cycle.response_complete:
            self._unread += len(body)
            if self._unread > 2 * self.limits.body_bytes:
                self.transport.close()

    def on_message_complete(self) -> None:
        """The whole request is there."""
        self._part = ""
        super().on_message_complete()

    def answer(
        self, cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> bool:
        """Answer a request in one piece; false where that cannot be, and nothing was sent.

        uvicorn sends the head and the body of an answer apart, which costs a system call and wakes the
        client twice.
        """
        if cycle.disconnected or cycle.response_started or cycle.scope["method"] == "HEAD":
            return False
        if self.flow.write_paused:
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        told = [*self.server_state.default_headers, *headers]
        closes = (b"connection", b"close")
        cycle.keep_alive = cycle.keep_alive and closes not in told
        if not cycle.keep_alive and closes not in told:
            told.append(closes)
        lines = b"".join([b"%b: %b\r\n" % line for line in told])
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], lines, body))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def handle_websocket_upgrade(self) -> None:
        """WebSockets keep their own time."""
        self._part = ""
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Say that this was no HTTP, in JSON as everything else."""
        self._part = ""
        self.transport.write(_raw("400 Bad Request", "bad_http", msg))
        self.transport.close()

    def _set_clock(self) -> None:
        """A clock for what is awaited now; most requests arrive in one piece and never need one."""
        timed = (self._message, self._part) if self._part else None
        if timed == self._timed:
            return
        if self._clock is not None:
            self._clock.cancel()
        seconds = self.limits.header_s if self._part == "head" else self.limits.body_s
        self._clock = None if timed is None else self.loop.call_later(seconds, self._too_slow)
        self._timed = timed

    def _too_slow(self) -> None:
        self._clock = None
        if self.transport.is_closing():
            return
        if self._part == "body" and self.cycle is not None and self.cycle.response_started:
            self.transport.close()
            return
        if self._head_bytes or self._part == "body":
            self.transport.write(_raw("408 Request Timeout", "slow", "the request took too long to arrive"))
        self.transport.close()
