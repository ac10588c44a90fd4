"""Label formats: one module a format, named in `FORMATS`, imported when asked for."""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from sightline.core.errors import FormatError, UsageError
from sightline.data.reading import Format

# Name -> module. The order is the order in which `sniff` asks, the most telling first.
FORMATS: dict[str, str] = {
    "coco": "sightline.data.formats.coco",
    "coco-panoptic": "sightline.data.formats.coco_panoptic",
    "voc": "sightline.data.formats.voc",
    "cvat": "sightline.data.formats.cvat",
    "collected": "sightline.data.formats.collected",
    "label-studio": "sightline.data.formats.label_studio",
    "labelme": "sightline.data.formats.labelme",
    "yolo": "sightline.data.formats.yolo",
    "sensors": "sightline.data.formats.sensors",
    "ball-track": "sightline.data.formats.ball_track",
    "masks": "sightline.data.formats.masks",
    "folders": "sightline.data.formats.folders",
}


def resolve(name: str) -> Format:
    """The module of a format; names that are not built in are looked up among entry points.

    Raises:
        UsageError: no format has that name; the nearest is named.
    """
    if name in FORMATS:
        return cast(Format, import_module(FORMATS[name]))
    for point in entry_points(group="sightline.formats", name=name):
        found: Any = point.load()
        return cast(Format, found)
    near = difflib.get_close_matches(name, FORMATS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(FORMATS)}"
    raise UsageError(f"{name!r} is no label format", remedy=hint)


def sniff(source: Path) -> tuple[str, str]:
    """Which format `source` is in, and what was seen that says so.

    Raises:
        FormatError: the source is absent, is a dataset already, or no format knows it.
    """
    if not source.exists():
        raise FormatError("does not exist", where=source)
    if (source / "dataset.yaml").is_file() and (source / "records.parquet").is_file():
        raise FormatError("is a dataset already", where=source, remedy="use it as it is")
    for name in FORMATS:
        seen = resolve(name).sniff(source)
        if seen:
            return name, seen
    raise FormatError(
        "is in no label format we know", where=source, remedy=f"name one with --format: {', '.join(FORMATS)}"
    )
