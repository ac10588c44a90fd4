"""Datasets as pandas frames, for cleaning by hand, and back through the checks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sightline.core.errors import DatasetError
from sightline.core.records import EMPTY, Annotation, Record, Rle
from sightline.data.checks import admit
from sightline.data.dataset import MEDIA
from sightline.data.ledger import Ledger
from sightline.data.media_store import Found
from sightline.data.reading import Reading, ReadOptions
from sightline.data.writing import write_dataset

if TYPE_CHECKING:
    import pandas as pd

    from sightline.data.dataset import Dataset

RECORD_COLUMNS = (
    "id",
    "media",
    "width",
    "height",
    "frame",
    "group",
    "sensor",
    "time_s",
    "partition",
    "maps",
    "record_source",
)
BOX_COLUMNS = ("x1", "y1", "x2", "y2")
MARK_COLUMNS = (
    "class",
    "kind",
    *BOX_COLUMNS,
    "polygons",
    "mask",
    "px",
    "py",
    "visible",
    "crowd",
    "track",
    "attributes",
    "source",
)


def to_pandas(dataset: Dataset) -> pd.DataFrame:
    """One row an annotation; a picture without any has one row whose `class` is missing.

    Columns of the record: `id`, `media`, `width`, `height`, `frame`, `group`, `sensor`, `time_s`,
    `partition`, `maps` (JSON), `record_source`. Of the mark: `class` by name, `kind`, the box `x1 y1 x2 y2`,
    `polygons` (a list of (N, 2) arrays), `mask` (an `Rle`), the point `px py`, `visible`, `crowd`, `track`,
    `attributes` (JSON), `source`. Coordinates are continuous pixels of the upright picture.
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for record in dataset.records:
        head = _record_cells(record)
        marks = [_mark_cells(a, dataset.classes) for a in record.annotations]
        rows += [(*head, *cells) for cells in marks or [_NO_MARK]]
    frame = pd.DataFrame(rows, columns=[*RECORD_COLUMNS, *MARK_COLUMNS])
    return frame.astype({"class": pd.CategoricalDtype(list(dataset.classes)), "time_s": "float64"})


def from_pandas(
    frame: pd.DataFrame,
    base: Dataset,
    out: Path,
    *,
    absent: Literal["empty", "drop"] = "empty",
    classes: tuple[str, ...] = (),
    options: ReadOptions | None = None,
    media: Literal["link", "copy"] = "link",
    replace: bool = False,
    ledger: Ledger | None = None,
    made: str = "by hand from the parent",
) -> Dataset:
    """A new dataset from a frame as `to_pandas` gives it; every mark is judged as an import judges it.

    Args:
        frame: rows may be changed, added or taken away; `kind` is not read.
        base: the dataset the frame came from: its media, its classes, the new one's parent.
        out: folder of the new dataset.
        absent: records that have no row any more stay without marks (`empty`), or go (`drop`).
        classes: names in their order; those of `base` unless given.
        options: policies of the checks.
        media: link or copy.
        replace: take the place of a dataset that is there.
        ledger: what was told of the change already; goes on with what the checks find.
        made: how, for the lineage.

    Raises:
        DatasetError: a column is missing, a class is unknown, a cell cannot be read, or rows of one id
            disagree about their record.
    """
    missing = [c for c in (*RECORD_COLUMNS, *MARK_COLUMNS) if c not in frame.columns and c != "kind"]
    if missing:
        raise DatasetError(f"lacks the columns {', '.join(missing)}", where="frame")
    ledger, options = ledger or Ledger(), options or ReadOptions()
    names = classes or base.classes
    records = _records(frame, {name: i for i, name in enumerate(names)}, options, ledger)
    kept = _with_absent(records, base, absent, ledger)
    ledger.note(f"made from {base.fingerprint}: {made}")
    bare = base.header["media"]["mode"] == "none"
    return write_dataset(
        out,
        Reading(names, kept, Path(base.header["media"]["root"]) if bare else base.root / MEDIA),
        ledger,
        media="none" if bare else media,
        found=_found(base),
        parent=base.fingerprint,
        source={**base.header["source"], "made": made},
        replace=replace,
    )


def _found(base: Dataset) -> dict[str, Found]:
    """What is known of the base's media, so that the new fingerprint covers them as the old one did."""
    size = (0, 0)  # not asked for when a dataset is written
    return {
        row["name"]: Found(base.media_path(row["name"]).resolve(), row["bytes"], row["digest"], size, size, 1)
        for row in base.media().to_pylist()
    }


def _with_absent(
    records: dict[str, Record], base: Dataset, absent: Literal["empty", "drop"], ledger: Ledger
) -> list[Record]:
    """All records in the order of `base`, new ones last."""
    kept: list[Record] = []
    for old in base.records:
        if old.id in records:
            kept.append(records.pop(old.id))
            continue
        ledger.saw("picture")
        if absent == "drop":
            ledger.drop("picture", "it has no row in the frame", old.id, asked=True)
        else:
            ledger.fix("picture", "it has no row in the frame: kept without marks", old.id)
            kept.append(replace(old, annotations=()))
    return kept + list(records.values())


def _record_cells(r: Record) -> tuple[Any, ...]:
    maps = json.dumps(dict(r.maps), ensure_ascii=False) if r.maps else ""
    head = (r.id, r.media, *r.size_wh, r.frame, r.group, r.sensor)
    return (*head, np.nan if r.time_s is None else r.time_s, r.partition, maps, r.source)


_NO_MARK = (None, "", *[np.nan] * 4, None, None, np.nan, np.nan, True, False, "", "", "")


def _mark_cells(a: Annotation, classes: tuple[str, ...]) -> tuple[Any, ...]:
    return (
        classes[a.label],
        a.kind,
        *(a.box if a.box is not None else [np.nan] * 4),
        list(a.polygons) or None,
        a.mask,
        *(a.point if a.point is not None else (np.nan, np.nan)),
        a.visible,
        a.crowd,
        a.track,
        json.dumps(dict(a.attributes), ensure_ascii=False) if a.attributes else "",
        a.source,
    )


def _records(
    frame: pd.DataFrame, numbers: Mapping[str, int], options: ReadOptions, ledger: Ledger
) -> dict[str, Record]:
    records: dict[str, Record] = {}
    marks: dict[str, list[Annotation]] = {}
    columns = [*RECORD_COLUMNS, *(c for c in MARK_COLUMNS if c != "kind")]
    for row, values in zip(frame.index, frame[columns].itertuples(index=False, name=None), strict=True):
        cells = dict(zip(columns, values, strict=True))
        where = f"row {row}"
        try:
            record = _record(cells)
            annotation = _annotation(cells, numbers, where)
        except (TypeError, ValueError, AttributeError) as error:
            raise DatasetError(f"cannot be read ({error})", where=where) from error
        known = records.setdefault(record.id, record)
        if known is record:
            ledger.saw("picture")
            marks[record.id] = []
        elif replace(known, source="") != replace(record, source=""):
            raise DatasetError(
                f"disagrees with an earlier row about record {record.id!r}",
                where=where,
                remedy="rows of one id must agree in every column of the record",
            )
        if annotation is not None:
            ledger.saw("annotation")
            admitted = admit(annotation, record.size_wh, options, ledger, f"{where} ({record.id})")
            marks[record.id] += [] if admitted is None else [admitted]
    return {name: replace(record, annotations=tuple(marks[name])) for name, record in records.items()}


def _record(cells: Mapping[str, Any]) -> Record:
    return Record(
        id=_text(cells["id"]),
        media=_text(cells["media"]),
        size_wh=(int(cells["width"]), int(cells["height"])),
        frame=int(cells["frame"]),
        group=_text(cells["group"]),
        sensor=_text(cells["sensor"]),
        time_s=None if _none(cells["time_s"]) else float(cells["time_s"]),
        maps=_mapping(cells["maps"]),
        partition=_text(cells["partition"]),
        source=_text(cells["record_source"]),
    )


def _annotation(cells: Mapping[str, Any], numbers: Mapping[str, int], where: str) -> Annotation | None:
    name = cells["class"]
    box = [cells[c] for c in BOX_COLUMNS]
    point = (cells["px"], cells["py"])
    if _none(name):
        if not all(map(_none, (*box, *point, cells["mask"]))) or cells["polygons"] is not None:
            raise DatasetError("has a mark but no class", where=where)
        return None
    if name not in numbers:
        raise DatasetError(f"class {name!r} is not one of {', '.join(numbers)}", where=where)
    rings = cells["polygons"] if isinstance(cells["polygons"], (list, tuple)) else ()
    mask = cells["mask"]
    if not (mask is None or _none(mask) or isinstance(mask, Rle)):
        raise DatasetError(f"mask is {type(mask).__name__}, it must be an Rle", where=where)
    return Annotation(
        numbers[name],
        box=None if all(map(_none, box)) else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        polygons=tuple(np.asarray(ring, np.float64).reshape(-1, 2) for ring in rings),
        mask=mask if isinstance(mask, Rle) else None,
        point=None if all(map(_none, point)) else (float(point[0]), float(point[1])),
        visible=bool(cells["visible"]),
        crowd=bool(cells["crowd"]),
        track=_text(cells["track"]),
        attributes=_mapping(cells["attributes"]),
        source=_text(cells["source"]),
    )


def _none(value: Any) -> bool:
    """Missing, as pandas has it."""
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NAType"


def _text(value: Any) -> str:
    return "" if _none(value) else str(value)


def _mapping(value: Any) -> Mapping[str, str]:
    text = _text(value)
    return {str(k): str(v) for k, v in json.loads(text).items()} if text else EMPTY
