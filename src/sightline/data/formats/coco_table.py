"""COCO instances as tables of the dataset's schema, a few thousand pictures at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sightline.core.errors import FormatError
from sightline.data.formats import coco_parse as parse
from sightline.data.formats.coco_rle import unpack
from sightline.data.ledger import Ledger
from sightline.data.schema import ANNOTATION, RECORDS, TEXT_MAP

ROWS = 1024
_LONG = 1 << 62
_PIXELS = 1 << 31


@dataclass(slots=True)
class Source:
    """One opened label file and what is needed to place it in a dataset.

    Attributes:
        path: the file.
        shown: its name in the ledger.
        prefix: what its media names start with below the media root, with a slash, or empty.
        partition: `train`, `val`, `test` or empty.
        file: its content, annotations still text.
        data: its bytes.
        labels: class index by category id.
    """

    path: Path
    shown: str
    prefix: str
    partition: str
    file: parse.File
    data: memoryview
    labels: dict[parse.Id, int] = field(default_factory=dict)

    def media(self) -> list[str]:
        """Media names, one an image."""
        return [self.prefix + (image.file_name or image.coco_url) for image in self.file.images]


class CocoTables:
    """The tables of several files, in order; each row is one entry of `images`."""

    def __init__(self, sources: Sequence[Source], ledger: Ledger) -> None:
        self._sources, self._ledger = sources, ledger
        self.media = [name for source in sources for name in source.media()]

    def __iter__(self) -> Iterator[pa.Table]:
        for source in self._sources:
            yield from _tables(source, self._ledger)


def _tables(source: Source, ledger: Ledger) -> Iterator[pa.Table]:
    order, starts = _by_image(source, ledger)
    images, raws = source.file.images, source.file.annotations
    pointed = 0
    for first in range(0, len(images), ROWS):
        last = min(first + ROWS, len(images))
        numbers = order[starts[first] : starts[last]]
        places = numbers.tolist()
        at = _Pointers(places)
        with parse.no_collection():
            marks = parse.decode_many(source.path, [raws[i] for i in places], parse.Mark, at)
            block = _Block(source, ledger, numbers, marks)
            table = block.table(images[first:last], starts[first : last + 1] - starts[first])
        yield table
        pointed += sum(mark.keypoints is not msgspec.UNSET for mark in marks)
    raws.clear()
    if pointed:
        ledger.note(f"{source.shown}: keypoints of {pointed} annotations are not carried")


def _by_image(source: Source, ledger: Ledger) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Annotation numbers in the order of their images, and where each image's begin."""
    rows = {image.id: row for row, image in enumerate(source.file.images)}
    if len(rows) < len(source.file.images):
        first: dict[parse.Id, int] = {}
        row = next(i for i, im in enumerate(source.file.images) if first.setdefault(im.id, i) != i)
        where = f"{source.path}: /images/{row}"
        raise FormatError(f"image id {source.file.images[row].id!r} appears twice", where=where)
    raws = source.file.annotations
    with parse.no_collection():
        held = parse.decode(source.path, source.data, parse.Owners).annotations
    owners = np.fromiter((rows.get(owner.image_id, -1) for owner in held), np.int64, len(held))
    del held
    ledger.saw("picture", len(rows))
    ledger.saw("annotation", len(raws))
    for i in np.flatnonzero(owners < 0).tolist():
        ledger.drop("annotation", "its image_id is not among the images", f"{source.shown}: /annotations/{i}")
    order = np.argsort(owners, kind="stable")[int((owners < 0).sum()) :]
    starts = np.searchsorted(owners[order], np.arange(len(rows) + 1))
    return order, starts


class _Pointers:
    """JSON pointers of some annotations, made only where an error asks for one."""

    def __init__(self, numbers: list[int]) -> None:
        self._numbers = numbers

    def __call__(self, row: int) -> str:
        return f"/annotations/{self._numbers[row]}"


class _Block:
    """The annotations of some images, as columns."""

    def __init__(
        self, source: Source, ledger: Ledger, numbers: NDArray[np.int64], marks: list[parse.Mark]
    ) -> None:
        self.source, self.ledger, self.numbers, self.marks = source, ledger, numbers, marks

    def table(self, images: list[parse.Image], starts: NDArray[np.int64]) -> pa.Table:
        annotations = self.annotations()
        known = pc.greater_equal(annotations.field("label"), 0)
        if not pc.all(known).as_py() and len(annotations):
            keep = known.to_numpy(zero_copy_only=False)
            self.drop_unknown(np.flatnonzero(~keep))
            starts = np.concatenate([[0], np.cumsum(keep)])[starts]
            annotations = annotations.filter(known)
        nested = pa.ListArray.from_arrays(
            pa.array(starts, pa.int32()), annotations, type=RECORDS.field("annotations").type
        )
        return self.records(images, nested)

    def drop_unknown(self, rows: NDArray[np.intp]) -> None:
        for row in rows.tolist():
            category = self.marks[row].category_id
            self.ledger.drop(
                "annotation",
                "its category_id is not among the categories",
                f"{self.source.shown}: {self.name(row)}",
                f"category_id {category!r}",
            )

    def name(self, row: int) -> str:
        mark = self.marks[row]
        return f"/annotations/{self.numbers[row]}" if mark.id is None else f"annotation {mark.id}"

    def where(self, row: int, key: str) -> str:
        return f"{self.source.path}: /annotations/{self.numbers[row]}/{key}"

    def records(self, images: list[parse.Image], annotations: pa.Array) -> pa.Table:
        count, prefix = len(images), self.source.prefix
        media = pa.array([prefix + (i.file_name or i.coco_url) for i in images], pa.string())
        columns: dict[str, Any] = {
            "id": media,
            "media": media,
            "width": pa.array([_side(i.width) for i in images], pa.int32()),
            "height": pa.array([_side(i.height) for i in images], pa.int32()),
            "frame": pa.array(np.full(count, -1, np.int32)),
            "group": _same("", count),
            "sensor": _same("", count),
            "time_s": pa.nulls(count, pa.float64()),
            "maps": _no_text(count),
            "partition": _same(self.source.partition, count),
            "source": _same(self.source.shown, count),
            "annotations": annotations,
        }
        return pa.table(columns, schema=RECORDS)

    def annotations(self) -> pa.StructArray:
        marks, count = self.marks, len(self.marks)
        labels = np.fromiter((self.source.labels.get(m.category_id, -1) for m in marks), np.int32, count)
        crowd = np.fromiter((bool(m.iscrowd) for m in marks), bool, count)
        fields = [
            pa.array(labels),
            self.boxes(),
            self.polygons(),
            self.masks(),
            pa.nulls(count, ANNOTATION.field("point").type),
            pa.array(np.ones(count, bool)),
            pa.array(crowd),
            self.tracks(),
            self.attributes(),
            self.names(),
        ]
        return pa.StructArray.from_arrays(fields, fields=list(ANNOTATION))

    def boxes(self) -> pa.Array:
        boxes = [m.bbox for m in self.marks]
        absent = np.fromiter((not b for b in boxes), bool, len(boxes))
        if absent.any():
            boxes = [b or [0.0, 0.0, 0.0, 0.0] for b in boxes]
        lengths = list(map(len, boxes))  # type: ignore[arg-type]
        if lengths.count(4) != len(lengths):
            row = next(row for row, length in enumerate(lengths) if length != 4)
            raise FormatError(f"has {lengths[row]} numbers, a box has 4", where=self.where(row, "bbox"))
        flat = np.fromiter(chain.from_iterable(boxes), np.float64, 4 * len(boxes))  # type: ignore[arg-type]
        x, y, w, h = flat.reshape(-1, 4).T
        corners = [pa.array(np.ascontiguousarray(c)) for c in (x, y, x + w, y + h)]
        kind = ANNOTATION.field("box").type
        mask = pa.array(absent) if absent.any() else None
        return pa.StructArray.from_arrays(corners, fields=list(kind), mask=mask)

    def polygons(self) -> pa.Array:
        outlines = [m.segmentation if type(m.segmentation) is list else () for m in self.marks]
        rings = list(chain.from_iterable(outlines))
        lengths = np.fromiter(map(len, rings), np.int64, len(rings))
        if (lengths % 2).any():
            self.odd_ring(outlines)
        flat = np.fromiter(chain.from_iterable(rings), np.float64, int(lengths.sum()))
        inner = pa.ListArray.from_arrays(_offsets(lengths), pa.array(flat))
        counts = np.fromiter(map(len, outlines), np.int64, len(outlines))
        return pa.ListArray.from_arrays(_offsets(counts), inner)

    def odd_ring(self, outlines: list[Any]) -> None:
        for row, outline in enumerate(outlines):
            for number, ring in enumerate(outline):
                if len(ring) % 2:
                    raise FormatError(
                        f"has {len(ring)} numbers, a ring has x and y in turn",
                        where=self.where(row, f"segmentation/{number}"),
                    )

    def masks(self) -> pa.Array:
        kind = ANNOTATION.field("mask").type
        drawn = [row for row, m in enumerate(self.marks) if type(m.segmentation) is parse.Rle]
        if not drawn:
            return pa.nulls(len(self.marks), kind)
        at = np.full(len(self.marks), -1)
        at[drawn] = np.arange(len(drawn))
        masks = pa.array([self.mask(row, self.marks[row].segmentation) for row in drawn], kind)
        return masks.take(pa.array(at, mask=at < 0))

    def mask(self, row: int, rle: Any) -> dict[str, Any]:
        """A mask of the schema, its runs checked against its size."""
        height, width = rle.size
        try:
            counts = unpack(rle.counts) if isinstance(rle.counts, str) else rle.counts
        except ValueError as error:
            raise FormatError(
                f"is no run-length string: {error}", where=self.where(row, "segmentation")
            ) from error
        if sum(counts) != width * height or min(*rle.size, *counts) < 0 or width * height >= _PIXELS:
            raise FormatError(
                f"run lengths sum to {sum(counts)}, the mask of {width}x{height} has {width * height} pixels",
                where=self.where(row, "segmentation/counts"),
            )
        return {"width": width, "height": height, "counts": counts}

    def tracks(self) -> pa.Array:
        if all(m.track_id is None for m in self.marks):
            return _same("", len(self.marks))
        return pa.array(["" if m.track_id is None else str(m.track_id) for m in self.marks], pa.string())

    def attributes(self) -> pa.Array:
        if not any(m.attributes for m in self.marks):
            return _no_text(len(self.marks))
        rows = [[(k, _word(v)) for k, v in (m.attributes or {}).items()] for m in self.marks]
        return pa.array(rows, TEXT_MAP)

    def names(self) -> pa.Array:
        ids = [m.id for m in self.marks]
        if all(type(i) is int and -_LONG < i < _LONG for i in ids):
            return pc.binary_join_element_wise("annotation ", pa.array(ids, pa.int64()).cast(pa.string()), "")
        return pa.array([self.name(row) for row in range(len(ids))], pa.string())


def _side(value: float | None) -> int:
    return int(value) if value is not None and 0 <= value < 1 << 31 else 0


def _word(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _offsets(lengths: NDArray[np.int64]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _same(text: str, count: int) -> pa.Array:
    return pa.array([text] * count, pa.string())


def _no_text(count: int) -> pa.Array:
    return pa.MapArray.from_arrays(
        pa.array(np.zeros(count + 1, np.int32)), pa.array([], pa.string()), pa.array([], pa.string())
    )
