"""Writing a dataset folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from sightline.core.errors import DatasetError, UsageError
from sightline.core.files import fingerprint, folder_written_whole, sha256, write_json, write_text
from sightline.core.records import Record
from sightline.data.dataset import HEADER, LEDGER, MEDIA, MEDIA_TABLE, SPLITS, TABLE, Dataset, check_classes
from sightline.data.ledger import Ledger
from sightline.data.media_store import Found, MediaMode, examine, is_url, put
from sightline.data.reading import Reading
from sightline.data.schema import FORMAT, RECORDS, to_table, write_parts

ROWS_A_GROUP = 4096


def write_dataset(
    path: str | Path,
    reading: Reading,
    ledger: Ledger,
    *,
    media: MediaMode = "link",
    found: Mapping[str, Found] | None = None,
    source: Mapping[str, Any] | None = None,
    parent: str = "",
    replace: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    accept: Callable[[], None] | None = None,
) -> Dataset:
    """Write a dataset folder whole; marks are taken as they are (`import_dataset` judges them first).

    Args:
        path: the folder to make.
        reading: classes, records (or a table of `schema.RECORDS`) and where the media are.
        ledger: goes to `ledger.json`, its counts to `dataset.yaml`.
        media: `link` (symbolic links), `copy`, or `none` (labels only; the source's folder is remembered).
        found: media by name where the caller has examined them; else names are taken from
            `reading.media_root`.
        source: lineage for `dataset.yaml` (path, format, hashes, licence).
        parent: fingerprint of the dataset this one was made from.
        replace: take the place of a dataset that is there.
        progress: called with stage, done and total.
        accept: called when every record was read and judged; where it raises, nothing is written.

    Raises:
        DatasetError: an id or class name twice, a label that is no class, a disk that refuses.
        UsageError: the folder is there already.
    """
    root = Path(path).absolute()
    refuse_occupied(root, replace=replace)
    check_classes(reading.classes, where=root)
    try:
        with folder_written_whole(root, replace=replace) as part:
            tally = _write_records(part / TABLE, reading)
            if accept is not None:
                accept()
            names = list(tally.media)
            origins = _origins(names, reading, found or {}, media)
            put(origins, part / MEDIA, media, _ticker(progress, len(origins)))
            made = {n: examine(part / MEDIA / n) for n, origin in origins.items() if callable(origin)}
            _write_media_table(part / MEDIA_TABLE, names, {**(found or {}), **made})
            header = _header(part, reading, ledger, media, tally, source or {}, parent)
            write_text(part / HEADER, yaml.safe_dump(header, sort_keys=False, allow_unicode=True))
            write_json(part / LEDGER, ledger.to_json())
            _write_author_split(part, tally.parts, header["fingerprint"])
    except OSError as error:
        raise DatasetError(f"cannot be written ({error.strerror or error})", where=root) from error
    return Dataset.open(root, verify=False)


def _origins(
    names: list[str], reading: Reading, found: Mapping[str, Found], mode: MediaMode
) -> dict[str, Path | Callable[[], bytes]]:
    """Where each media file is taken from; without media, only those that are made."""
    origins: dict[str, Path | Callable[[], bytes]] = {n: reading.made[n] for n in names if n in reading.made}
    if mode != "none":
        for name in names:
            if name not in origins:
                origins[name] = found[name].path if name in found else (reading.media_root / name).resolve()
    return origins


@dataclass(slots=True)
class _Tally:
    """What is learnt of the rows while they are written."""

    classes: int
    ids: set[str] = field(default_factory=set)
    records: int = 0
    annotations: int = 0
    media: dict[str, None] = field(default_factory=dict)
    parts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, batch: pa.Table) -> None:
        """Count a table; raises DatasetError where an id is there already or a label is no class."""
        labels = _labels(batch.column("annotations").combine_chunks())
        if len(labels) and (labels.min() < 0 or labels.max() >= self.classes):
            raise DatasetError(
                f"class index {labels.max()} (least {labels.min()}) is not one of {self.classes} classes"
            )
        self.records += batch.num_rows
        self.annotations += len(labels)
        fresh = batch.column("id").to_pylist()
        self.ids.update(fresh)
        if len(self.ids) != self.records:
            twice = next((i for n, i in enumerate(fresh) if i in fresh[:n]), fresh[0])
            raise DatasetError(f"record id {twice!r} appears twice")
        self.media.update(dict.fromkeys(_media_names(batch)))
        parts = batch.column("partition").to_pylist()
        if any(parts):
            self.parts += [(name, part) for name, part in zip(fresh, parts, strict=True) if part]


def _write_records(path: Path, reading: Reading) -> _Tally:
    """Write the rows, and tell what they are."""
    tally = _Tally(len(reading.classes))
    plain = ["group", "sensor", "partition"]
    with (
        pq.ParquetWriter(path, RECORDS, compression="lz4", use_dictionary=plain) as file,
        # Encoding needs no interpreter: one table is written while the next is made.
        ThreadPoolExecutor(1) as writer,
    ):
        pending: Future[None] | None = None
        for batch in _batches(reading):
            if pending is not None:
                pending.result()
            pending = writer.submit(file.write_table, batch)
            tally.add(batch)
        if pending is not None:
            pending.result()
    return tally


def _labels(marks: pa.Array) -> NDArray[np.int32]:
    flat = (
        marks.flatten()
        if isinstance(marks, pa.ListArray)
        else pa.array([], type=RECORDS.field("annotations").type.value_type)
    )
    labels: NDArray[np.int32] = flat.field("label").to_numpy(zero_copy_only=False)
    return labels


def _batches(reading: Reading) -> Iterator[pa.Table]:
    if reading.table is not None:
        yield from reading.table
        return
    rows: Iterator[Record] = iter(reading.records)
    while chunk := list(islice(rows, ROWS_A_GROUP)):
        yield to_table(chunk)


def _media_names(batch: pa.Table) -> list[str]:
    """Names of media and maps of a table, in order of their records."""
    names: list[str] = batch.column("media").to_pylist()
    maps = batch.column("maps").combine_chunks()
    if len(batch) and len(maps.items):
        names += maps.items.to_pylist()
    return [name for name in names if not is_url(name)]


def _write_media_table(path: Path, names: Iterable[str], found: Mapping[str, Found]) -> None:
    rows = [
        {
            "name": n,
            "bytes": found[n].bytes if n in found else -1,
            "digest": found[n].digest if n in found else "",
        }
        for n in names
    ]
    schema = pa.schema([("name", pa.string()), ("bytes", pa.int64()), ("digest", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")


def _header(
    part: Path,
    reading: Reading,
    ledger: Ledger,
    media: MediaMode,
    tally: _Tally,
    source: Mapping[str, Any],
    parent: str,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "fingerprint": fingerprint_of(part, reading.classes, media),
        "classes": list(reading.classes),
        "records": tally.records,
        "annotations": tally.annotations,
        "records_sha256": sha256(part / TABLE),
        "media": {"mode": media, "root": str(reading.media_root.absolute())},
        "source": {**source, **reading.notes},
        "parent": parent,
        "ledger": {"counts": ledger.to_json()["counts"], "notes": ledger.notes},
        "written_by": f"sightline {version('sightline')}",
    }


def fingerprint_of(folder: Path, classes: Sequence[str], media: str) -> str:
    """Over a dataset's classes, its records and, unless `media` is `none`, its table of media."""
    media_hash = "" if media == "none" else sha256(folder / MEDIA_TABLE)
    return fingerprint([FORMAT, list(classes), sha256(folder / TABLE), media_hash])


def _write_author_split(part: Path, parts: list[tuple[str, str]], mark: str) -> None:
    """The author's own partitions as a split of the name `author`, where there are any."""
    if parts:
        (part / SPLITS).mkdir()
        about = {"dataset": mark, "by": "author", "name": "author"}
        write_parts(part / SPLITS / "author.parquet", parts, about)


def refuse_occupied(root: Path, *, replace: bool) -> None:
    """Raise UsageError where something stands in the place; `replace` only ever takes a dataset's place."""
    occupied = root.exists() and (not root.is_dir() or any(root.iterdir()))
    if not occupied:
        return
    if not replace:
        raise UsageError("already exists", where=root, remedy="choose another place or pass --replace")
    if not (root / HEADER).is_file():
        raise UsageError("is no dataset, so it is not replaced", where=root, remedy="choose another place")


def _ticker(progress: Callable[[str, int, int], None] | None, total: int) -> Callable[[], None]:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None and (done % 64 == 0 or done == total):
            progress("media", done, total)

    return tick
