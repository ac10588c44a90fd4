from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from serve.asking import QUICK, ask, asked, closed, encoded, make_service, post, reason
from serve.graphs import make_package
from sightline.core.errors import PackageError, UsageError
from sightline.serve.models import natural


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three versions of one model with other weights."""
    root = tmp_path_factory.mktemp("versions")
    return [make_package(root / str(i), "detect", seed=i, version=str(8 + i)) for i in range(3)]


def put(source: Path, place: Path) -> None:
    """A package in the place of another, at once."""
    part = place.with_name(f".{place.name}.part")
    shutil.copytree(source, part)
    if place.exists():
        place.rename(place.with_name(".old"))
    part.rename(place)
    shutil.rmtree(place.with_name(".old"), ignore_errors=True)


def test_several_versions_are_served_and_the_highest_is_the_default(
    versions: list[Path], tmp_path: Path
) -> None:
    for index, source in enumerate(versions):
        put(source, tmp_path / f"v{8 + index}")
    found = make_service([str(tmp_path)])
    assert found.models.versions("detect") == ["8", "9", "10"]
    assert found.models.get("detect").engine.version == "10"
    answers = {v: post(found, f"/predict/detect/versions/{v}", encoded()).json for v in ("8", "9", "10")}
    assert {v: a["version"] for v, a in answers.items()} == {"8": "8", "9": "9", "10": "10"}
    assert answers["8"]["results"] != answers["10"]["results"]
    assert post(found, "/predict/detect", encoded()).json["results"] == answers["10"]["results"]
    closed(found)


def test_a_package_can_be_served_under_another_name(versions: list[Path]) -> None:
    found = make_service([f"cells={versions[0]}"])
    assert post(found, "/predict/cells", encoded()).json["model"] == "cells"
    reason(post(found, "/predict/detect", encoded()), 404, "unknown_model")
    closed(found)


def test_the_same_version_twice_and_no_package_stop_the_start(versions: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a second time"):
        make_service([str(versions[0]), str(versions[0])])
    with pytest.raises(PackageError, match="cannot be read"):
        make_service([str(tmp_path / "nothing")])
    with pytest.raises(UsageError, match="holds no package"):
        make_service([str(tmp_path)])
    with pytest.raises(UsageError, match="NAME=PACKAGE"):
        make_service([f"a/b={versions[0]}"])


def test_a_replaced_package_is_swapped_in_while_requests_run(versions: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "live"
    put(versions[0], place)
    found = make_service([str(place)])
    expected = {}

    async def through() -> list[tuple[int, str]]:
        answers = []
        for index, source in enumerate([versions[0], *versions[1:], versions[0]]):
            if index:
                put(source, place)
                swap = asyncio.create_task(found.refresh())
            running = [
                asyncio.create_task(asked(found, "POST", "/predict/detect", encoded())) for _ in range(20)
            ]
            for task in running:
                answer = await task
                answers.append((answer.status, answer.json["version"]))
                expected.setdefault(answer.json["version"], set()).add(str(answer.json["results"]))
            if index:
                assert await swap == ["detect"]
        return answers

    answers = asyncio.run(through())
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {"8", "9", "10"}
    assert all(len(results) == 1 for results in expected.values())  # each version answers as itself
    assert found.models.versions("detect") == ["8"]
    closed(found)


def test_a_broken_package_leaves_the_one_in_service(versions: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "live"
    put(versions[0], place)
    found = make_service([str(place)])
    (place / "model.onnx").write_bytes(b"not a model")
    (place / "manifest.json").write_text((place / "manifest.json").read_text() + " ")
    assert asyncio.run(found.refresh()) == []
    assert post(found, "/predict/detect", encoded()).status == 200
    faults = ask(found, "GET", "/models").json["faults"]
    assert "does not match its hash" in faults["live"]
    rows = post(found, "/v2/repository/index", b"", "application/json").json
    assert {row["state"] for row in rows} == {"READY", "UNAVAILABLE"}
    put(versions[1], place)
    assert post(found, "/v2/repository/models/detect/load", b"", "application/json").json == {
        "swapped": ["detect"]
    }
    assert ask(found, "GET", "/models").json["faults"] == {}
    closed(found)


def test_packages_come_and_go_with_their_folder_but_never_the_last(
    versions: list[Path], tmp_path: Path
) -> None:
    put(versions[0], tmp_path / "a")
    found = make_service([str(tmp_path)])
    put(versions[2], tmp_path / "b")
    asyncio.run(found.refresh())
    assert post(found, "/predict/detect", encoded()).json["version"] == "10"
    shutil.rmtree(tmp_path / "b")
    asyncio.run(found.refresh())
    assert post(found, "/predict/detect", encoded()).json["version"] == "8"
    shutil.rmtree(tmp_path / "a")
    asyncio.run(found.refresh())
    assert post(found, "/predict/detect", encoded()).status == 200
    closed(found)


def test_models_that_are_still_loaded_are_not_ready(versions: list[Path]) -> None:
    from sightline.serve.running import build_service

    found = build_service([str(versions[0])], QUICK)
    reason(ask(found, "GET", "/v2/health/ready"), 503, "not_ready")
    assert ask(found, "GET", "/v2/health/live").status == 200
    reason(post(found, "/predict/detect", encoded()), 503, "loading")


def test_versions_are_sorted_by_their_numbers() -> None:
    assert sorted(["v10", "v9", "v1.10", "v1.9"], key=natural) == ["v1.9", "v1.10", "v9", "v10"]


def test_a_package_that_changes_while_it_is_read_is_not_served(
    versions: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.serve import engine

    place = tmp_path / "live"
    put(versions[0], place)
    whole = engine.load

    def slow(*arguments: object, **named: object) -> object:
        put(versions[1], place)  # after the manifest was read, before the network is
        return whole(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "load", slow)
    with pytest.raises(PackageError, match="changed while it was read"):
        engine.Engine(place, QUICK)
