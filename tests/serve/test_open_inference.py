from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.asking import Answer, ask, post, reason
from sightline.runtime.loading import load
from sightline.serve.service import Service
from sightline.serve.tensors import output_shape

INFER = "/v2/models/detect/infer"
SHAPE = (2, 48, 64, 3)


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, np.uint8)


def tensor(array: np.ndarray, **changes: Any) -> dict[str, Any]:
    return {
        "name": "image",
        "shape": list(array.shape),
        "datatype": "UINT8",
        "data": array.ravel().tolist(),
    } | changes


def infer(service: Service, request: Any, raw: bytes = b"", path: str = INFER) -> Answer:
    text = json.dumps(request).encode()
    headers = {"inference-header-content-length": str(len(text))} if raw else {}
    return ask(service, "POST", path, text + raw, headers=headers)


def read(answer: Answer) -> dict[str, np.ndarray]:
    """Tensors of an answer, JSON or binary."""
    length = int(answer.headers.get("inference-header-content-length", len(answer.body)))
    told, at = json.loads(answer.body[:length]), length
    types = {"FP32": "<f4", "INT64": "<i8", "UINT8": "u1"}
    found = {}
    for row in told["outputs"]:
        if "data" in row:
            found[row["name"]] = np.array(row["data"], types[row["datatype"]]).reshape(row["shape"])
        else:
            size = row["parameters"]["binary_data_size"]
            found[row["name"]] = np.frombuffer(answer.body[at : at + size], types[row["datatype"]]).reshape(
                row["shape"]
            )
            at += size
    assert at == len(answer.body)
    return found


def test_tensors_are_answered_as_the_runtime_answers_them(
    service: Service, packages: dict[str, Path]
) -> None:
    expected = load(packages["detect"]).infer({"image": values()})
    flat = infer(service, {"id": "q1", "inputs": [tensor(values())]})
    assert flat.status == 200, flat.body
    assert flat.json["id"] == "q1" and flat.json["model_name"] == "detect"
    nested = infer(service, {"inputs": [tensor(values(), data=values().tolist())]})
    size = {"binary_data_size": values().size}
    sent = {"inputs": [{"name": "image", "shape": SHAPE, "datatype": "UINT8", "parameters": size}]}
    binary = infer(service, {**sent, "parameters": {"binary_data_output": True}}, values().tobytes())
    assert binary.headers["content-type"] == "application/octet-stream"
    for answer in (flat, nested, binary):
        found = read(answer)
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)


def test_only_the_outputs_asked_for_come_back_each_as_it_was_asked(service: Service) -> None:
    outputs = [{"name": "detect.scores", "parameters": {"binary_data": True}}, {"name": "detect.classes"}]
    answer = infer(service, {"inputs": [tensor(values())], "outputs": outputs})
    assert list(read(answer)) == ["detect.scores", "detect.classes"]


SIZE = {"binary_data_size": 2 * 48 * 64 * 3}
BAD: dict[str, Any] = {
    "no inputs": {},
    "inputs of the wrong kind": {"inputs": "image"},
    "an unknown input": {"inputs": [tensor(values(), name="picture")]},
    "an input twice": {"inputs": [tensor(values()), tensor(values())]},
    "another shape": {"inputs": [tensor(values()[:, :-1])]},
    "no shape": {"inputs": [tensor(values(), shape=None)]},
    "a negative shape": {"inputs": [tensor(values(), shape=[-1, 48, 64, 3])]},
    "a shape of truths": {"inputs": [tensor(values(), shape=[True, 48, 64, 3])]},
    "a huge shape": {"inputs": [tensor(values(), shape=[2, 48, 64, 1 << 40])]},
    "another type": {"inputs": [tensor(values(), datatype="FP32")]},
    "a type that is none": {"inputs": [tensor(values(), datatype=["UINT8"])]},
    "too few values": {"inputs": [tensor(values(), data=[1, 2, 3])]},
    "too many values": {"inputs": [tensor(values(), data=[0] * (values().size + 1))]},
    "values over the type": {"inputs": [tensor(values(), data=[256] * values().size)]},
    "values that are no whole numbers": {"inputs": [tensor(values(), data=[0.5] * values().size)]},
    "words": {"inputs": [tensor(values(), data=["x" * 50] * values().size)]},
    "ragged values": {"inputs": [tensor(values(), data=[[0]] * values().size)]},
    "data and binary": {"inputs": [tensor(values(), parameters={"binary_data_size": 4})]},
    "binary that did not come": {
        "inputs": [{"name": "image", "shape": SHAPE, "datatype": "UINT8", "parameters": SIZE}],
    },
    "an output that is not there": {"inputs": [tensor(values())], "outputs": [{"name": "boxes"}]},
    "an id that is no text": {"inputs": [tensor(values())], "id": 5},
    "a list": [1],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_request_is_a_400_with_a_text(service: Service, name: str) -> None:
    answer = infer(service, BAD[name])
    assert answer.status == 400 and isinstance(answer.json["error"], str), answer.body


def test_lengths_that_do_not_agree_are_refused(service: Service) -> None:
    size = values().size
    sent = {
        "inputs": [
            {"name": "image", "shape": SHAPE, "datatype": "UINT8", "parameters": {"binary_data_size": size}}
        ]
    }
    for raw in (values().tobytes()[:-1], values().tobytes() + b"x"):
        reason(infer(service, sent, raw), 400, "bad_tensor")
    wrong = ask(service, "POST", INFER, b"{}", headers={"inference-header-content-length": "99"})
    reason(wrong, 400, "bad_header")


def test_more_rows_than_are_allowed_are_refused(service: Service) -> None:
    request = {"inputs": [tensor(values(), shape=[65, 48, 64, 3])]}
    reason(infer(service, request), 413, "too_many")


def test_health_metadata_and_index_are_the_protocols(service: Service) -> None:
    assert ask(service, "GET", "/v2/health/live").json == {"live": True}
    assert ask(service, "GET", "/v2/health/ready").json == {"ready": True}
    assert "binary_tensor_data" in ask(service, "GET", "/v2").json["extensions"]
    told = ask(service, "GET", "/v2/models/detect").json
    assert told["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 48, 64, 3]}]
    assert {"name": "detect.boxes", "datatype": "FP32", "shape": [-1, -1, 4]} in told["outputs"]
    assert ask(service, "GET", "/v2/models/detect/versions/1/ready").json["ready"] is True
    assert ask(service, "GET", "/v2/models/detect/config").json["max_batch_size"] == 64
    reason(ask(service, "GET", "/v2/models/nothing/ready"), 404, "unknown_model")
    rows = post(service, "/v2/repository/index", b"{}", "application/json").json
    assert {row["name"] for row in rows} == {"classify", "detect", "segment", "locate"}
    assert all(row["state"] == "READY" for row in rows)


def test_the_shapes_of_the_metadata_hold_for_the_outputs(service: Service, packages: dict[str, Path]) -> None:
    for task in ("classify", "detect", "segment", "locate"):
        predictor = load(packages[task])
        size = predictor.signature.inputs["image"].shape(3)
        for name, value in predictor.infer({"image": np.zeros(size, np.uint8)}).items():
            _, shape = output_shape(name, predictor.signature)
            assert len(shape) == value.ndim and all(
                w in (-1, v) for w, v in zip(shape, value.shape, strict=True)
            )
