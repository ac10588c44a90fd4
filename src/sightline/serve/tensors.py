"""Tensors of the Open Inference Protocol v2: JSON values, and raw bytes behind the JSON.

The protocol: https://github.com/kserve/open-inference-protocol; binary tensors are its extension.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.specs import TASK_OUTPUTS, Signature
from sightline.serve.bodies import Head, parse_json
from sightline.serve.options import Limits
from sightline.serve.refusals import Refused

Array = NDArray[Any]
Plain = dict[str, Any]

LENGTH_HEADER = b"inference-header-content-length"
DTYPES = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
NAMES = {np.dtype(text).str.lstrip("|<"): name for name, text in DTYPES.items()}
_DEEPEST = 8


def datatype(dtype: Any) -> str:
    """The protocol's name of a NumPy type."""
    return NAMES[np.dtype(dtype).str.lstrip("|<")]


def output_shape(name: str, signature: Signature) -> tuple[str, list[int]]:
    """Type and shape of a decoded tensor, -1 where it is free, for a model's metadata."""
    task, _, field = name.partition(".")
    if task not in TASK_OUTPUTS or field not in TASK_OUTPUTS[task]:
        return "FP32", [-1, -1]
    text = TASK_OUTPUTS[task][field]
    axes = text[1 : text.index(")")].split(", ")
    width, height = next(iter(signature.inputs.values())).size_wh
    known = {"C": len(signature.classes), "H": height, "W": width, "4": 4, "2": 2}
    kind = next(word for word in ("f32", "i64", "u8") if f" {word}" in text)
    types = {"f32": "FP32", "i64": "INT64", "u8": "UINT8"}
    return types[kind], [known.get(axis, -1) for axis in axes]


def split_body(head: Head, data: bytes, limits: Limits) -> tuple[Plain, bytes]:
    """The JSON of a request, and the raw tensors behind it.

    Raises:
        Refused: 400, the header's length is none or past the body; 413, too much JSON.
    """
    length = len(data)
    text = head.headers.get(LENGTH_HEADER)
    if text is not None:
        if not text.isdigit() or len(text) > 12 or int(text) > len(data):
            raise Refused(400, "bad_header", f"{LENGTH_HEADER.decode()} is no length within the body")
        length = int(text)
    if length > limits.json_bytes:
        raise Refused(
            413, "too_large", f"{length} bytes of JSON, at most {limits.json_bytes}; send binary tensors"
        )
    value = parse_json(data[:length])
    if not isinstance(value, dict):
        raise Refused(400, "bad_json", "an inference request is a JSON object")
    return value, data[length:]


def read_inputs(request: Plain, raw: bytes, signature: Signature, limits: Limits) -> dict[str, Array]:
    """Every input of the model, checked against what it reads.

    Raises:
        Refused: 400, an input is missing, unknown or twice there, or its type, shape or length is wrong.
    """
    given = request.get("inputs")
    if not isinstance(given, list) or not all(isinstance(tensor, dict) for tensor in given):
        raise bad("inputs must be a list of tensors")
    names = [tensor.get("name") for tensor in given]
    if len(given) != len(signature.inputs) or set(map(str, names)) != set(signature.inputs):
        raise bad(f"the model reads {', '.join(signature.inputs)}; given: {str(names)[:200]}")
    found: dict[str, Array] = {}
    at = 0
    for tensor in given:
        name = str(tensor["name"])
        spec = signature.inputs[name]
        shape = _shape(tensor.get("shape"), name, limits)
        want = spec.shape(shape[0] if shape else 0)
        if shape != want:
            raise bad(f"input {name!r} has shape {list(shape)}, the model reads {[-1, *want[1:]]}")
        if tensor.get("datatype") != datatype(spec.dtype):
            raise bad(f"input {name!r} is {str(tensor.get('datatype'))[:40]}, must be {datatype(spec.dtype)}")
        size = _binary_size(tensor, name)
        if size is None:
            found[name] = _values(tensor.get("data"), shape, spec.dtype, name)
        else:
            found[name] = _raw(raw[at : at + size], size, shape, spec.dtype, name)
            at += size
    if at != len(raw):
        raise bad(f"{len(raw)} bytes of binary tensors, the request names {at}")
    if len({len(value) for value in found.values()}) != 1:
        raise bad("inputs differ in their first dimension")
    return found


def bad(message: str) -> Refused:
    """A tensor that cannot be taken."""
    return Refused(400, "bad_tensor", message)


def _shape(value: Any, name: str, limits: Limits) -> tuple[int, ...]:
    whole = isinstance(value, list) and len(value) <= _DEEPEST and all(type(size) is int for size in value)
    if not whole or any(size < 1 or size > 1 << 24 for size in value):
        raise bad(f"input {name!r}: shape must be a list of positive whole numbers")
    if value and value[0] > limits.pictures:
        raise Refused(413, "too_many", f"input {name!r}: {value[0]} rows, at most {limits.pictures} at once")
    return tuple(value)


def _binary_size(tensor: Plain, name: str) -> int | None:
    parameters = tensor.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise bad(f"input {name!r}: parameters must be an object")
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise bad(f"input {name!r}: binary_data_size must be a whole number")
    if "data" in tensor:
        raise bad(f"input {name!r}: gives both data and binary_data_size")
    return size


def _raw(data: bytes, size: int, shape: tuple[int, ...], dtype: str, name: str) -> Array:
    want = math.prod(shape) * np.dtype(dtype).itemsize
    if size != want or len(data) != want:
        raise bad(f"input {name!r}: {len(data)} bytes of {size} named, its shape and type need {want}")
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype, copy=False)


def _values(data: Any, shape: tuple[int, ...], dtype: str, name: str) -> Array:
    """Whole numbers in row-major order, flat or nested."""
    if not isinstance(data, list):
        raise bad(f"input {name!r}: gives neither data nor binary_data_size")
    count = math.prod(shape)
    if not data or not isinstance(data[0], list):
        flat = data
    else:
        flat = []
        _flatten(data, shape, flat, name)
    if len(flat) != count:
        raise bad(f"input {name!r}: {len(flat)} values, its shape holds {count}")
    # Before NumPy sees them: one long text among them would make an array of that width.
    if set(map(type, flat)) != {int}:
        raise bad(f"input {name!r}: values must be whole numbers")
    limit = np.iinfo(dtype)
    if min(flat) < limit.min or max(flat) > limit.max:
        raise bad(f"input {name!r}: values must be from {limit.min} to {limit.max}")
    return np.array(flat, dtype).reshape(shape)


def _flatten(data: Any, shape: tuple[int, ...], flat: list[Any], name: str) -> None:
    """Append a nested list's values; every level must be as long as the shape says."""
    if not isinstance(data, list) or len(data) != shape[0]:
        raise bad(f"input {name!r}: nested data must have the shape it names")
    if len(shape) == 1:
        flat += data
        return
    for row in data:
        _flatten(row, shape[1:], flat, name)


def wanted_outputs(request: Plain, names: Sequence[str]) -> dict[str, bool]:
    """Names of the outputs to give, and whether each goes as raw bytes.

    Raises:
        Refused: 400, an output the model does not have.
    """
    parameters = request.get("parameters") or {}
    asked = request.get("outputs")
    if not isinstance(parameters, dict) or not (asked is None or isinstance(asked, list)):
        raise bad("parameters must be an object and outputs a list")
    binary = parameters.get("binary_data_output") is True
    if not asked:
        return dict.fromkeys(names, binary)
    found: dict[str, bool] = {}
    for row in asked:
        name = row.get("name") if isinstance(row, dict) else None
        if not isinstance(name, str) or name not in names or name in found:
            raise bad(f"output {str(name)[:80]!r} is unknown or asked for twice; known: {', '.join(names)}")
        own = row.get("parameters") or {}
        if not isinstance(own, dict):
            raise bad(f"output {name!r}: parameters must be an object")
        if "classification" in own:
            raise bad("the classification extension is not offered")
        found[name] = bool(own.get("binary_data", binary))
    return found


def write_response(
    head: Plain, outputs: Mapping[str, Array], binary: Mapping[str, bool]
) -> tuple[bytes, int]:
    """Body of an answer, and the length of its JSON where raw tensors follow it, else 0."""
    rows: list[Plain] = []
    raw: list[bytes] = []
    for name, as_bytes in binary.items():
        value = np.ascontiguousarray(outputs[name])
        row: Plain = {"name": name, "datatype": datatype(value.dtype), "shape": list(value.shape)}
        if as_bytes:
            data = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
            raw.append(data)
            row["parameters"] = {"binary_data_size": len(data)}
        else:
            row["data"] = _finite(value, name)
        rows.append(row)
    text = json.dumps({**head, "outputs": rows}, allow_nan=False).encode()
    return b"".join([text, *raw]), len(text) if raw else 0


def _finite(value: Array, name: str) -> list[Any]:
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise Refused(
            500, "not_finite", f"output {name!r} holds a value that is not finite; ask for it as binary"
        )
    flat: list[Any] = value.ravel().tolist()
    return flat
