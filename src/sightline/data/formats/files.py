"""What every format's reader needs of the file system, said once."""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from sightline.core.errors import FormatError
from sightline.core.media import PICTURE_SUFFIXES
from sightline.core.records import Record
from sightline.data.dataset import Dataset
from sightline.data.ledger import Ledger
from sightline.data.media_store import is_url

PARTITIONS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def partition_of(name: str) -> str:
    """`train`, `val` or `test` where a folder or file is named so, else empty."""
    return PARTITIONS.get(name.lower(), "")


def is_picture(path: Path) -> bool:
    """Whether a file's suffix is a picture's."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def pictures_under(folder: Path) -> Iterator[Path]:
    """Picture files in a folder and below it, sorted; hidden ones and those in hidden folders left out."""
    for path in sorted(folder.rglob("*")):
        if is_picture(path) and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def shown(path: Path, source: Path) -> str:
    """A path as a ledger shows it: relative to the source, which may be the file itself."""
    base = source if source.is_dir() else source.parent
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def read_text(path: Path) -> str:
    """A text file's content, without a byte-order mark.

    Raises:
        FormatError: absent, or not UTF-8 (names the byte and line).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot be read ({error.strerror})", where=path) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"is not UTF-8 text: byte {data[error.start]:#04x}",
            where=f"{path}:{line}",
            remedy="save it as UTF-8",
        ) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; raises FormatError naming the line."""
    try:
        value = yaml.safe_load(read_text(path))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else path
        raise FormatError(f"is not YAML: {error.problem or error}", where=where) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(f"is not YAML: {' '.join(str(error).split())}", where=path) from error
    if not isinstance(value, dict):
        raise FormatError("must be a mapping of keys to values", where=path)
    return value


class Lost:
    """Tells the ledger of a `write` what became of a record's marks, one place each."""

    def __init__(self, ledger: Ledger, record: Record) -> None:
        self.ledger, self.record = ledger, record
        ledger.saw("picture")
        ledger.saw("annotation", len(record.annotations))

    def picture(self, reason: str) -> None:
        """The picture is not written, nor any of its marks."""
        self.ledger.drop("picture", reason, self.record.id)
        for number in range(len(self.record.annotations)):
            self.mark(number, "its picture is not written")

    def mark(self, number: int, reason: str) -> None:
        """A mark is not written."""
        self.ledger.drop("annotation", reason, f"{self.record.id}: annotation {number}")

    def part(self, number: int, reason: str) -> None:
        """A mark is written without something it had."""
        self.ledger.fix("annotation", reason, f"{self.record.id}: annotation {number}")

    def extras(self, number: int, *, attributes: Container[str] = (), crowd: bool = False) -> None:
        """Tell of track, crowd and attributes that a format leaves out; named ones it carries."""
        a = self.record.annotations[number]
        if a.track:
            self.part(number, "its track is not carried")
        if a.crowd and not crowd:
            self.part(number, "that it is a crowd is not carried")
        if any(name not in attributes for name in a.attributes):
            self.part(number, "its attributes are not carried")


def copy_media(dataset: Dataset, record: Record, target: Path) -> bool:
    """Copy a record's picture to a place of an export; false where it is not at hand (an address, absent)."""
    if is_url(record.media):
        return False
    origin = dataset.media_path(record.media)
    if not origin.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(origin, target)
    return True


def note_absent(ledger: Ledger, absent: Sequence[str]) -> None:
    """A note about pictures whose labels were written without them."""
    if absent:
        ledger.note(
            f"{len(absent)} pictures are not at hand; only their labels are written, first {absent[0]}"
        )
