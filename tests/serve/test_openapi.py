"""Schemathesis asks everything that the service's own OpenAPI offers, within a bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serve.asking import ask, make_service
from sightline.serve.service import Service

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture(scope="module")
def described(packages: dict[str, Path]) -> Any:
    """Of a service of its own: what asks it also starts and stops it."""
    return schemathesis.openapi.from_asgi("/openapi.json", make_service([str(packages["detect"])]))


def test_every_operation_answers_as_it_says(described: Any) -> None:
    asked = 0
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask_it(case: Any) -> None:
            case.call_and_validate(checks=list(CHECKS))

        ask_it()
        asked += 1
    assert asked > 20


def test_the_description_names_every_route_and_its_refusals(service: Service) -> None:
    told = ask(service, "GET", "/openapi.json").json
    for path in ("/predict/{model}", "/v2/models/{model}/infer", "/v2/health/ready", "/models", "/metrics"):
        assert path in told["paths"]
    answers = told["paths"]["/predict/{model}"]["post"]["responses"]
    assert {"200", "400", "401", "404", "413", "415", "422", "429", "503", "504"} <= set(answers)
    assert "image/jpeg" in answers["200"]["content"]
