"""What `/openapi.json` says of bodies and answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Plain = dict[str, Any]
# A list rather than a tuple: not every reader of OpenAPI 3.1 knows `prefixItems`.
Size = Annotated[list[int], Field(min_length=2, max_length=2)]


class Fault(BaseModel):
    """Why a request was refused."""

    error: str
    code: str
    id: str


class Input(BaseModel):
    """One input of a model."""

    size_wh: Size
    pixels: str
    frames: int


class Model(BaseModel):
    """One version of a model."""

    model_config = ConfigDict(protected_namespaces=())
    name: str
    version: str
    default: bool
    tasks: list[str]
    classes: list[str]
    inputs: dict[str, Input]
    layout: dict[str, Any]
    quality: dict[str, dict[str, float]]
    waiting: int


class Listing(BaseModel):
    """Everything that is served."""

    models: list[Model]
    faults: dict[str, str]


class Prediction(BaseModel):
    """One picture's answer (`results`, `size_wh`), or several (`pictures`)."""

    id: str
    model: str
    version: str
    results: dict[str, Any] | None = None
    size_wh: Size | None = None
    pictures: list[dict[str, Any]] | None = None
    drawn: str | None = None
    ms: dict[str, float]


class Tensor(BaseModel):
    """A tensor of the Open Inference Protocol."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class TensorMetadata(BaseModel):
    """Name, type and shape of an input or output; -1 is free."""

    name: str
    datatype: str
    shape: list[int]


class InferenceAnswer(BaseModel):
    """What `infer` answers."""

    model_config = ConfigDict(protected_namespaces=())
    model_name: str
    model_version: str
    id: str
    outputs: list[Tensor]


class ModelMetadata(BaseModel):
    """What a model reads and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """What the service is."""

    name: str
    version: str
    extensions: list[str]


class Ready(BaseModel):
    """Whether it is alive, or ready."""

    live: bool | None = None
    ready: bool | None = None
    name: str | None = None


class IndexRow(BaseModel):
    """One version in the repository index."""

    name: str
    version: str
    state: str
    reason: str


class Against(BaseModel):
    """A shadow beside one version of the champion: pictures, share that agreed and its 95% interval."""

    since: str
    pictures: int
    agreed: int
    share: float
    interval: list[float]
    tasks: dict[str, float]
    moves: list[list[Any]]


class ShadowAnswer(BaseModel):
    """What a shadow found; `package` is the mark of its manifest, `against` has the champion's versions."""

    model: str
    version: str
    package: str
    fault: str
    against: dict[str, Against]


_TEXTS = {
    400: "a malformed request",
    401: "no valid token",
    403: "a foreign origin",
    404: "no such model or version",
    406: "several pictures cannot be drawn as one",
    413: "over a limit of size",
    415: "a media type or encoding that is not read",
    422: "what came is no picture, or not what the model reads",
    429: "too many requests; see Retry-After",
    503: "not ready, or about to stop",
    504: "not answered within its deadline",
}


def refusals(*statuses: int) -> dict[int | str, Plain]:
    """The answers a route may refuse with."""
    return {status: {"model": Fault, "description": _TEXTS[status]} for status in (*statuses, 403)}


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_BODIES: Plain = {
    **{f"image/{kind}": _BINARY for kind in ("jpeg", "png", "webp", "bmp")},
    "application/octet-stream": _BINARY,
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"picture": {"type": "array", "items": {"type": "string", "format": "binary"}}},
            "required": ["picture"],
        }
    },
    "application/json": {
        "schema": {
            "anyOf": [
                {"type": "object", "properties": {"picture": _BASE64}, "required": ["picture"]},
                {
                    "type": "object",
                    "properties": {"pictures": {"type": "array", "items": _BASE64, "minItems": 1}},
                    "required": ["pictures"],
                },
            ]
        }
    },
}


def _query(name: str, schema: Plain, text: str) -> Plain:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


PREDICT: Plain = {
    "responses": {
        200: {
            "model": Prediction,
            "description": "results, or the picture with them drawn on it",
            "content": {f"image/{kind}": _BINARY for kind in ("jpeg", "png", "webp")},
        },
        **refusals(400, 401, 404, 406, 413, 415, 422, 429, 503, 504),
    },
    "openapi_extra": {
        "requestBody": {"required": True, "content": _BODIES},
        "parameters": [
            _query("draw", {"type": "string", "enum": ["jpeg", "png", "webp"]}, "add the drawn picture"),
            _query("top", {"type": "integer", "minimum": 1, "maximum": 100000}, "classes listed"),
        ],
    },
}

_INFER_TENSOR: Plain = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
        "data": {"type": "array", "items": {}},
        "parameters": {"type": "object"},
    },
}
INFER: Plain = {
    "response_model": InferenceAnswer,
    "responses": {
        200: {"content": {"application/octet-stream": _BINARY}},
        **refusals(400, 401, 404, 413, 415, 422, 429, 503, 504),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["inputs"],
                        "properties": {
                            "id": {"type": "string"},
                            "inputs": {"type": "array", "items": _INFER_TENSOR, "minItems": 1},
                            "outputs": {"type": "array", "items": {"type": "object"}},
                            "parameters": {"type": "object"},
                        },
                    }
                },
                "application/octet-stream": _BINARY,
            },
        }
    },
}
TASKS: Plain = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["tasks"],
                    "properties": {
                        "tasks": {"type": "array", "items": {"type": "object"}},
                        "label_config": {"type": "string"},
                    },
                }
            }
        },
    }
}
_INDEX = {"type": "integer", "minimum": 0, "maximum": 100000}
_LABELLED: Plain = {
    "type": "object",
    "required": ["request_id", "labels"],
    "properties": {"request_id": {"type": "string"}, "index": _INDEX, "labels": {}},
}
FLAG: Plain = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"note": {"type": "string", "maxLength": 500}, "index": _INDEX},
                }
            }
        },
    }
}
FEEDBACK: Plain = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_LABELLED, {"type": "array", "items": _LABELLED, "maxItems": 1000}]}
            }
        },
    }
}
METRICS: Plain = {
    "responses": {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **refusals(401, 404, 429),
    },
    "response_model": None,
}
