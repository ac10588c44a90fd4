"""Connections over a transport that only notes what is written: no socket, no clock longer than a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from sightline.serve.connections import Connection
from sightline.serve.options import Limits
from sightline.serve.service import ANSWER

QUICK = replace(Limits(), header_s=0.05, body_s=0.05)
WHOLE = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
App = Callable[[Any, Any, Any], Awaitable[None]]


class Transport(asyncio.Transport):
    """Keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def answer_whole(scope: Any, receive: Any, send: Any) -> None:
    """Answers in one piece, as the service does."""
    if scope[ANSWER](200, [(b"content-length", b"2")], b"ok"):
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def told(*pieces: bytes, app: App = answer_whole, wait_s: float = 0.0) -> Transport:
    """What a connection writes when these pieces arrive, one after another."""

    async def talk() -> Transport:
        config = uvicorn.Config(app, lifespan="off", log_config=None, server_header=False)
        config.load()
        protocol = type("QuickConnection", (Connection,), {"limits": QUICK})
        connection, transport = protocol(config, ServerState(), {}), Transport()
        connection.connection_made(transport)
        for piece in pieces:
            connection.data_received(piece)
            await asyncio.sleep(0.001)
        await asyncio.sleep(wait_s)
        connection.connection_lost(None)
        return transport

    return asyncio.run(talk())


def test_an_answer_leaves_in_one_piece_and_the_connection_is_kept() -> None:
    transport = told(WHOLE, WHOLE)
    assert len(transport.writes) == 2
    for piece in transport.writes:
        assert piece.startswith(b"HTTP/1.1 200 OK\r\n")
        assert piece.endswith(b"content-length: 2\r\n\r\nok")


def test_requests_that_come_in_one_piece_are_answered_in_their_order() -> None:
    bodies = iter((b"a", b"b"))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope[ANSWER](200, [(b"content-length", b"1")], next(bodies))

    transport = told(WHOLE + WHOLE, b"", app=app)
    assert [piece[-1:] for piece in transport.writes] == [b"a", b"b"]


@pytest.mark.parametrize("head", [b"HTTP/1.0\r\n", b"HTTP/1.1\r\nConnection: close\r\n"])
def test_a_client_that_wants_one_answer_is_told_that_it_was_the_last(head: bytes) -> None:
    transport = told(b"GET / " + head + b"Host: h\r\n\r\n")
    assert transport.writes[0].count(b"connection: close\r\n") == 1
    assert len(transport.writes) == 1


def test_a_service_that_drains_says_so_once() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope[ANSWER](200, [(b"content-length", b"0"), (b"connection", b"close")], b"")

    transport = told(WHOLE, app=app)
    assert transport.closed
    assert transport.writes[0].count(b"connection: close\r\n") == 1


def test_a_head_that_was_asked_for_alone_gets_no_body() -> None:
    written = b"".join(told(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").writes)
    assert written.startswith(b"HTTP/1.1 200 OK")
    assert written.endswith(b"\r\n\r\n")


def test_heads_and_bodies_that_stop_half_way_are_cut_off() -> None:
    for half in (WHOLE[:20], WHOLE[:-2]):
        seen: list[str] = []

        async def app(scope: Any, receive: Any, send: Any, seen: list[str] = seen) -> None:
            while (message := await receive()).get("more_body"):
                pass
            seen.append(message["type"])

        transport = told(half, app=app, wait_s=0.2)
        assert transport.closed
        assert transport.writes[0].startswith(b"HTTP/1.1 408")
        assert "http.request" not in seen


def test_the_second_request_of_a_connection_has_its_own_clock() -> None:
    transport = told(WHOLE, WHOLE[:20], wait_s=0.2)
    assert [piece[9:12] for piece in transport.writes] == [b"200", b"408"]


def test_a_request_that_is_there_has_all_the_time_its_answer_takes() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.15)
        await answer_whole(scope, receive, send)

    transport = told(WHOLE, app=app, wait_s=0.25)
    assert [piece[9:12] for piece in transport.writes] == [b"200"]


def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    transport = told(wait_s=0.15)
    assert transport.closed
    assert not transport.writes
