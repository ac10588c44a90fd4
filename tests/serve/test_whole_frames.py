"""Packages of two stages behind the port: clips alone, films over a socket, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from runtime.two_stages import bright_package, spot, spot_frame
from serve.asking import Answer, ask, closed, make_service, post
from serve.test_sockets import talk
from sightline.core.plain import plain_result
from sightline.runtime.coarse_to_fine import CoarseToFine
from sightline.runtime.loading import load
from sightline.serve.service import Service

FRAMES = 24


def png(n: int) -> bytes:
    done, data = cv2.imencode(".png", spot_frame(n)[:, :, ::-1])
    assert done
    return data.tobytes()


def get(service: Service, path: str) -> Answer:
    return ask(service, "GET", path)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_package(tmp_path_factory.mktemp("p") / "bright", lag=1, check_every=0)


@pytest.fixture(scope="module")
def bright(package: Path) -> Iterator[Service]:
    service = make_service([str(package)])
    yield service
    closed(service)


def locator(package: Path) -> CoarseToFine:
    found = load(package, threads=1)
    assert isinstance(found, CoarseToFine)
    return found


def test_a_clip_is_answered_as_the_package_answers_it_alone(bright: Service, package: Path) -> None:
    for newest in (2, 9, 17):
        frames = [base64.b64encode(png(n)).decode() for n in range(newest - 2, newest + 1)]
        body = json.dumps({"pictures": [{"clip": frames}, {"clip": frames[::-1]}]}).encode()
        told = post(bright, "/predict/bright", body, "application/json").json
        clip = [spot_frame(n) for n in range(newest - 2, newest + 1)]
        alone = locator(package).predict([{"clip": clip}, {"clip": clip[::-1]}])
        assert [row["size_wh"] for row in told["pictures"]] == [[640, 360]] * 2
        assert [row["results"] for row in told["pictures"]] == [
            {"locate": plain_result(results["locate"])} for results in alone
        ]


def test_frames_of_a_socket_are_one_film(bright: Service, package: Path) -> None:
    answers = asyncio.run(talk(bright, "/ws/bright?draw=png", [png(n) for n in range(FRAMES)]))[1:]
    told: list[dict[str, Any]] = [json.loads(answer["text"]) for answer in answers]
    with locator(package).open_stream() as stream:
        streamed = [stream.push({"clip": spot_frame(n)})["locate"] for n in range(FRAMES)]
        assert stream.tally.coarse < FRAMES  # so it matters that frames have a past
    for n, (row, expected) in enumerate(zip(told, streamed, strict=True)):
        assert row["results"] == {"locate": plain_result(expected)}
        (found,) = row["results"]["locate"]
        assert (found["score"] >= 0.5) == (spot(n) is not None)
    assert told[0]["drawn"].startswith("data:image/png")


def test_two_sockets_do_not_share_a_past(bright: Service) -> None:
    first = asyncio.run(talk(bright, "/ws/bright", [png(n) for n in range(4)]))[1:]
    again = asyncio.run(talk(bright, "/ws/bright", [png(n) for n in range(4)]))[1:]
    results = [[json.loads(a["text"])["results"] for a in answers] for answers in (first, again)]
    assert results[0] == results[1]


def test_a_frame_that_is_no_picture_does_not_end_the_film(bright: Service) -> None:
    answers = asyncio.run(talk(bright, "/ws/bright", [png(0), b"nothing", png(1)]))[1:]
    told = [json.loads(answer["text"]) for answer in answers]
    assert [row.get("code") for row in told] == [None, "not_a_picture", None]
    assert np.abs(np.array(told[2]["results"]["locate"][0]["point"]) - spot(1)).max() < 1


def test_tensors_are_refused_with_the_routes_that_take_frames(bright: Service) -> None:
    body = json.dumps({"inputs": []}).encode()
    for answer in (
        post(bright, "/v2/models/bright/infer", body, "application/json"),
        get(bright, "/v2/models/bright"),
    ):
        assert answer.status == 422
        assert "/predict/bright" in answer.body.decode() and "/ws/bright" in answer.body.decode()
    assert get(bright, "/v2/models/bright/ready").json["ready"]


def test_a_picture_where_a_clip_is_read_is_told_what_to_send(bright: Service) -> None:
    answer = post(bright, "/predict/bright", png(0), "image/png")
    assert answer.status == 422
    assert "clip x3" in answer.body.decode()
