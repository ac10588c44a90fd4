"""A dataset: an immutable folder of labelled records with a fingerprint."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from sightline.core.errors import DatasetError, MediaError
from sightline.core.files import inside, sha256
from sightline.core.frames import read_frame
from sightline.core.media import VIDEO_SUFFIXES, read_map, read_picture
from sightline.core.records import Record
from sightline.data.media_store import is_url
from sightline.data.panoptic import segment_numbers
from sightline.data.schema import FORMAT, RECORDS, to_records

if TYPE_CHECKING:
    import pandas as pd

    from sightline.data.split import Split

HEADER = "dataset.yaml"
TABLE = "records.parquet"
MEDIA_TABLE = "media.parquet"
LEDGER = "ledger.json"
MEDIA = "media"
SPLITS = "splits"

PAGE = 256
PAGES_KEPT = 16


class Records(Sequence[Record]):
    """The rows of a table as records, decoded a page at a time when asked for."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._pages: OrderedDict[int, list[Record]] = OrderedDict()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"record {index} is not one of {len(self)}")
        return self._page(at // PAGE)[at % PAGE]

    def __iter__(self) -> Iterator[Record]:
        for start in range(0, len(self), PAGE):
            yield from to_records(self.table.slice(start, PAGE))

    def _page(self, number: int) -> list[Record]:
        pages = self._pages
        page = pages.get(number)
        if page is None:
            page = to_records(self.table.slice(number * PAGE, PAGE))
            pages[number] = page
            while len(pages) > PAGES_KEPT:
                pages.pop(next(iter(pages)), None)
        return page


class Dataset:
    """Labelled records in a folder that nobody changes; a change makes another dataset.

    The fingerprint covers the classes, every byte of the records and, where media are linked or copied, the
    length, first and last 16 KiB of each media file as they were at import. Splits are not part of it.

    Attributes:
        root: the folder.
        header: `dataset.yaml` as plain values.
    """

    def __init__(self, root: Path, header: dict[str, Any]) -> None:
        self.root, self.header = root, header
        self._records: Records | None = None
        self._rows: dict[str, int] | None = None

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> Dataset:
        """Open a dataset folder and hold its records to their hash.

        Raises:
            DatasetError: no dataset, one of a newer format, or one that was changed or cut short.
        """
        root = Path(path).absolute()
        header = read_header(root)
        records = root / TABLE
        if not records.is_file():
            raise DatasetError(f"holds no {TABLE}", where=root, remedy="import it again")
        if verify and sha256(records) != header["records_sha256"]:
            raise DatasetError(
                f"{TABLE} was changed or cut short: it does not match the hash in {HEADER}",
                where=root,
                remedy="import it again; to change labels, make a new dataset with Dataset.from_pandas",
            )
        return cls(root, header)

    def __reduce__(self) -> tuple[Callable[..., Dataset], tuple[Path, dict[str, Any]]]:
        return Dataset, (self.root, self.header)

    def __repr__(self) -> str:
        return f"Dataset({str(self.root)!r}, {len(self.records)} records, fingerprint {self.fingerprint})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, by class index."""
        return tuple(self.header["classes"])

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over the content; see the class."""
        return str(self.header["fingerprint"])

    @property
    def records(self) -> Records:
        """All records, in the order they were read; decoded lazily."""
        if self._records is None:
            path = self.root / TABLE
            try:
                table = pq.read_table(path, memory_map=True)
            except (OSError, pa.ArrowException) as error:
                raise DatasetError(f"cannot be read ({_line(error)})", where=path) from error
            if not table.schema.equals(RECORDS):
                raise DatasetError("has other columns than a dataset's", where=path)
            self._records = Records(table)
        return self._records

    @property
    def table(self) -> pa.Table:
        """The records as an Arrow table of `schema.RECORDS`."""
        return self.records.table

    def record(self, id: str) -> Record:
        """The record of an id; raises DatasetError where there is none."""
        if self._rows is None:
            self._rows = {name: i for i, name in enumerate(self.table.column("id").to_pylist())}
        try:
            return self.records[self._rows[id]]
        except KeyError:
            raise DatasetError(f"holds no record {id!r}", where=self.root) from None

    def media_path(self, name: str) -> Path:
        """Where a media file is: in `media/`, or at the source for a dataset made with `--media none`.

        Raises:
            MediaError: the name is an address that was not fetched, or it climbs out of its folder.
        """
        if is_url(name):
            raise MediaError("is not fetched yet", where=name, remedy="import again with --fetch")
        media = self.header["media"]
        path = self.root / MEDIA / name
        if media["mode"] == "none" and not path.exists():
            path = Path(media["root"]) / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise MediaError(f"media name {name!r} climbs out of its folder", where=self.root)
        return path

    def read(self, record: Record) -> NDArray[np.uint8]:
        """Upright RGB pixels (H, W, 3) uint8 of a record; raises MediaError as `core.media` does."""
        path = self.media_path(record.media)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return read_frame(path, max(record.frame, 0))
        return read_picture(path)

    def read_map(self, record: Record, task: str) -> NDArray[Any]:
        """Dense labels of a record, (H, W).

        `segment`: uint8 class indices, 255 void. `panoptic`: int32 index into the record's annotations, -1
        void. `depth`: float32 metres, 0 unknown.

        Raises:
            DatasetError: the record has no such map.
            MediaError: the map cannot be read or is of another kind.
        """
        if task not in record.maps:
            raise DatasetError(f"record has no {task} map", where=record.id)
        path = self.media_path(record.maps[task])
        stored = read_map(path)
        if task == "panoptic":
            if stored.ndim != 3:
                raise MediaError("a panoptic map must be an RGB PNG", where=path)
            return segment_numbers(stored) - 1
        if stored.ndim != 2:
            raise MediaError(f"a {task} map must have one channel", where=path)
        return stored.astype(np.float32) / np.float32(1000) if task == "depth" else stored

    def media(self) -> pa.Table:
        """What was found of each media file at import: `name`, `bytes` and `digest` (`media_store.Found`)."""
        path = self.root / MEDIA_TABLE
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"cannot be read ({_line(error)})", where=path) from error

    def ledger(self) -> dict[str, Any]:
        """What the import kept, fixed and dropped, as `Ledger.to_json` wrote it."""
        path = self.root / LEDGER
        try:
            value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DatasetError(f"cannot be read ({error})", where=path) from error
        return value

    def split(self, name: str) -> Split:
        """A split by its name: `author` is the author's own, where there is one.

        Raises:
            DatasetError: there is none of this name, or it was made for another dataset.
        """
        from sightline.data.split import Split

        return Split.open(inside(self.root / SPLITS, f"{name}.parquet"), dataset=self)

    def to_pandas(self) -> pd.DataFrame:
        """One row an annotation, for cleaning by hand; see `tables.to_pandas`."""
        from sightline.data.tables import to_pandas

        return to_pandas(self)

    @staticmethod
    def from_pandas(frame: pd.DataFrame, base: Dataset, out: str | Path, **options: Any) -> Dataset:
        """A new dataset from a frame that `to_pandas` gave and a hand changed; see `tables.from_pandas`."""
        from sightline.data.tables import from_pandas

        return from_pandas(frame, base, Path(out), **options)


def check_classes(classes: Sequence[str], *, where: object) -> None:
    """Raise DatasetError where a class name is empty or appears twice."""
    seen: dict[str, int] = {}
    for index, name in enumerate(classes):
        if not isinstance(name, str) or not name.strip():
            raise DatasetError(f"class {index} has no name", where=where)
        if name in seen:
            raise DatasetError(
                f"class name {name!r} appears twice (class {seen[name]} and class {index})",
                where=where,
                remedy="give each class its own name",
            )
        seen[name] = index


def read_header(root: Path) -> dict[str, Any]:
    """`dataset.yaml` of a folder as plain values; raises DatasetError where it is no dataset's."""
    path = root / HEADER
    if not path.is_file():
        what = "is no dataset: it holds no dataset.yaml" if root.is_dir() else "is no dataset folder"
        raise DatasetError(what, where=root, remedy="make one with: sightline import SOURCE --out FOLDER")
    try:
        header = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"cannot be read ({_line(error)})", where=path) from error
    want = {"format": int, "fingerprint": str, "classes": list, "records_sha256": str, "media": dict}
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise DatasetError("is no dataset header: it names no format", where=path)
    if header["format"] > FORMAT:
        raise DatasetError(
            f"format {header['format']} is newer than {FORMAT}", where=path, remedy="update sightline"
        )
    for key, kind in want.items():
        if not isinstance(header.get(key), kind):
            raise DatasetError(f"lacks the key {key!r} or it is of another kind", where=path)
    check_classes(header["classes"], where=path)
    return header


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
