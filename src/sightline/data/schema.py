"""The Parquet schema of records, and the two ways across it: every field comes back as it went in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sightline.core.records import EMPTY, Annotation, Record, Rle

FORMAT = 1

TEXT_MAP = pa.map_(pa.string(), pa.string())

# Children of a structure that may be absent are declared as they are within an absent one: null.
BOX = pa.struct([pa.field(name, pa.float64()) for name in ("x1", "y1", "x2", "y2")])
POINT = pa.struct([pa.field(name, pa.float64()) for name in ("x", "y")])
RUNS = pa.struct(
    [pa.field("width", pa.int32()), pa.field("height", pa.int32()), pa.field("counts", pa.list_(pa.int32()))]
)

ANNOTATION = pa.struct(
    [
        pa.field("label", pa.int32(), nullable=False),
        pa.field("box", BOX),
        # One ring a row, x and y in turn.
        pa.field("polygons", pa.list_(pa.list_(pa.float64())), nullable=False),
        pa.field("mask", RUNS),
        pa.field("point", POINT),
        pa.field("visible", pa.bool_(), nullable=False),
        pa.field("crowd", pa.bool_(), nullable=False),
        pa.field("track", pa.string(), nullable=False),
        pa.field("attributes", TEXT_MAP, nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)

RECORDS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("media", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("sensor", pa.string(), nullable=False),
        pa.field("time_s", pa.float64()),
        pa.field("maps", TEXT_MAP, nullable=False),
        pa.field("partition", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("annotations", pa.list_(pa.field("item", ANNOTATION, nullable=False)), nullable=False),
    ]
)


def to_table(records: Iterable[Record]) -> pa.Table:
    """Records as a table of `RECORDS`, one row each."""
    return pa.Table.from_pylist([_record_row(record) for record in records], schema=RECORDS)


def to_records(table: pa.Table) -> list[Record]:
    """Rows of a table of `RECORDS` as records, in order."""
    return [_record(row) for row in table.to_pylist()]


def _record_row(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "media": record.media,
        "width": record.size_wh[0],
        "height": record.size_wh[1],
        "frame": record.frame,
        "group": record.group,
        "sensor": record.sensor,
        "time_s": record.time_s,
        "maps": list(record.maps.items()),
        "partition": record.partition,
        "source": record.source,
        "annotations": [_annotation_row(annotation) for annotation in record.annotations],
    }


def _annotation_row(a: Annotation) -> dict[str, Any]:
    mask = None
    if a.mask is not None:
        mask = {"width": a.mask.size_wh[0], "height": a.mask.size_wh[1], "counts": list(a.mask.counts)}
    return {
        "label": a.label,
        "box": None if a.box is None else dict(zip(("x1", "y1", "x2", "y2"), a.box, strict=True)),
        "polygons": [np.asarray(ring, np.float64).ravel().tolist() for ring in a.polygons],
        "mask": mask,
        "point": None if a.point is None else {"x": a.point[0], "y": a.point[1]},
        "visible": a.visible,
        "crowd": a.crowd,
        "track": a.track,
        "attributes": list(a.attributes.items()),
        "source": a.source,
    }


def _record(row: dict[str, Any]) -> Record:
    return Record(
        id=row["id"],
        media=row["media"],
        size_wh=(row["width"], row["height"]),
        annotations=tuple(_annotation(a) for a in row["annotations"]),
        frame=row["frame"],
        group=row["group"],
        sensor=row["sensor"],
        time_s=row["time_s"],
        maps=_text_map(row["maps"]),
        partition=row["partition"],
        source=row["source"],
    )


def _annotation(row: dict[str, Any]) -> Annotation:
    box, mask, point = row["box"], row["mask"], row["point"]
    return Annotation(
        label=row["label"],
        box=None if box is None else (box["x1"], box["y1"], box["x2"], box["y2"]),
        polygons=tuple(_ring(values) for values in row["polygons"]),
        mask=None if mask is None else Rle((mask["width"], mask["height"]), tuple(mask["counts"])),
        point=None if point is None else (point["x"], point["y"]),
        visible=row["visible"],
        crowd=row["crowd"],
        track=row["track"],
        attributes=_text_map(row["attributes"]),
        source=row["source"],
    )


def _ring(values: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    ring = np.array(values, dtype=np.float64).reshape(-1, 2)
    ring.setflags(write=False)
    return ring


def _text_map(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    return dict(pairs) if pairs else EMPTY


def write_parts(path: Any, pairs: Sequence[tuple[str, str]], about: Mapping[str, str]) -> None:
    """Write a split: columns `id` and `part`, with what it is about in the file's metadata."""
    import pyarrow.parquet as pq

    ids, parts = [p[0] for p in pairs], [p[1] for p in pairs]
    metadata = {f"sightline.{key}": value for key, value in about.items()}
    schema = pa.schema([("id", pa.string()), ("part", pa.string())], metadata=metadata)
    pq.write_table(pa.table({"id": ids, "part": parts}, schema=schema), path, compression="zstd")
