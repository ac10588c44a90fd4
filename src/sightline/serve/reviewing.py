"""What clients say afterwards: `POST /review/{request_id}` flags an answer, `POST /feedback` labels it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi import Path as InPath

from sightline.core.errors import StorageError, UsageError
from sightline.serve import schemas
from sightline.serve.bodies import parse_json
from sightline.serve.refusals import Refused
from sightline.serve.service import CALL, to_json

if TYPE_CHECKING:
    from sightline.monitor.review_queue import ReviewQueue
    from sightline.serve.service import Service

Plain = dict[str, Any]
T = TypeVar("T")

MOST_ROWS = 1000
MOST_NOTE = 500
MOST_INDEX = 100_000


def _queue(service: Service) -> ReviewQueue:
    if service.review is None:
        raise Refused(404, "no_review", "this service keeps no review store; it is started with --review")
    return service.review


def index_of(value: Any) -> int:
    """Which picture of a request; 0 where nothing is said."""
    index = 0 if value is None else value
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index <= MOST_INDEX:
        raise Refused(422, "bad_input", "index must be a whole number from 0: which picture of the request")
    return index


async def _stored(work: Callable[[], T]) -> T:
    """What needs the store, off the event loop.

    Raises:
        Refused: 422 what was told cannot be taken, 503 the store does not answer.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(None, work)
    except UsageError as error:
        raise Refused(422, "bad_input", str(error)) from error
    except StorageError as error:
        raise Refused(503, "store", "the review store does not answer", retry_after_s=5) from error


async def flag(service: Service, request_id: str, value: Any) -> Plain:
    """Put a picture into the review queue because its client says so."""
    queue = _queue(service)
    if value is not None and not isinstance(value, dict):
        raise Refused(422, "bad_input", 'the body is empty, or {"note": TEXT, "index": NUMBER}')
    given = value or {}
    note, index = given.get("note", ""), index_of(given.get("index"))
    if not isinstance(note, str) or len(note) > MOST_NOTE:
        raise Refused(422, "bad_input", f"note must be text of at most {MOST_NOTE} characters")
    if not await _stored(lambda: queue.flag(request_id, index, note)):
        raise Refused(404, "unknown_request", "no answer of that id is at hand; flag soon after asking")
    return {"id": request_id, "index": index, "flagged": True}


async def feedback(service: Service, value: Any) -> Plain:
    """Take labels for past answers."""
    queue = _queue(service)
    rows = value if isinstance(value, list) else [value]
    if not rows or len(rows) > MOST_ROWS or not all(isinstance(row, dict) for row in rows):
        raise Refused(422, "bad_input", f"the body is an object, or a list of 1 to {MOST_ROWS}")
    told = []
    for row in rows:
        name = row.get("request_id")
        if not isinstance(name, str) or not 1 <= len(name) <= 128 or "labels" not in row:
            raise Refused(422, "bad_input", "each row has request_id and labels, and index where it is not 0")
        told.append((name, index_of(row.get("index")), row["labels"]))
    taken, unknown = await _stored(lambda: queue.tell(told))
    if unknown and not taken:
        raise Refused(404, "unknown_request", "no answer of these ids is known any more")
    return {"taken": taken, "unknown": unknown}


def add_routes(api: FastAPI, service: Service) -> None:
    """The two routes."""
    options: Plain = {"tags": ["review"], "response_model": dict[str, Any]}
    refused = schemas.refusals(400, 401, 404, 413, 415, 422, 429, 503)

    async def body(request: Request) -> Any:
        with request.scope[CALL].body() as body:
            data = await body.read()
        return parse_json(data) if data else None

    def reply(value: Plain) -> Response:
        return Response(to_json(value), media_type="application/json")

    @api.post("/review/{request_id}", openapi_extra=schemas.FLAG, responses=refused, **options)
    async def review(request: Request, request_id: str = InPath()) -> Response:
        """Flag an answer: its picture is kept for a person to look at."""
        return reply(await flag(service, request_id, await body(request)))

    @api.post("/feedback", openapi_extra=schemas.FEEDBACK, responses=refused, **options)
    async def labels(request: Request) -> Response:
        """Labels for past answers, by request id: live quality is measured on them."""
        return reply(await feedback(service, await body(request)))
