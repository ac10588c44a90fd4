"""The FastAPI application: every route but the plain one's fast way, documented in `/openapi.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from sightline.serve import label_studio, open_inference, reviewing, schemas
from sightline.serve.refusals import Refused
from sightline.serve.service import CALL, Call, to_json

if TYPE_CHECKING:
    from sightline.serve.service import Service

JSON = "application/json"
_CODES = {404: "unknown_path", 405: "method"}
NAME = Path(description="name of a model")


def build_api(service: Service) -> FastAPI:
    """The routes of a service."""
    from importlib.metadata import version

    api = FastAPI(
        title="sightline", version=version("sightline"), docs_url=None, redoc_url=None,
        description="Packages behind a port.",
    )  # fmt: skip
    api.add_exception_handler(Refused, _refused)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(500, _fault)
    _add_plain(api, service)
    open_inference.add_routes(api, service)
    label_studio.add_routes(api, service)
    reviewing.add_routes(api, service)
    _add_page(api, service)
    return api


def call_of(request: Request) -> Call:
    """The call this request is."""
    call: Call = request.scope[CALL]
    return call


def json_response(value: Any, status: int = 200) -> Response:
    """Plain values as JSON."""
    return Response(to_json(value), status, media_type=JSON)


def _answer(request: Request, refused: Refused) -> Response:
    headers = {name.decode(): value.decode() for name, value in refused.headers()}
    return Response(refused.body(call_of(request).head.id), refused.status, headers, JSON)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _answer(request, error)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allow = (error.headers or {}).get("Allow", "")
    text = {
        404: "there is nothing here; /openapi.json lists the routes",
        405: "the method is not offered here",
    }
    message = text.get(error.status_code, str(error.detail))
    code = _CODES.get(error.status_code, "http")
    return _answer(request, Refused(error.status_code, code, message, allow=allow))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return _answer(request, Refused(422, "bad_input", f"{where}: {first['msg']}"))


def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours; it is raised again behind this, and logged with its traceback there."""
    return _answer(request, Refused(500, "fault", "the service failed; its log has this request's id"))


def _add_plain(api: FastAPI, service: Service) -> None:
    @api.post("/predict/{model}", tags=["plain"], **schemas.PREDICT)
    async def predict(request: Request, model: str = NAME) -> Response:
        """One picture as the body, or several as multipart/form-data or JSON.

        `Accept: image/jpeg` (png, webp) gives the picture back with results drawn on it.
        """
        body, media_type = await service.predict(call_of(request), model)
        return Response(body, media_type=media_type)

    @api.post("/predict/{model}/versions/{version}", tags=["plain"], **schemas.PREDICT)
    async def predict_version(request: Request, model: str = NAME, version: str = Path()) -> Response:
        """The same, of a version that is named."""
        body, media_type = await service.predict(call_of(request), model, version)
        return Response(body, media_type=media_type)

    @api.get("/models", tags=["plain"], responses=schemas.refusals(401, 429), response_model=schemas.Listing)
    async def models() -> Any:
        """What is served, with the tasks, classes and inputs of each, and what could not be loaded."""
        rows = [
            {
                "name": served.name,
                "version": served.engine.version,
                "default": service.models.get(served.name) is served,
                "tasks": list(served.engine.signature.tasks),
                "classes": list(served.engine.signature.classes),
                "inputs": {
                    name: {"size_wh": list(s.size_wh), "pixels": s.pixels, "frames": s.frames}
                    for name, s in served.engine.signature.inputs.items()
                },
                "layout": served.engine.layout.to_json(),
                "quality": served.engine.manifest.quality,
                "waiting": served.batcher.depth,
            }
            for served in service.models.all
        ]
        return json_response({"models": rows, "faults": service.models.faults})

    @api.get("/metrics", tags=["watch"], **schemas.METRICS)
    async def metrics() -> Response:
        """What Prometheus scrapes."""
        if service.exposition is None:
            raise Refused(404, "no_metrics", "no metrics are kept")
        body, media_type = service.exposition()
        return Response(body, headers={"content-type": media_type})

    @api.get(
        "/shadow",
        tags=["watch"],
        responses=schemas.refusals(401, 404, 429),
        response_model=schemas.ShadowAnswer,
    )
    async def shadow() -> Any:
        """How far a challenger that answers beside the champion agreed with it."""
        if service.shadow is None:
            raise Refused(404, "no_shadow", "this service has no shadow; it is started with --shadow")
        return json_response(service.shadow.to_json())


def _add_page(api: FastAPI, service: Service) -> None:
    from sightline.serve import page

    for path, (text, media_type) in page.FILES.items():

        def give(text: bytes = text, media_type: str = media_type) -> Response:
            return Response(text, media_type=media_type, headers=page.HEADERS)

        api.add_api_route(path, give, methods=["GET"], include_in_schema=False, name=path)
