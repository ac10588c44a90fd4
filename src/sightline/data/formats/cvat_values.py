"""Reading numbers and the head of CVAT's XML, with the line in every error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import FormatError
from sightline.data.formats.xml_tree import Element

MAX_WHOLE = 1 << 31


@dataclass(frozen=True, slots=True)
class Meta:
    """What the head of a file says.

    Attributes:
        labels: class names in their order.
        source: name of the video, empty for pictures.
        size_wh: of the video, (0, 0) where it is not told.
        start: the first frame's number in the video.
        stop: the last frame's number, -1 where it is not told.
        step: frames between two that were labelled.
    """

    labels: tuple[str, ...] = ()
    source: str = ""
    size_wh: tuple[int, int] = (0, 0)
    start: int = 0
    stop: int = -1
    step: int = 1


def meta_of(tree: Element, path: Path) -> Meta:
    """The head of a file; what is missing stays at its default."""
    meta = tree.first("meta")
    head = next((found for name in ("task", "job", "project") if meta and (found := meta.first(name))), None)
    if meta is None or head is None:
        return Meta()
    labels = head.first("labels")
    names = [label.value("name") for label in labels.all("label")] if labels is not None else []
    size = meta.first("original_size") or head.first("original_size")
    size_wh = (
        (0, 0) if size is None else (_text_whole(size, "width", path), _text_whole(size, "height", path))
    )
    step = head.value("frame_filter").removeprefix("step=")
    start = _text_whole(head, "start_frame", path)
    return Meta(
        tuple(name for name in names if name),
        meta.value("source") or head.value("source"),
        size_wh,
        start,
        _text_whole(head, "stop_frame", path, -1),
        int(step) if step.isascii() and step.isdecimal() and 0 < int(step) < MAX_WHOLE else 1,
    )


def _text_whole(element: Element, tag: str, path: Path, default: int = 0) -> int:
    text = element.value(tag)
    if not text:
        return default
    return _whole(text, f"<{tag}>", path, element.line)


def number(element: Element, key: str, path: Path, default: float | None = None) -> float:
    """A number among an element's attributes; NaN and infinity pass, since marks are judged later."""
    text = element.attributes.get(key)
    if text is None:
        if default is None:
            raise FormatError(f"<{element.tag}> has no {key}", where=f"{path}:{element.line}")
        return default
    try:
        return float(text)
    except ValueError:
        raise FormatError(f"{key} is {text!r}, not a number", where=f"{path}:{element.line}") from None


def whole(element: Element, key: str, path: Path, default: int | None = None) -> int:
    """A whole number among an element's attributes, not negative."""
    text = element.attributes.get(key)
    if text is None and default is not None:
        return default
    return _whole(text or "", key, path, element.line)


def _whole(text: str, name: str, path: Path, line: int) -> int:
    word = text.strip()
    if not (word.isascii() and word.isdecimal() and len(word) < 11 and int(word) < MAX_WHOLE):
        raise FormatError(f"{name} is {text!r}, not a whole number", where=f"{path}:{line}")
    return int(word)


def points(element: Element, path: Path) -> NDArray[np.float64]:
    """Points (N, 2) of an element: `x,y;x,y`."""
    out = []
    for pair in filter(None, element.attributes.get("points", "").split(";")):
        words = pair.split(",")
        try:
            x, y = (float(word) for word in words)
        except ValueError:
            raise FormatError(f"point {pair!r} is not x,y", where=f"{path}:{element.line}") from None
        out.append((x, y))
    return np.array(out, np.float64).reshape(-1, 2)
