"""JSON and CSV label files, with the place of a fault in the error. A byte-order mark is skipped."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightline.core.errors import FormatError
from sightline.data.formats.files import read_text

MAX_CELL = 1 << 30
# A string, or one of the words that JSON does not have though many writers use them.
_NUMBER_WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|(-?(?:NaN|Infinity))')


class Fields:
    """A JSON object at a pointer, asked for values of a type; what is not so is an error with its place."""

    __slots__ = ("at", "file", "value")

    def __init__(self, value: Any, file: object, at: str) -> None:
        if not isinstance(value, dict):
            raise FormatError(f"must be an object, is {_kind(value)}", where=f"{file}: {at or '/'}")
        self.value, self.file, self.at = value, file, at

    def fail(self, key: str, what: str) -> FormatError:
        """The error for one key."""
        return FormatError(what, where=f"{self.file}: {self.at}/{key}")

    def number(self, key: str, default: float | None = None) -> float:
        """A number (true and false are none; NaN cannot occur in JSON, infinity can, as 1e999)."""
        return as_number(self._get(key, default), f"{self.file}: {self.at}/{key}")

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number; 3.0 is one."""
        value = self.number(key, default)
        if not value.is_integer():  # infinity is none either
            raise self.fail(key, f"must be a whole number, is {value}")
        return int(value)

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        return str(self._typed(key, default, str, "text"))

    def items(self, key: str, default: list[Any] | None = None) -> list[Any]:
        """A list."""
        found: list[Any] = self._typed(key, default, list, "a list")
        return found

    def texts(self, key: str) -> list[str]:
        """A list of strings, empty where the key is absent or null."""
        found = self.value.get(key) or []
        if isinstance(found, str):
            return [found]
        if not isinstance(found, list) or not all(isinstance(v, str) for v in found):
            raise self.fail(key, f"must be a list of texts, is {found!r:.80}")
        return found

    def child(self, key: str) -> Fields:
        """An object."""
        return Fields(self._get(key, None), self.file, f"{self.at}/{key}")

    def _typed(self, key: str, default: Any, kind: type, named: str) -> Any:
        value = self._get(key, default)
        if not isinstance(value, kind):
            raise self.fail(key, f"must be {named}, is {_kind(value)}")
        return value

    def _get(self, key: str, default: Any) -> Any:
        value = self.value.get(key, default)
        if value is None:
            raise self.fail(key, "is missing")
        return value


def as_number(value: Any, where: object) -> float:
    """A JSON number as a float; anything else is an error."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"must be a number, is {_kind(value)}", where=where)
    try:
        return float(value)
    except OverflowError as error:
        raise FormatError("is a number beyond all limits", where=where) from error


def points_xy(values: Any, where: str) -> list[tuple[float, float]]:
    """A JSON list of pairs of numbers."""
    if not isinstance(values, list):
        raise FormatError(f"must be a list of points, is {_kind(values)}", where=where)
    out = []
    for i, pair in enumerate(values):
        if not isinstance(pair, list) or len(pair) != 2:
            raise FormatError("must be a pair x, y", where=f"{where}/{i}")
        out.append((as_number(pair[0], f"{where}/{i}/0"), as_number(pair[1], f"{where}/{i}/1")))
    return out


def read_json(path: Path) -> Any:
    """The value in a JSON file; NaN and Infinity are refused.

    Raises:
        FormatError: names the line and column.
    """
    text = read_text(path)

    def refuse(word: str) -> Any:
        found = (m for m in _NUMBER_WORDS.finditer(text) if m.group(1))
        where = next((_line_and_column(text, m.start()) for m in found), "")
        raise FormatError(f"{word} is no JSON number", where=f"{path}{where}")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise FormatError(f"is no JSON: {error.msg}", where=f"{path}:{error.lineno}:{error.colno}") from error
    except RecursionError as error:
        raise FormatError("is nested too deeply", where=path) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise FormatError(f"is no JSON we read: {error}", where=path) from error


def read_csv(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Column names, and the rows with the number of the line each ends on.

    Raises:
        FormatError: empty, a column twice, a row of another length, or not CSV; names the line.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    previous = csv.field_size_limit(MAX_CELL)
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise FormatError(f"is no CSV: {error}", where=f"{path}:{reader.line_num}") from error
    finally:
        csv.field_size_limit(previous)
    if not any(names):
        raise FormatError("is empty", where=path)
    if len(set(names)) < len(names):
        raise FormatError(f"a column is named twice among {names}", where=f"{path}:1")
    return names, _rows(path, reader, names)


def _rows(path: Path, reader: Any, names: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    previous = csv.field_size_limit(MAX_CELL)
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(names):
                what = f"has {len(row)} cells, the header names {len(names)}"
                raise FormatError(what, where=f"{path}:{reader.line_num}")
            yield reader.line_num, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise FormatError(f"is no CSV: {error}", where=f"{path}:{reader.line_num}") from error
    finally:
        csv.field_size_limit(previous)


def head_of(path: Path, size: int = 65536) -> str:
    """The first characters of a file for sniffing; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


def _line_and_column(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f":{line}:{at - text.rfind(chr(10), 0, at)}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
