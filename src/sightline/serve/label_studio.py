"""A machine-learning backend for Label Studio: its tasks are answered with pre-annotations.

A task names its picture by an address. No address and no path of a task is ever opened: a picture is
looked up by name among the files of the one folder that the operator gave, or comes inside the task as a
`data:` URI.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi import Path as InPath
from numpy.typing import NDArray

from sightline.core.assemble import assemble
from sightline.core.label_studio_guesses import guesses
from sightline.core.media import PICTURE_SUFFIXES
from sightline.core.results import Result
from sightline.serve import schemas
from sightline.serve.batcher import Ticket
from sightline.serve.bodies import parse_json
from sightline.serve.options import Limits
from sightline.serve.pictures import check_picture
from sightline.serve.predicting import single_input
from sightline.serve.refusals import Refused
from sightline.serve.service import CALL, Call, to_json
from sightline.serve.work import PictureWork, Wish

if TYPE_CHECKING:
    from sightline.serve.models import Served
    from sightline.serve.service import Service

Array = NDArray[Any]
Plain = dict[str, Any]

LOOK_AGAIN_S = 5.0
MOST_TASKS = 1000
_CONTROLS = ("rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels", "choices")


class Labelling(HTMLParser):
    """What a labelling configuration says: where pictures are, and the controls by their kind.

    It is read as HTML, which knows no entities that grow and no files to include.

    Attributes:
        media: key of a task's data, and name of the tag that shows it.
        controls: kind -> (name, labels); the first of each kind.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.media: tuple[str, str] | None = None
        self.controls: dict[str, tuple[str, set[str]]] = {}
        self._open: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Take one tag."""
        values = {name: value or "" for name, value in attrs}
        if tag == "image" and self.media is None:
            self.media = (values.get("value", "").removeprefix("$"), values.get("name", ""))
        elif tag in _CONTROLS and tag not in self.controls:
            self.controls[tag] = (values.get("name", ""), set())
            self._open = self.controls[tag][1]
        elif tag in _CONTROLS:
            self._open = set()
        elif tag in ("label", "choice"):
            self._open.add(values.get("value", ""))

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Take one tag that is closed at once."""
        self.handle_starttag(tag, attrs)

    def fitted(self, regions: Sequence[Plain]) -> list[Plain]:
        """Regions under the configuration's own names; those it has no control or label for are left out."""
        kept = []
        for region in regions:
            kind = region["type"]
            name, labels = self.controls.get(kind, ("", set()))
            wanted = region["value"].get(kind, [])
            if self.media is not None and name and set(wanted) <= labels:
                kept.append({**region, "from_name": name, "to_name": self.media[1]})
        return kept


class Media:
    """Pictures of one folder by their names; looked at again when a name is not known."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder.resolve() if folder is not None else None
        self._files: dict[str, Path] = {}
        self._looked = float("-inf")

    def find(self, address: str) -> Path | None:
        """The file that an address names: by its longest tail that is a file's path in the folder."""
        names = [part for part in _path_of(address).split("/") if part not in ("", ".", "..")]
        for _ in range(2):
            for start in range(len(names)):
                found = self._files.get("/".join(names[start:]))
                if found is not None:
                    return found
            if not self._look():
                return None
        return None

    def _look(self) -> bool:
        """List the folder, unless that was done just now."""
        if self._folder is None or time.monotonic() - self._looked < LOOK_AGAIN_S:
            return False
        self._looked = time.monotonic()
        self._files = {
            path.relative_to(self._folder).as_posix(): path
            for path in self._folder.rglob("*")
            if path.suffix.lower() in PICTURE_SUFFIXES and path.resolve().is_relative_to(self._folder)
        }
        return True


def _path_of(address: str) -> str:
    """The path that an address names; of Label Studio's local files, the one in its query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    given = parse_qs(parts.query).get("d") if parts.path.endswith("/local-files/") else None
    return given[0] if given else unquote(parts.path)


class RegionWork(PictureWork):
    """Pictures answered as results, not as text."""

    def answer(self, outputs: Mapping[str, Array], ticket: Ticket) -> Any:
        """Results by task and size, a pair for each picture."""
        found: list[tuple[dict[str, Result], tuple[int, int]]] = []
        for index, (matrix, size_wh) in enumerate(self._frames):
            results = assemble(outputs, index, self._engine.signature, matrix, size_wh)
            self._tell(index, results, outputs)
            found.append((results, size_wh))
        return found


def read_picture(task: Any, labelling: Labelling, media: Media, limits: Limits) -> bytes:
    """The checked file of a task's picture.

    Raises:
        Refused: the task names none, or none that is known or may be decoded.
    """
    key = labelling.media[0] if labelling.media else "image"
    data = task.get("data") if isinstance(task, dict) else None
    address = data.get(key) if isinstance(data, dict) else None
    if not isinstance(address, str):
        raise Refused(422, "bad_input", f"the task's data have no {key!r}")
    if address.startswith("data:"):
        try:
            file = base64.b64decode(address.partition(",")[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refused(422, "bad_input", "the data: URI is not base64") from error
    else:
        path = media.find(address)
        if path is None:
            raise Refused(
                404, "unknown_picture", "no picture of that name is in the folder of --label-studio-media"
            )
        try:
            if path.stat().st_size > limits.body_bytes:
                raise Refused(413, "too_large", f"the file is over {limits.body_bytes} bytes")
            file = path.read_bytes()
        except OSError as error:
            raise Refused(404, "unknown_picture", f"the file cannot be read ({error.strerror})") from error
    check_picture(file, limits)
    return file


async def predict(service: Service, call: Call, name: str, media: Media) -> Plain:
    """Answer Label Studio's tasks, one at a time; a task whose picture fails gets an empty result."""
    with call.lease(name, None) as served, call.body() as body:
        request = parse_json(await body.read())
        tasks = request.get("tasks") if isinstance(request, dict) else None
        config = request.get("label_config") if isinstance(request, dict) else None
        if not isinstance(tasks, list) or len(tasks) > MOST_TASKS:
            raise Refused(422, "bad_input", f"tasks must be a list of at most {MOST_TASKS}")
        labelling = Labelling(config if isinstance(config, str) else "")
        return {"results": [await _one(service, call, served, task, labelling, media) for task in tasks]}


async def _one(
    service: Service, call: Call, served: Served, task: Any, labelling: Labelling, media: Media
) -> Plain:
    version = f"{served.name} {served.engine.version}"
    loop, limits = asyncio.get_running_loop(), service.options.limits
    try:
        file = await loop.run_in_executor(None, read_picture, task, labelling, media, limits)
        element = single_input(file, served.engine.signature.inputs)
        work = RegionWork(served.engine, [element], Wish(call.head.id), limits, service.observer)
        ((results, size_wh),) = await call.run(served, work, call.deadline_s())
    except Refused as refused:
        if refused.status in (429, 499, 503):
            raise
        service.log.line("task", id=call.head.id, reason=str(refused), code=refused.code)
        return {"result": [], "score": 0.0, "model_version": version, "reason": refused.message}
    found = guesses(results, size_wh, served.engine.signature.thresholds)
    regions = labelling.fitted(found["guess"])
    score = min((region["score"] for region in regions if "score" in region), default=0.0)
    return {"result": regions, "score": score, "model_version": version}


def add_routes(api: FastAPI, service: Service) -> None:
    """What Label Studio calls, under `/label-studio/{model}`: the address to enter there."""
    media = Media(Path(service.options.media) if service.options.media else None)
    prefix = "/label-studio/{model}"
    refused = schemas.refusals(400, 401, 404, 413, 415, 422, 429, 503, 504)
    options: Plain = {"tags": ["label studio"], "responses": refused, "response_model": dict[str, Any]}

    def reply(value: Plain) -> Response:
        return Response(to_json(value), media_type="application/json")

    @api.get(f"{prefix}/health", **options)
    async def health(model: str = InPath()) -> Response:
        """Whether the backend is up."""
        served = service.models.get(model)
        return reply({"status": "UP", "model_class": served.name})

    @api.post(f"{prefix}/setup", **options)
    async def setup(model: str = InPath()) -> Response:
        """Called when a project is connected; the body is not read."""
        served = service.models.get(model)
        return reply({"model_version": f"{served.name} {served.engine.version}"})

    @api.post(f"{prefix}/webhook", **options)
    async def webhook(model: str = InPath()) -> Response:
        """Events of the project; nothing is trained here, so they are let go."""
        service.models.get(model)
        return reply({"result": "ignored"})

    @api.post(f"{prefix}/predict", openapi_extra=schemas.TASKS, **options)
    async def tasks(request: Request, model: str = InPath()) -> Response:
        """Pre-annotations for tasks."""
        return reply(await predict(service, request.scope[CALL], model, media))
