"""WebSocket for frames: `/ws/{model}`, one source each; the newest frame is answered, older ones dropped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sightline.core.picture import size_wh_of
from sightline.core.predictor import Inputs, Stream
from sightline.core.results import Result
from sightline.core.specs import Signature
from sightline.runtime.coarse_to_fine import CLIP
from sightline.serve.batcher import Ticket
from sightline.serve.bodies import Head, Message, Receive, Send
from sightline.serve.engine import Engine
from sightline.serve.observing import Observer
from sightline.serve.options import Limits
from sightline.serve.pictures import check_picture, decode
from sightline.serve.predicting import check_served, wish_of
from sightline.serve.refusals import Refused
from sightline.serve.service import to_json
from sightline.serve.whole_frames import SAME, Film, Next, rows_of
from sightline.serve.work import Files, PictureWork, Wish

if TYPE_CHECKING:
    from sightline.serve.service import Service

Array = NDArray[Any]

PATH = "/ws/"
PROTOCOL = "sightline"
# Close codes: RFC 6455 policy and restart, and the private range for what HTTP would say.
POLICY, RESTART, PRIVATE = 1008, 1012, 4000


class _Gather:
    """Stands in for a predictor, so that `Stream` makes a clip's element and this keeps it."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.element: Inputs = {}

    def predict(self, batch: Sequence[Inputs]) -> list[dict[str, Result]]:
        self.element = batch[0]
        return [{}]

    def open_stream(self) -> Stream:
        return Stream(self)


class FrameWork(PictureWork):
    """One frame of a stream; earlier frames come from the stream's own past."""

    def __init__(
        self, engine: Engine, frame: bytes, gather: tuple[_Gather, Stream], wish: Wish, limits: Limits,
        observer: Observer,
    ) -> None:  # fmt: skip
        (self._name, self._spec), *_ = engine.signature.inputs.items()
        super().__init__(engine, [{self._name: [frame]}], wish, limits, observer)
        self._gather = gather

    def read(self, index: int, files: Files) -> dict[str, Array]:
        """The frame, or the clip that it ends."""
        pixels = decode(files[self._name][0], self._spec, self._limits, where="frame")
        gather, stream = self._gather
        try:
            stream.push({self._name: pixels})
        except ValueError as error:
            raise Refused(422, "bad_input", "frames of one stream must be of one size") from error
        return dict(gather.element)


class FilmWork(PictureWork):
    """One frame of a film for a package of two stages; its stream holds what came before."""

    def __init__(
        self, engine: Engine, frame: bytes, film: Film, wish: Wish, limits: Limits, observer: Observer
    ) -> None:
        super().__init__(engine, [{CLIP: [frame]}], wish, limits, observer)
        self._film = film

    def prepare(self, ticket: Ticket) -> dict[str, Array]:
        """Decoded; the stages place it where they look."""
        spec = self._engine.signature.inputs[CLIP]
        pixels = decode(self._elements[0][CLIP][0], spec, self._limits, where="frame")
        ticket.lap("decode")
        self._pictures = [{CLIP: pixels[None] if spec.frames > 1 else pixels}]
        self._frames = [(SAME, size_wh_of(pixels))]
        return rows_of([Next(self._film, pixels)])


class Past:
    """What a connection's frames leave for the next one; begun anew for another model."""

    def __init__(self) -> None:
        self._gather: tuple[_Gather, Stream] | None = None
        self._film: Film | None = None

    def work(
        self, engine: Engine, frame: bytes, wish: Wish, limits: Limits, observer: Observer
    ) -> PictureWork:
        """The next frame as work for the model that is served now."""
        if engine.locator is not None:
            if self._film is None or self._film.locator is not engine.locator:
                self.close()
                self._film = Film(engine.locator)
            return FilmWork(engine, frame, self._film, wish, limits, observer)
        if self._gather is None or self._gather[0].signature != engine.signature:
            one = _Gather(engine.signature)
            self._gather = (one, one.open_stream())
        return FrameWork(engine, frame, self._gather, wish, limits, observer)

    def close(self) -> None:
        """Let go of it."""
        if self._film is not None:
            self._film.close()
        self._film = None


class Mailbox:
    """The newest frame that is not yet answered, and how many were dropped for newer ones."""

    def __init__(self) -> None:
        self._frame: bytes | None = None
        self._there = asyncio.Event()
        self.seq = self.dropped = 0
        self.closed = False

    def put(self, frame: bytes) -> None:
        """Leave a frame; an older one that still lies there is dropped and counted."""
        self.dropped += self._frame is not None
        self._frame = frame
        self.seq += 1
        self._there.set()

    def close(self) -> None:
        """No more frames come."""
        self.closed = True
        self._there.set()

    async def take(self) -> bytes | None:
        """The newest frame; None once closed and empty."""
        while self._frame is None:
            if self.closed:
                return None
            self._there.clear()
            await self._there.wait()
        frame, self._frame = self._frame, None
        return frame


async def converse(service: Service, head: Head, receive: Receive, send: Send) -> None:
    """Answer the frames of one WebSocket until either side closes it.

    A binary message is a picture file; the answer is a text message, JSON as the plain route gives it with
    `seq` (which message it answers, from 1) and `dropped` (frames passed over so far). A frame that is no
    picture is answered with its refusal and the stream goes on.
    """
    await receive()
    began, model, frames = time.perf_counter(), "", 0
    try:
        service.admit(head)
        name = head.path.removeprefix(PATH)
        if name == head.path:
            raise Refused(404, "unknown_path", "frames go to /ws/MODEL")
        served = service.models.get(name)
        model = served.name
        check_served(served.engine.signature.inputs)
        if len(served.engine.signature.inputs) > 1:
            raise Refused(422, "bad_input", "the model reads several inputs at once")
        wish = wish_of(head, top=service.options.top)
        accept: Message = {"type": "websocket.accept"}
        offered = head.headers.get(b"sec-websocket-protocol", b"").decode("latin-1")
        if PROTOCOL in [word.strip() for word in offered.split(",")]:
            accept["subprotocol"] = PROTOCOL
        await send(accept)
    except Refused as refused:
        await send({"type": "websocket.close", "code": PRIVATE + refused.status, "reason": refused.code})
        service.observer.request(model, refused.status)
        return
    mailbox = Mailbox()
    reader = asyncio.get_running_loop().create_task(_read(service, head, receive, mailbox))
    try:
        frames = await _answer_all(service, name, mailbox, wish, send)
        await send({"type": "websocket.close", "code": RESTART if service.draining else 1000})
    except (OSError, RuntimeError):  # the other side has gone
        pass
    finally:
        reader.cancel()
        service.log.line(
            "socket", id=head.id, model=model, frames=frames, dropped=mailbox.dropped,
            seconds=round(time.perf_counter() - began, 3),
        )  # fmt: skip


async def _read(service: Service, head: Head, receive: Receive, mailbox: Mailbox) -> None:
    while True:
        message: Mapping[str, Any] = await receive()
        if message["type"] == "websocket.disconnect":
            mailbox.close()
            return
        data = message.get("bytes")
        mailbox.put(data if data is not None else b"")


async def _answer_all(service: Service, name: str, mailbox: Mailbox, wish: Wish, send: Send) -> int:
    """Answer frames, one after another; how many."""
    past, count = Past(), 0
    while not service.draining:
        frame = await mailbox.take()
        if frame is None:
            break
        seq = mailbox.seq
        try:
            with service.models.get(name) as served:
                limits, deadline_s = service.options.limits, service.options.deadline_ms / 1000
                check_picture(frame, limits, where="frame")
                work = past.work(served.engine, frame, wish, limits, service.observer)
                body, _ = await served.batcher.submit(work, deadline_s).future
            told = b'{"seq": %d, "dropped": %d, ' % (seq, mailbox.dropped) + body[1:]
            service.observer.request(name, 200)
        except Refused as refused:
            told = to_json(
                {"seq": seq, "dropped": mailbox.dropped, "error": str(refused), "code": refused.code}
            )
            service.observer.request(name, refused.status)
        await send({"type": "websocket.send", "text": told.decode()})
        count += 1
    past.close()
    return count
