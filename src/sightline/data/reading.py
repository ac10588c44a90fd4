"""What a format's `read` gives and what it is told: the seam between label files and datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
        points: `box-centres` makes every plain box a point at its centre, hidden where there is no box.
        media: where pictures are, if not where the labels point.
        rename: class names of the source -> names of the dataset; a name mapped to "" is dropped.
        check_media: open each picture's header for its size and orientation; false trusts the labels.
    """

    boxes: Literal["clip", "drop", "fail"] = "clip"
    visible: Literal["as-labelled", "all"] = "as-labelled"
    points: Literal["as-labelled", "box-centres"] = "as-labelled"
    media: Path | None = None
    rename: dict[str, str] = field(default_factory=dict)
    check_media: bool = True


class Tables(Protocol):
    """Records as Arrow tables of `schema.RECORDS`, a few thousand rows each, made as they are asked for."""

    @property
    def media(self) -> Sequence[str]:
        """The media name of every row of all tables, in order."""

    def __iter__(self) -> Iterator[Any]:
        """The tables, once."""


@dataclass(slots=True)
class Reading:
    """Labels as a format found them, before they become a dataset.

    Attributes:
        classes: names in the order of the records' class indices.
        records: `media` and `maps` name files relative to `media_root` (or hold a URL).
        media_root: folder the media names start from.
        table: the same records as Arrow tables of the dataset's schema, from a format that is faster that
            way; `records` is then empty.
        labels_on: which pixels the labels count where a picture has an EXIF orientation and its declared
            size does not tell: `upright` (as a browser shows it) or `stored`.
        made: map or media files that the format had to make (a colour mask turned to indices), by their
            name among `media`: called when the dataset is written, gives the file's bytes.
        files: the label files that were read, for the lineage's hash.
        notes: licence, version and other words of the source, kept in `dataset.yaml`.
    """

    classes: tuple[str, ...]
    records: Iterable[Record]
    media_root: Path
    table: Tables | None = None
    labels_on: Literal["upright", "stored"] = "upright"
    made: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    files: Sequence[Path] = ()
    notes: dict[str, str] = field(default_factory=dict)


class Format(Protocol):
    """A label format: a module with these three functions, listed in `formats.FORMATS`.

    `read` counts what it sees (`ledger.saw` for each picture and annotation) and drops only what it cannot
    express; it does not judge marks: `import_dataset` hands every annotation to `checks.admit` once the
    picture's true size is known. A record's `source` is the label file (relative to the source), an
    annotation's the line, pointer or id in it; together they are the place in the ledger. `media` must be
    relative to `media_root`; `id`s are made unique and `group` is filled by the import where it is empty.
    """

    def sniff(self, source: Path) -> str | None:
        """What was seen that makes `source` this format (one clause), or None. Cheap; never raises."""

    def read(self, source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
        """Read labels; every thing fixed or dropped goes to the ledger with its place.

        Raises:
            FormatError: the file breaks the grammar; names file and line, JSON pointer or element.
        """

    def write(self, dataset: Any, out: Path) -> Ledger:
        """Write a dataset's labels; the ledger says what the format could not carry."""
