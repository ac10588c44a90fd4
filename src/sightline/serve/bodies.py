"""Reading a request: its head, and its body within limits."""

from __future__ import annotations

import json
import os
import random
import re
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from sightline.serve.options import Limits
from sightline.serve.refusals import Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Ids must differ, here and in other replicas, but hide nothing: the system's own randomness costs each
# request sixteen microseconds of the event loop.
_IDS = random.Random(os.urandom(32))
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_DIGITS = re.compile(rb"[0-9]{1,18}")


class Head:
    """What a request says before its body.

    Attributes:
        headers: lower-case names; of a name given twice, the first.
        id: the client's `X-Request-Id` where it is a plain one, else a new one.
        kind: media type without parameters, lower case.
    """

    __slots__ = ("headers", "id", "kind", "method", "path", "query", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self.method: str = scope.get("method", "GET")
        self.query: bytes = scope.get("query_string", b"")
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        given = self.headers.get(b"x-request-id", b"")
        self.id = given.decode() if REQUEST_ID.fullmatch(given) else f"{_IDS.getrandbits(128):032x}"
        kind = self.headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
        self.kind = kind.decode("latin-1")

    def number(self, name: bytes, most: float) -> float | None:
        """A header that is a positive number, cut to `most`; None where it is absent.

        Raises:
            Refused: 400, it is no number, or not positive.
        """
        text = self.headers.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not value > 0:
            raise Refused(400, "bad_header", f"header {name.decode()} is not a positive number")
        return min(value, most)


class Budget:
    """Bytes of bodies held at once by all requests."""

    def __init__(self, most: int) -> None:
        self._most, self.held = most, 0

    def take(self, count: int) -> None:
        """Hold more.

        Raises:
            Refused: 429, too much is held.
        """
        if self.held + count > self._most:
            raise Refused(429, "memory", "too many large requests at once", retry_after_s=1)
        self.held += count

    def give(self, count: int) -> None:
        """Let go."""
        self.held -= count


class Body:
    """A request's body, read once, within its limits; use it as a context manager to give its memory back."""

    def __init__(self, head: Head, receive: Receive, limits: Limits, budget: Budget) -> None:
        self._head, self._receive, self._limits, self._budget = head, receive, limits, budget
        self._held = 0

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give(self._held)
        self._held = 0

    def _hold(self, count: int) -> None:
        self._budget.take(count)
        self._held += count

    async def read(self, most: int | None = None) -> bytes:
        """All of it, with `Content-Encoding` undone.

        Raises:
            Refused: 400 a wrong length, 413 over the limit, 415 an unknown encoding, 429 no memory left,
                499 the client went away.
        """
        most = self._limits.body_bytes if most is None else most
        length = self._head.headers.get(b"content-length")
        if length is not None:
            if not _DIGITS.fullmatch(length):
                raise Refused(400, "bad_header", "content-length is no number")
            if int(length) > most:
                raise too_large(most)
            self._hold(int(length))
        encoding = self._head.headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b"gzip", b"deflate"):
            raise Refused(415, "encoding", "content-encoding is none of identity, gzip, deflate")
        data = await self._collect(most, counted=length is not None)
        return data if encoding == b"identity" else self._inflate(data, most)

    async def _collect(self, most: int, *, counted: bool) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Refused(499, "gone", "the client closed the connection")
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > most:
                raise too_large(most)
            if not counted:
                self._hold(len(part))
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _inflate(self, data: bytes, most: int) -> bytes:
        """Undo gzip or zlib, stopping at the limit, whatever the compressed data claim."""
        stream = zlib.decompressobj(wbits=47)
        try:
            out = stream.decompress(data, most + 1)
        except zlib.error as error:
            raise Refused(400, "encoding", "body is not in the content-encoding it names") from error
        if len(out) > most:
            raise too_large(most)
        if not stream.eof:
            raise Refused(400, "encoding", "compressed body is cut short")
        self._hold(len(out))
        return out


def too_large(most: int) -> Refused:
    """What a body over the limit gets."""
    return Refused(413, "too_large", f"body is over the limit of {most} bytes")


def parse_json(data: bytes) -> Any:
    """A JSON value; numbers that JSON does not know are refused.

    Raises:
        Refused: 400, not JSON, or nested too deep.
    """
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise Refused(400, "bad_json", f"body is not JSON: {reason}"[:300]) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
