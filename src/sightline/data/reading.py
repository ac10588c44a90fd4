"""What a format's `read` gives and what it is told: the seam between label files and datasets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from sightline.core.records import Record
from sightline.data.ledger import Ledger


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Policies of an import.

    Attributes:
        boxes: marks that leave the picture are cut to it, dropped, or stop the import.
        visible: `all` takes every point as visible, whatever its column says (noted in the ledger).
        media: where pictures are, if not where the labels point.
        rename: class names of the source -> names of the dataset; a name mapped to "" is dropped.
        check_media: open each picture's header for its size and orientation; false trusts the labels.
    """

    boxes: Literal["clip", "drop", "fail"] = "clip"
    visible: Literal["as-labelled", "all"] = "as-labelled"
    media: Path | None = None
    rename: dict[str, str] = field(default_factory=dict)
    check_media: bool = True


@dataclass(slots=True)
class Reading:
    """Labels as a format found them, before they become a dataset.

    Attributes:
        classes: names in the order of the records' class indices.
        records: `media` and `maps` name files relative to `media_root` (or hold a URL).
        media_root: folder the media names start from.
        table: the same records as an Arrow table in the dataset's schema, from a format that is
            faster that way; `records` is then empty.
    """

    classes: tuple[str, ...]
    records: Iterable[Record]
    media_root: Path
    table: Any = None


class Format(Protocol):
    """A label format: a module with these three functions, listed in `formats.FORMATS`."""

    def sniff(self, source: Path) -> str | None:
        """What was seen that makes `source` this format (one clause), or None. Cheap; never raises."""

    def read(self, source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
        """Read labels; every thing fixed or dropped goes to the ledger with its place.

        Raises:
            FormatError: the file breaks the grammar; names file and line, JSON pointer or element.
        """

    def write(self, dataset: Any, out: Path) -> Ledger:
        """Write a dataset's labels; the ledger says what the format could not carry."""
