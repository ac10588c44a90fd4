from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serve.asking import closed, encoded, make_service, post, scope_of
from sightline.serve.service import Service
from sightline.serve.sockets import Mailbox


async def talk(
    service: Service, path: str, frames: Sequence[bytes], headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Send frames one after another, each once the last was answered; what came back, messages and close."""
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "websocket.connect"})
    scope = scope_of("GET", path, headers, "websocket")
    running = asyncio.create_task(service(scope, incoming.get, sent.put))
    found = [await sent.get()]
    if found[0]["type"] == "websocket.accept":
        for frame in frames:
            incoming.put_nowait({"type": "websocket.receive", "bytes": frame})
            found.append(await sent.get())
        incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await running
    return found


def test_frames_are_answered_as_pictures_are(service: Service) -> None:
    frames = [encoded(".jpg", seed=i) for i in range(3)]
    answers = asyncio.run(talk(service, "/ws/detect", frames))[1:]
    for index, (answer, frame) in enumerate(zip(answers, frames, strict=True)):
        told = json.loads(answer["text"])
        assert (told["seq"], told["dropped"]) == (index + 1, 0)
        assert told["results"] == post(service, "/predict/detect", frame, "image/jpeg").json["results"]


def test_a_bad_frame_is_refused_and_the_stream_goes_on(service: Service) -> None:
    answers = asyncio.run(talk(service, "/ws/detect", [b"", b"text", encoded()]))[1:]
    told = [json.loads(answer["text"]) for answer in answers]
    assert [row.get("code") for row in told] == ["not_a_picture", "not_a_picture", None]


def test_unknown_models_tokens_and_origins_are_refused_before_a_socket_opens(
    packages: dict[str, Path],
) -> None:
    found = make_service([str(packages["detect"])], tokens={"ann": "t" * 20})
    bearer = {"sec-websocket-protocol": f"sightline, bearer.{'t' * 20}"}
    assert asyncio.run(talk(found, "/ws/detect", [], bearer))[0]["subprotocol"] == "sightline"
    for path, headers, code in (
        ("/ws/detect", {}, 4401),
        ("/ws/nothing", bearer, 4404),
        ("/other", bearer, 4404),
        ("/ws/detect", {**bearer, "origin": "https://evil.example", "host": "here"}, 4403),
    ):
        refused = asyncio.run(talk(found, path, [], headers))[0]
        assert (refused["type"], refused["code"]) == ("websocket.close", code)
    closed(found)


def test_the_newest_frame_is_answered_and_older_ones_are_counted() -> None:
    async def crowd() -> tuple[bytes | None, int, bytes | None]:
        mailbox = Mailbox()
        for frame in (b"1", b"2", b"3"):
            mailbox.put(frame)
        newest = await mailbox.take()
        mailbox.close()
        return newest, mailbox.dropped, await mailbox.take()

    assert asyncio.run(crowd()) == (b"3", 2, None)


def test_a_stream_of_a_model_that_reads_clips_remembers_its_frames() -> None:
    from sightline.core.predictor import Stream
    from sightline.core.specs import InputSpec, Signature
    from sightline.serve.sockets import _Gather

    gather = _Gather(Signature(("locate",), ("ball",), {"clip": InputSpec((8, 8), frames=3)}))
    stream = Stream(gather)
    for value in range(5):
        stream.push({"clip": np.full((4, 4, 3), value, np.uint8)})
    assert [frame[0, 0, 0] for frame in gather.element["clip"]] == [2, 3, 4]
