"""A challenger beside the champion in the service: no answer is changed, and what it found can be asked."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.asking import QUICK, ask, closed, encoded, logged, post, reason
from serve.graphs import make_package
from sightline.core.errors import PackageError, UsageError
from sightline.monitor.shadow import Shadow
from sightline.serve.logs import Log
from sightline.serve.running import Shadowed, build_service
from sightline.serve.service import Service


def started(packages: dict[str, Path], shadow: Path, task: str = "classify", name: str = "") -> Service:
    beside = Shadowed(shadow, name, share=1.0)
    found = build_service([str(packages[task])], QUICK, log=Log(io.StringIO()), shadow=beside)
    found.models.load()
    return found


@pytest.fixture
def shadowed(packages: dict[str, Path]) -> Iterator[Service]:
    found = started(packages, packages["classify"])
    yield found
    assert isinstance(found.shadow, Shadow)
    found.shadow.close()
    closed(found)


def wait_for_pictures(service: Service, count: int) -> dict[str, object]:
    for n in range(1500):
        assert post(service, "/predict/classify", encoded(seed=n % 5)).status == 200
        told = ask(service, "GET", "/shadow").json
        if told["against"].get("1", {}).get("pictures", 0) >= count:
            return dict(told)
        time.sleep(0.01)
    raise AssertionError(f"the shadow did not answer: {told}")


def test_the_same_package_agrees_on_every_picture(shadowed: Service) -> None:
    told = wait_for_pictures(shadowed, 3)
    beside = told["against"]["1"]  # type: ignore[index]
    assert told["model"] == "classify" and told["version"] == "1" and told["fault"] == ""
    assert beside["agreed"] == beside["pictures"] and beside["tasks"] == {"classify": 1.0}
    text = ask(shadowed, "GET", "/metrics").body.decode()
    assert 'sightline_shadow_pictures_total{agreed="yes",model="classify",version="1"}' in text


def test_a_shadow_that_breaks_takes_no_answer_with_it(packages: dict[str, Path], tmp_path: Path) -> None:
    other = make_package(tmp_path / "other", "classify")
    service = started(packages, other)
    (other / "model.onnx").write_bytes(b"gone bad since")
    answers = [post(service, "/predict/classify", encoded(seed=n)) for n in range(5)]
    assert all(answer.status == 200 for answer in answers)
    for _ in range(1000):
        if ask(service, "GET", "/shadow").json["fault"]:
            break
        time.sleep(0.01)
    assert "hash" in ask(service, "GET", "/shadow").json["fault"]
    (line,) = [row["said"] for row in logged(service) if row["event"] == "shadow"]
    assert "is no shadow" in line
    closed(service)


def test_a_service_without_a_shadow_says_so_and_no_package_is_none(
    service: Service, packages: dict[str, Path], tmp_path: Path
) -> None:
    reason(ask(service, "GET", "/shadow"), 404, "no_shadow")
    with pytest.raises(PackageError):
        started(packages, tmp_path)


def test_a_shadow_of_nothing_that_is_served_stops_the_start_and_a_name_mends_it(
    packages: dict[str, Path],
) -> None:
    service = started(packages, packages["detect"])
    asyncio.run(service._load())
    assert isinstance(service.fault, UsageError) and "follows 'detect', served: classify" in str(
        service.fault
    )
    closed(service)
    service = started(packages, packages["detect"], name="classify")
    asyncio.run(service._load())
    assert service.fault is None
    closed(service)
