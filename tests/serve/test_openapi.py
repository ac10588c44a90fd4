"""Schemathesis asks everything that the service's own OpenAPI offers, within a bound."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serve.asking import QUICK, ask, closed, encoded, post
from sightline.serve.logs import Log
from sightline.serve.running import Review, Shadowed, build_service
from sightline.serve.service import Service

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture(scope="module")
def described(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    """A service that keeps reviews and has a shadow, asked once so that an answer can be flagged."""
    store = Review(str(tmp_path_factory.mktemp("review")))
    place, log = packages["detect"], Log(io.StringIO())
    found = build_service([str(place)], QUICK, log=log, review=store, shadow=Shadowed(place, share=1.0))
    found.models.load()
    known = post(found, "/predict/detect", encoded()).json["id"]
    yield Described(schemathesis.openapi.from_asgi("/openapi.json", found), known)
    assert found.review is not None and found.shadow is not None
    found.review.close()
    found.shadow.close()
    closed(found)


@dataclass
class Described:
    """What a service says of itself, and the id of an answer that it gave."""

    schema: Any
    known: str

    def meant(self, case: Any) -> Any:
        """The case with the names that exist in the place of random ones: else all is answered with 404."""
        names = {"model": "detect", "version": "1", "request_id": self.known}
        if case.path_parameters:
            case.path_parameters = {key: names.get(key, value) for key, value in case.path_parameters.items()}
        if case.path == "/feedback":
            rows = case.body if isinstance(case.body, list) else [case.body]
            for row in rows:
                if isinstance(row, dict) and "request_id" in row:
                    row["request_id"] = self.known
        return case


def asked(described: Described, operation: Any) -> set[int]:
    """Statuses of an operation's answers, each held to what the description says of it."""
    seen: set[int] = set()

    @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(), known=st.sampled_from([True, True, False]))
    def ask_it(case: Any, known: bool) -> None:
        answer = (described.meant(case) if known else case).call_and_validate(checks=list(CHECKS))
        seen.add(answer.status_code)

    ask_it()
    return seen


def test_every_operation_answers_as_it_says(described: Described) -> None:
    found: dict[str, set[int]] = {}
    for given_operation in described.schema.get_all_operations():
        operation = given_operation.ok()
        found[f"{operation.method} {operation.path}"] = asked(described, operation)
    assert len(found) > 20
    never_reached = {name for name, codes in found.items() if codes <= {404, 405}}
    assert not never_reached, f"only refused as unknown: {never_reached}"


def test_the_description_names_every_route_and_its_refusals(service: Service) -> None:
    told = ask(service, "GET", "/openapi.json").json
    for path in ("/predict/{model}", "/v2/models/{model}/infer", "/v2/health/ready", "/models", "/metrics"):
        assert path in told["paths"]
    answers = told["paths"]["/predict/{model}"]["post"]["responses"]
    assert {"200", "400", "401", "404", "413", "415", "422", "429", "503", "504"} <= set(answers)
    assert "image/jpeg" in answers["200"]["content"]
