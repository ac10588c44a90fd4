from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.asking import QUICK, ask, asked, closed, encoded, make_service, post, reason
from serve.graphs import make_package
from sightline.core.errors import PackageError, UsageError
from sightline.runtime import loading
from sightline.runtime.options import Runtime
from sightline.serve.engine import Engine
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
    place = tmp_path / "live"
    put(versions[0], place)
    whole = loading._bytes

    def late(file: Path) -> tuple[bytes, str]:
        put(versions[1], place)  # after the manifest was read, before the network is
        return whole(file)

    monkeypatch.setattr(loading, "_bytes", late)
    with pytest.raises(PackageError, match="does not match its hash"):
        Engine(place, QUICK)


def test_no_change_while_a_package_is_loaded_mixes_two(
    versions: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "live"
    put(versions[0], place)
    found = make_service([str(place)])
    known = {"8": post(found, "/predict/detect", encoded()).json["results"]}
    opened: list[str] = []
    whole = loading.resolve

    def late(name: str) -> Runtime:
        # Both sessions of the new engine are opened after the package was replaced again, or put back.
        put(versions[2 if not opened else 1], place)
        opened.append(name)
        return whole(name)

    put(versions[1], place)
    monkeypatch.setattr(loading, "resolve", late)
    assert asyncio.run(found.refresh()) == ["detect"]
    assert len(opened) == 2
    monkeypatch.setattr(loading, "resolve", whole)
    engine = found.models.get("detect").engine
    placed = engine.blank(1)
    narrow, wide = engine._narrow.infer(placed), (engine._wide or engine._narrow).infer(placed)
    assert np.allclose(narrow["detect.scores"], wide["detect.scores"], atol=1e-5)
    known["9"] = post(found, "/predict/detect", encoded()).json["results"]
    assert found.models.versions("detect") == ["9"]
    alone = make_service([str(versions[1])])
    assert post(alone, "/predict/detect", encoded()).json["results"] == known["9"] != known["8"]
    assert engine.fingerprint == loading.fingerprint(versions[1])
    closed(alone)
    closed(found)


def test_a_version_can_come_back_as_often_as_it_is_rolled_back_to(
    versions: list[Path], tmp_path: Path
) -> None:
    place = tmp_path / "live"
    put(versions[0], place)
    found = make_service([str(place)])
    for turn in range(1, 9):
        put(versions[turn % 2], place)
        assert asyncio.run(found.refresh()) == ["detect"]
        assert found.models.versions("detect") == [str(8 + turn % 2)]
    closed(found)


def test_a_swap_between_two_looks_loses_no_request(versions: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "live"
    put(versions[0], place)
    found = make_service([str(place)])
    models = found.models

    class Late(dict[str, str]):
        """The default version, swapped right after it was read."""

        def get(self, name: str, default: Any = None) -> Any:
            told = super().get(name, default)
            models._default = dict(self)
            put(versions[1], place)
            for step in models.changes():
                step()
            return told

    models._default = Late(models._default)
    assert models.get("detect").engine.version == "9"
    closed(found)
