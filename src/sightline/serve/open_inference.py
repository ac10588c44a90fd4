"""The Open Inference Protocol v2 (KServe, Triton), with binary tensors and the repository's index.

https://github.com/kserve/open-inference-protocol. Tensors are the network's own: placed pixels in, decoded
tensors in placed pixels out; the plain route is for whole pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Path, Request, Response
from numpy.typing import NDArray

from sightline.serve import schemas, tensors
from sightline.serve.batcher import Ticket
from sightline.serve.refusals import Refused
from sightline.serve.service import CALL, Call, to_json

if TYPE_CHECKING:
    from sightline.serve.models import Served
    from sightline.serve.service import Service

Array = NDArray[Any]
Plain = dict[str, Any]

EXTENSIONS = ("binary_tensor_data", "model_repository", "model_configuration")
MOST_ID = 200


class TensorWork:
    """Tensors as they came; nothing is decoded or placed."""

    def __init__(self, inputs: dict[str, Array], head: Plain, binary: Mapping[str, bool]) -> None:
        self._inputs, self._head, self._binary = inputs, head, binary

    @property
    def rows(self) -> int:
        """The first dimension."""
        return len(next(iter(self._inputs.values())))

    def prepare(self, ticket: Ticket) -> dict[str, Array]:
        """As they are."""
        return self._inputs

    def answer(self, outputs: Mapping[str, Array], ticket: Ticket) -> tuple[bytes, int]:
        """Body, and the length of its JSON."""
        return tensors.write_response(self._head, outputs, self._binary)


def metadata(service: Service, served: Served) -> Plain:
    """A model's metadata."""
    check_tensors(served)
    signature = served.engine.signature
    inputs = [
        {"name": name, "datatype": tensors.datatype(spec.dtype), "shape": [-1, *spec.shape(1)[1:]]}
        for name, spec in signature.inputs.items()
    ]
    outputs = []
    for name in served.engine.outputs:
        kind, shape = tensors.output_shape(name, signature)
        outputs.append({"name": name, "datatype": kind, "shape": shape})
    stage = next(iter(served.engine.manifest.stages.values()))
    return {
        "name": served.name,
        "versions": service.models.versions(served.name),
        "platform": f"sightline_{stage.runtime}",
        "inputs": inputs,
        "outputs": outputs,
    }


def check_tensors(served: Served) -> None:
    """Refuse a package of two stages: the second reads what the first one chose, so no tensor goes in.

    Raises:
        Refused: 422.
    """
    if served.engine.locator is not None:
        raise Refused(
            422,
            "bad_input",
            f"{served.name!r} has two stages, which read whole frames and no tensors of a fixed size; "
            f"send clips to /predict/{served.name}, or a film's frames to /ws/{served.name}",
        )


async def infer(service: Service, call: Call, name: str, version: str | None) -> Response:
    """Run tensors through a model."""
    with call.lease(name, version) as served:
        check_tensors(served)
        deadline_s = call.deadline_s()
        served.batcher.check_room(deadline_s)
        with call.body() as body:
            data = await body.read()
            limits = service.options.limits
            request, raw = tensors.split_body(call.head, data, limits)
            inputs = tensors.read_inputs(request, raw, served.engine.signature, limits)
            binary = tensors.wanted_outputs(request, served.engine.outputs)
            head = {
                "model_name": served.name,
                "model_version": served.engine.version,
                "id": _id(request, call),
            }
            text, length = await call.run(served, TensorWork(inputs, head, binary), deadline_s)
    if not length:
        return Response(text, media_type="application/json")
    headers = {tensors.LENGTH_HEADER.decode(): str(length)}
    return Response(text, media_type="application/octet-stream", headers=headers)


def _id(request: Plain, call: Call) -> str:
    given = request.get("id", "")
    if not isinstance(given, str) or len(given) > MOST_ID:
        raise tensors.bad(f"id must be a text of at most {MOST_ID} characters")
    return given or call.head.id


def add_routes(api: FastAPI, service: Service) -> None:
    """Every route under `/v2`."""
    _add_health(api, service)
    _add_models(api, service)
    _add_repository(api, service)


def _json(value: Any, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")


def _add_health(api: FastAPI, service: Service) -> None:
    options: Plain = {"tags": ["v2"], "response_model": schemas.Ready}

    @api.get("/v2/health/live", **options)
    async def live() -> Response:
        """Whether the process answers."""
        return _json({"live": True})

    @api.get("/v2/health/ready", responses=schemas.refusals(503), **options)
    async def ready() -> Response:
        """Whether every model is warm; no longer once the service is told to stop."""
        if not service.ready:
            raise Refused(503, "not_ready", "models are being loaded, or the service stops", retry_after_s=1)
        return _json({"ready": True})

    @api.get("/v2", tags=["v2"], response_model=schemas.ServerMetadata, responses=schemas.refusals(401, 429))
    async def server() -> Response:
        """Name, version and extensions."""
        return _json({"name": "sightline", "version": api.version, "extensions": list(EXTENSIONS)})


def _add_models(api: FastAPI, service: Service) -> None:
    refused = schemas.refusals(401, 404, 429, 503)
    described: Plain = {"tags": ["v2"], "responses": refused, "response_model": schemas.ModelMetadata}
    health: Plain = {"tags": ["v2"], "responses": refused, "response_model": schemas.Ready}
    free: Plain = {"tags": ["v2"], "responses": refused, "response_model": dict[str, Any]}
    infers: Plain = {"tags": ["v2"], **schemas.INFER}
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes = _ModelRoutes(service, versioned=prefix.endswith("{version}"))
        for path, route, method, options in (
            ("", routes.describe, "GET", described),
            ("/ready", routes.ready, "GET", health),
            ("/config", routes.config, "GET", free),
            ("/infer", routes.infer, "POST", infers),
        ):
            name = f"{route.__name__}_{'version' if routes.versioned else 'model'}"
            api.add_api_route(
                prefix + path, routes.of(route), methods=[method], name=name, operation_id=name, **options
            )


class _ModelRoutes:
    """The routes of a model, with or without a version in their path."""

    def __init__(self, service: Service, *, versioned: bool) -> None:
        self._service, self.versioned = service, versioned

    def of(self, route: Any) -> Any:
        """A route with the path parameters that it has."""

        async def with_version(request: Request, model: str = Path(), version: str = Path()) -> Response:
            found: Response = await route(request.scope[CALL], model, version)
            return found

        async def without(request: Request, model: str = Path()) -> Response:
            found: Response = await route(request.scope[CALL], model, None)
            return found

        chosen = with_version if self.versioned else without
        chosen.__doc__ = route.__doc__
        return chosen

    async def describe(self, call: Call, model: str, version: str | None) -> Response:
        """Inputs and outputs of a model."""
        return _json(metadata(self._service, call.lease(model, version)))

    async def ready(self, call: Call, model: str, version: str | None) -> Response:
        """Whether a model is ready."""
        return _json({"name": call.lease(model, version).name, "ready": True})

    async def config(self, call: Call, model: str, version: str | None) -> Response:
        """The part of Triton's configuration that clients read."""
        served = call.lease(model, version)
        known = metadata(self._service, served)
        rows = {
            side: [
                {"name": row["name"], "data_type": f"TYPE_{row['datatype']}", "dims": row["shape"][1:]}
                for row in known[f"{side}s"]
            ]
            for side in ("input", "output")
        }
        most = self._service.options.limits.pictures
        return _json({"name": served.name, "platform": known["platform"], "max_batch_size": most, **rows})

    async def infer(self, call: Call, model: str, version: str | None) -> Response:
        """Tensors in, tensors out."""
        return await infer(self._service, call, model, version)


def _add_repository(api: FastAPI, service: Service) -> None:
    @api.post(
        "/v2/repository/index", tags=["v2"], response_model=list[schemas.IndexRow],
        responses=schemas.refusals(401, 429),
    )  # fmt: skip
    async def index() -> Response:
        """Every version that is served, and packages that could not be loaded."""
        rows = [
            {"name": s.name, "version": s.engine.version, "state": "READY", "reason": ""}
            for s in service.models.all
        ]
        rows += [
            {"name": place, "version": "", "state": "UNAVAILABLE", "reason": reason}
            for place, reason in service.models.faults.items()
        ]
        return _json(rows)

    @api.post(
        "/v2/repository/models/{model}/load", tags=["v2"], response_model=dict[str, list[str]],
        responses=schemas.refusals(401, 404, 429, 503),
    )  # fmt: skip
    async def load(model: str = Path()) -> Response:
        """Look at the packages on disk now, and swap in what changed; the body is not read."""
        service.models.get(model)
        return _json({"swapped": await service.refresh()})
