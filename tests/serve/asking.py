"""Asking a service without a socket: one ASGI request, one answer."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from sightline.serve.logs import Log
from sightline.serve.options import ServeOptions
from sightline.serve.running import build_service
from sightline.serve.security import Tokens
from sightline.serve.service import Service

QUICK = ServeOptions(threads=2, warmup_s=0.02, deadline_ms=20_000, watch_s=0)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def picture(width: int = 96, height: int = 64, seed: int = 0) -> np.ndarray:
    """A picture with structure, RGB."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(kind: str = ".png", width: int = 96, height: int = 64, seed: int = 0) -> bytes:
    done, data = cv2.imencode(kind, picture(width, height, seed)[:, :, ::-1])
    assert done
    return data.tobytes()


def make_service(
    places: Sequence[str],
    options: ServeOptions = QUICK,
    tokens: dict[str, str] | None = None,
    rate: float = 0.0,
    watchers: Sequence[object] = (),
    **changes: Any,
) -> Service:
    log = Log(io.StringIO())
    service = build_service(
        places,
        replace(options, **changes),
        tokens=Tokens(tokens or {}),
        rate=rate,
        log=log,
        watchers=watchers,
    )
    service.models.load()
    return service


def closed(service: Service) -> None:
    """End a service's threads."""
    for served in service.models.all:
        served.batcher.close()
        assert served.batcher.join(5)


def logged(service: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.log._to.getvalue().splitlines()]


def scope_of(method: str, path: str, headers: dict[str, str] | None, kind: str = "http") -> dict[str, Any]:
    path, _, query = path.partition("?")
    named = [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
    return {
        "type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http",
        "headers": named, "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip


async def asked(
    service: Any,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    parts: Sequence[bytes] | None = None,
) -> Answer:
    """One request; `parts` sends the body in pieces, without a length."""
    scope = scope_of(method, path, headers)
    if parts is None and body:
        scope["headers"].append((b"content-length", str(len(body)).encode()))
    pieces = list(parts) if parts is not None else [body]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await service(scope, receive, send)
    start = sent[0]
    text = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, text)


def ask(service: Any, method: str, path: str, body: bytes = b"", **named: Any) -> Answer:
    return asyncio.run(asked(service, method, path, body, **named))


def post(service: Any, path: str, body: bytes, kind: str = "image/png", **headers: str) -> Answer:
    named = {"content-type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return ask(service, "POST", path, body, headers=named)


def reason(answer: Answer, status: int, code: str) -> str:
    """The text of a refusal, which is JSON with the request's id and never a traceback."""
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert answer.json["id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.json["error"] and "/site-packages/" not in answer.json["error"]
    return str(answer.json["error"])


def form(*files: tuple[str, str, bytes]) -> tuple[bytes, str]:
    """A multipart body of (name, media type, bytes), and its media type."""
    parts = []
    for name, kind, data in files:
        head = f'--xyz\r\ncontent-disposition: form-data; name="{name}"; filename="a"\r\n'
        parts.append(f"{head}content-type: {kind}\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + b"--xyz--\r\n", "multipart/form-data; boundary=xyz"
