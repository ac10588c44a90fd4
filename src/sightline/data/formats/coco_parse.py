"""Reading a COCO file's JSON: typed and fast, and where it fails, slowly, until the place is known."""

from __future__ import annotations

import gc
import json
import mmap
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sightline.core.errors import FormatError

Id = int | float | str
T = TypeVar("T")


class Image(msgspec.Struct, gc=False):
    """An entry of `images`."""

    id: Id
    file_name: str = ""
    width: float | None = None
    height: float | None = None
    coco_url: str = ""


class Category(msgspec.Struct, gc=False):
    """An entry of `categories`."""

    id: Id
    name: str
    isthing: int = 1


class Rle(msgspec.Struct, gc=False):
    """A mask: `size` is height and width; `counts` a list, or a compressed string."""

    size: tuple[int, int]
    counts: list[int] | str


class Mark(msgspec.Struct, gc=False):
    """An entry of `annotations`, as instances have them."""

    image_id: Id
    category_id: Id
    id: Id | None = None
    bbox: list[float] | None = None
    segmentation: list[list[float]] | Rle | None = None
    iscrowd: int | bool | None = 0
    track_id: Id | None = None
    attributes: dict[str, Any] | None = None
    keypoints: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Owner(msgspec.Struct, gc=False):
    """The picture an annotation belongs to, and nothing more."""

    image_id: Id


class Owners(msgspec.Struct, gc=False):
    """The owners of a whole file's annotations, by themselves."""

    annotations: list[Owner] = []


class File(msgspec.Struct, gc=False):
    """A whole file; annotations are left as text until their turn comes."""

    images: list[Image]
    categories: list[Category]
    annotations: list[msgspec.Raw] = []
    licenses: Any = None
    info: Any = None


def mapped(path: Path) -> memoryview:
    """A file's bytes without its byte-order mark, mapped; freed with the last value that holds it.

    Raises:
        FormatError: absent or empty.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise FormatError("is empty (0 bytes)", where=path)
            area = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise FormatError(f"cannot be read ({error.strerror})", where=path) from error
    return memoryview(area)[3 if area[:3] == b"\xef\xbb\xbf" else 0 :]


@contextmanager
def no_collection() -> Iterator[None]:
    """Pause the collector of cycles: decoded JSON has none, and looking for them costs half of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def decode(path: Path, data: memoryview | msgspec.Raw, kind: type[T], at: str = "") -> T:
    """Typed values from JSON.

    Raises:
        FormatError: malformed or of another shape; names the JSON pointer, or the line and column.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise fault(path, data, at, error) from error


def decode_many(
    path: Path, pieces: Sequence[msgspec.Raw], kind: type[T], at: Callable[[int], str]
) -> list[T]:
    """`decode` for many pieces of one file at once; `at` gives the pointer of a piece by its number."""
    joined = b"".join((b"[", b",".join(map(bytes, pieces)), b"]"))
    try:
        return msgspec.json.decode(joined, type=list[kind])  # type: ignore[valid-type]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [decode(path, piece, kind, at(number)) for number, piece in enumerate(pieces)]


def fault(path: Path, data: memoryview | msgspec.Raw, at: str, error: Exception) -> FormatError:
    """The error that names the place; `at` is the pointer that `data` stands at."""
    if isinstance(error, msgspec.ValidationError):
        what, _, inside = str(error).partition(" - at `")
        return FormatError(
            what[:1].lower() + what[1:], where=f"{path}: {at}{_pointer(inside)}" if at or inside else path
        )
    text = bytes(data)
    found = _not_a_number(text)
    if found is not None:
        word, pointer = found
        return FormatError(
            f"{word} is no JSON number",
            where=f"{path}: {at}{pointer}",
            remedy="write a number, or leave it out",
        )
    byte = re.search(r"\(byte (\d+)\)", str(error))
    end = int(byte.group(1)) if byte else min(getattr(error, "start", len(text)), len(text))
    line, column = text.count(b"\n", 0, end) + 1, end - text.rfind(b"\n", 0, end)
    place = f"{path}: {at}" if at else f"{path}:{line}:{column}"
    what = (
        "is cut short"
        if "truncated" in str(error)
        else f"is not JSON: {re.sub(r' .byte .*', '', str(error))}"
    )
    return FormatError(what, where=place)


def _pointer(path: str) -> str:
    """`$.annotations[3].bbox[...]` as `/annotations/3/bbox`."""
    names = re.sub(r"\[\.\.\.\]|`|^\$", "", path)
    return re.sub(r"\[(\d+)\]", r"/\1", names).replace(".", "/")


class _Word:
    def __init__(self, text: str) -> None:
        self.text = text


def _not_a_number(text: bytes) -> tuple[str, str] | None:
    """The first NaN or Infinity and its JSON pointer, or None where that is not the fault."""
    if not re.search(rb"NaN|Infinity", text):
        return None
    try:
        tree = json.loads(text.decode("utf-8-sig"), parse_constant=_Word)
    except (ValueError, RecursionError):
        return None
    stack: list[tuple[str, Any]] = [("", tree)]
    while stack:
        at, value = stack.pop()
        if isinstance(value, _Word):
            return value.text, at
        if isinstance(value, dict):
            stack += [(f"{at}/{key}", inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list):
            stack += [(f"{at}/{i}", inner) for i, inner in reversed(list(enumerate(value)))]
    return None
