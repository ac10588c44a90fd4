"""The plain route: a body with one picture or many, to work for a batcher."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from sightline.core.specs import InputSpec
from sightline.serve.bodies import Head, parse_json
from sightline.serve.options import Limits
from sightline.serve.pictures import check_picture
from sightline.serve.refusals import Refused
from sightline.serve.work import Files, Wish

DRAWN = ("jpeg", "png", "webp")
MOST_CLASSES = 100_000
MULTIPART, JSON = "multipart/form-data", "application/json"

Inputs = Mapping[str, InputSpec]


def wish_of(head: Head, *, top: int) -> Wish:
    """How a request wants its answer, from its query and its `Accept`.

    Raises:
        Refused: 400, a value that cannot be taken.
    """
    query = query_of(head)
    draw = query.get("draw", "")
    accept = head.headers.get(b"accept", b"").decode("latin-1").split(",")[0].split(";")[0].strip().lower()
    wanted = accept.removeprefix("image/") if accept.startswith("image/") else ""
    only = wanted in DRAWN and not draw
    if draw and draw not in DRAWN:
        raise Refused(400, "bad_query", f"draw must be one of {', '.join(DRAWN)}")
    return Wish(head.id, _top(query.get("top"), top), wanted if only else draw, only)


def query_of(head: Head) -> dict[str, str]:
    """Names and values of the query; of a name given twice, the last."""
    if not head.query:
        return {}
    return dict(parse_qsl(head.query.decode("latin-1"), max_num_fields=None)[:64])


def _top(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 6 or not 1 <= int(text) <= MOST_CLASSES:
        raise Refused(400, "bad_query", f"top must be a whole number from 1 to {MOST_CLASSES}")
    return int(text)


def elements_of(head: Head, data: bytes, inputs: Inputs, limits: Limits) -> tuple[list[Files], bool]:
    """Checked picture files, an element for each, and whether the body was a single one.

    A body is one picture; or `multipart/form-data`, where every file is a picture unless the parts have
    the names of the model's inputs (then they are one element, a clip's frames oldest first); or JSON,
    `{"picture": BASE64}` or `{"pictures": [...]}`, where an element may be an object by input name.

    Raises:
        Refused: 400, 413, 415 or 422, as `pictures.check_picture`.
    """
    check_served(inputs)
    if head.kind == MULTIPART:
        elements, single = _from_parts(_parts(head, data, limits), inputs, limits), False
    elif head.kind == JSON:
        elements, single = _from_json(parse_json(data), inputs, limits)
    else:
        check_picture(data, limits, declared=head.kind)
        elements, single = [single_input(data, inputs)], True
    if not elements:
        raise Refused(422, "bad_input", "the body holds no picture")
    if len(elements) > limits.pictures:
        raise Refused(413, "too_many", f"{len(elements)} pictures, at most {limits.pictures} at once")
    return elements, single


def check_served(inputs: Inputs) -> None:
    """Refuse a model that reads its own past: a request has none."""
    if any(spec.pixels == "track" for spec in inputs.values()):
        raise Refused(
            422,
            "bad_input",
            "the model reads a track of earlier answers; send tensors, or run `sightline watch`",
        )


def single_input(data: bytes, inputs: Inputs) -> Files:
    """A picture for a model that reads one; another must be told which input it is."""
    (name, spec), *others = inputs.items()
    if others or spec.frames > 1:
        wanted = ", ".join(f"{n} x{s.frames}" if s.frames > 1 else n for n, s in inputs.items())
        raise Refused(
            422,
            "bad_input",
            f"the model reads {wanted}; send multipart/form-data with parts of these names",
        )
    return {name: [data]}


def _from_parts(parts: Sequence[tuple[str, str, bytes]], inputs: Inputs, limits: Limits) -> list[Files]:
    """Parts by input name as one element, or each part as a picture."""
    for index, (_, kind, data) in enumerate(parts):
        check_picture(data, limits, declared=kind, where=f"picture {index}")
    needs_names = len(inputs) > 1 or next(iter(inputs.values())).frames > 1
    if not needs_names:
        return [single_input(data, inputs) for _, _, data in parts]
    return [_named({name: [d for n, _, d in parts if n == name] for name, _, _ in parts}, inputs)]


def _named(files: Mapping[str, Sequence[bytes]], inputs: Inputs) -> Files:
    """An element that names every input, with as many frames as it reads."""
    unknown, missing = sorted(set(files) - set(inputs)), sorted(set(inputs) - set(files))
    if unknown or missing:
        shown = ", ".join(name[:40] for name in unknown[:5])
        raise Refused(
            422, "bad_input", f"the model reads {', '.join(inputs)}; missing {missing}, unknown [{shown}]"
        )
    for name, spec in inputs.items():
        if len(files[name]) != spec.frames:
            raise Refused(
                422,
                "bad_input",
                f"input {name!r} is {spec.frames} frames, oldest first; got {len(files[name])}",
            )
    return files


def _from_json(value: Any, inputs: Inputs, limits: Limits) -> tuple[list[Files], bool]:
    if not isinstance(value, dict) or not ({"picture", "pictures"} & set(value)):
        raise Refused(422, "bad_input", 'JSON must be {"picture": BASE64} or {"pictures": [BASE64, ...]}')
    single = "picture" in value
    rows = [value["picture"]] if single else value["pictures"]
    if not isinstance(rows, list) or len(rows) > limits.pictures:
        raise Refused(413, "too_many", f"pictures must be a list of at most {limits.pictures}")
    return [_element(row, f"picture {index}", inputs, limits) for index, row in enumerate(rows)], single


def _element(row: Any, where: str, inputs: Inputs, limits: Limits) -> Files:
    if not isinstance(row, dict):
        return single_input(_base64(row, where, limits), inputs)
    named: dict[str, list[bytes]] = {}
    for name, value in row.items():
        frames = value if isinstance(value, list) else [value]
        if len(frames) > limits.pictures:
            raise Refused(413, "too_many", f"{where}: {len(frames)} frames, at most {limits.pictures}")
        named[name] = [_base64(frame, where, limits) for frame in frames]
    return _named(named, inputs)


def _base64(value: Any, where: str, limits: Limits) -> bytes:
    """A picture as base64 or as a `data:` URI; any other text (a path, an address) is not looked at."""
    if not isinstance(value, str):
        raise Refused(422, "bad_input", f"{where}: must be a picture in base64")
    text, declared = value, ""
    if value.startswith("data:"):
        declared, _, text = value[5:].partition(",")
        declared = declared.split(";")[0].strip().lower()
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(422, "bad_input", f"{where}: is not base64") from error
    check_picture(data, limits, declared=declared, where=where)
    return data


def _parts(head: Head, data: bytes, limits: Limits) -> list[tuple[str, str, bytes]]:
    """Name, media type and bytes of the parts of a multipart body.

    Raises:
        Refused: 400 no boundary or a damaged body, 413 too many parts.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    _, options = parse_options_header(head.headers.get(b"content-type", b""))
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise Refused(400, "bad_body", "multipart/form-data without a boundary")
    collector = _Collector(limits.pictures * 2)
    parser = MultipartParser(boundary, collector.callbacks())  # type: ignore[arg-type]
    try:
        parser.write(data)
        parser.finalize()
    except FormParserError as error:
        raise Refused(400, "bad_body", f"multipart body is damaged: {error}"[:300]) from error
    if not collector.ended:
        raise Refused(400, "bad_body", "multipart body is cut short")
    return collector.parts


class _Collector:
    """Gathers a multipart body's parts."""

    def __init__(self, most: int) -> None:
        self.parts: list[tuple[str, str, bytes]] = []
        self.ended = False
        self._most = most
        self._header, self._value = b"", b""
        self._headers: dict[str, str] = {}
        self._data: list[bytes] = []

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda d, a, b: self._data.append(d[a:b]),
            "on_part_end": self._part,
            "on_header_field": self._field,
            "on_header_value": self._values,
            "on_header_end": self._header_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) >= self._most:
            raise Refused(413, "too_many", f"more than {self._most} parts")
        self._headers, self._data = {}, []

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _values(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._header, self._value = b"", b""

    def _part(self) -> None:
        text = Message()
        text["content-disposition"] = self._headers.get("content-disposition", "")
        name = text.get_param("name", "", header="content-disposition")
        kind = self._headers.get("content-type", "").split(";")[0].strip().lower()
        self.parts.append((str(name), kind, b"".join(self._data)))

    def _end(self) -> None:
        self.ended = True
