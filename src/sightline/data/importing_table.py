"""The import of formats that give tables: clean rows pass as columns, the others as records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sightline.core.errors import MediaError
from sightline.core.records import Record
from sightline.data.checks_table import clean_records
from sightline.data.grouping import group_media
from sightline.data.judging import Desk, Progress, judged, note_addresses
from sightline.data.media_store import examine, is_url, locate, safe_name
from sightline.data.reading import Tables
from sightline.data.schema import RECORDS, to_records, to_table


class JudgedTables:
    """The tables of a reading, judged while they are written.

    The media are found first, all of them, since groups need every name. Then each table's clean rows go on
    as they are; a row with a fault, a turned picture or another size than declared goes through `judged`, the
    same as a record of any other format.
    """

    def __init__(self, tables: Tables, desk: Desk, group: str, progress: Progress | None) -> None:
        self._tables, self._desk, self._progress = tables, desk, progress
        names = list(tables.media)
        self.media = names
        self._sizes = np.zeros((len(names), 2), np.int64)
        self._slow = np.zeros(len(names), bool)
        self._numbers = np.array(desk.renumber, np.int32)
        self._find(names)
        self._groups, why = group_media(names, group)
        desk.ledger.note(f"groups: {why}")

    def _find(self, names: list[str]) -> None:
        times = Counter(names)
        for row, name in enumerate(names):
            self._slow[row] = times[name] > 1 or not self._known(row, name)
            if self._progress is not None and (row % 256 == 0 or row + 1 == len(names)):
                self._progress("media", row + 1, len(names))

    def _known(self, row: int, name: str) -> bool:
        """Whether a picture is where its label says, upright; its true size is then known."""
        desk = self._desk
        if is_url(name) or name in desk.reading.made:
            return False
        if not desk.options.check_media:
            return safe_name(name) == name
        there = locate(desk.reading.media_root, name)
        if there is None or there[0] != name:
            return False
        try:
            found = examine(there[1])
        except MediaError:
            return False
        desk.found[name] = found
        self._sizes[row] = found.size_wh
        return found.orientation == 1

    def __iter__(self) -> Iterator[pa.Table]:
        at = 0
        for table in self._tables:
            yield self._judged(table, at)
            at += table.num_rows
            if self._progress is not None:
                self._progress("checks", at, len(self.media))
        note_addresses(self._desk)

    def _judged(self, table: pa.Table, at: int) -> pa.Table:
        count = table.num_rows
        sizes, groups = self._sizes[at : at + count], self._groups[at : at + count]
        declared = np.stack([table.column(c).to_numpy() for c in ("width", "height")], axis=1).astype(
            np.int64
        )
        true = declared if not self._desk.options.check_media else sizes
        agree = (declared == true).all(axis=1) | (declared == 0).all(axis=1)
        fast = ~self._slow[at : at + count] & agree
        fast &= clean_records(table, true[:, 0], true[:, 1], self._numbers >= 0)
        passed = _with(table, true, groups).filter(pa.array(fast))
        passed = _renumbered(passed, self._numbers)
        self._desk.seen.update(passed.column("id").to_pylist())
        if fast.all():
            return passed
        return self._mixed(
            table.filter(pa.array(~fast)), passed, np.flatnonzero(~fast), np.flatnonzero(fast), groups
        )

    def _mixed(
        self,
        rest: pa.Table,
        passed: pa.Table,
        rows: NDArray[np.intp],
        passed_rows: NDArray[np.intp],
        groups: list[str],
    ) -> pa.Table:
        """Clean rows and judged ones together, in the order they were read."""
        kept = [
            (row, replace(record, group=groups[row]))
            for row, record in zip(rows.tolist(), map(self._one, to_records(rest)), strict=True)
            if record is not None
        ]
        both = pa.concat_tables([passed, to_table(record for _, record in kept)])
        order = np.argsort(np.concatenate([passed_rows, [row for row, _ in kept]]), kind="stable")
        return both.take(pa.array(order.astype(np.int64)))

    def _one(self, record: Record) -> Record | None:
        return judged(self._desk, record)


def _with(table: pa.Table, sizes: NDArray[np.int64], groups: list[str]) -> pa.Table:
    """The table with true sizes and groups."""
    new = {
        "width": pa.array(sizes[:, 0], pa.int32()),
        "height": pa.array(sizes[:, 1], pa.int32()),
        "group": pa.array(groups, pa.string()),
    }
    columns = [new.get(name, table.column(name)) for name in RECORDS.names]
    return pa.table(columns, schema=RECORDS)


def _renumbered(table: pa.Table, numbers: NDArray[np.int32]) -> pa.Table:
    """The table with class indices of the dataset in place of the labels'."""
    if numbers.tolist() == list(range(len(numbers))):
        return table
    at = RECORDS.get_field_index("annotations")
    lists = table.column(at).combine_chunks()
    if isinstance(lists, pa.ChunkedArray):  # no rows
        return table
    marks = lists.flatten()
    children = [marks.field(i) for i in range(marks.type.num_fields)]
    children[0] = pa.array(numbers[children[0].to_numpy()])
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    new = pa.StructArray.from_arrays(children, fields=list(marks.type))
    return table.set_column(at, RECORDS.field(at), pa.ListArray.from_arrays(offsets, new, type=lists.type))
