"""From label files in any format to a checked dataset."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.core.errors import DatasetError, TooMuchDropped, UsageError
from sightline.core.files import fingerprint, sha256, write_json
from sightline.core.records import Record
from sightline.data import formats
from sightline.data.archives import is_archive, unpacked
from sightline.data.dataset import SPLITS, Dataset, check_classes
from sightline.data.fetch import fetch_reading
from sightline.data.fetch_http import FetchLimits
from sightline.data.grouping import group_names
from sightline.data.growing import grown
from sightline.data.importing_table import JudgedTables
from sightline.data.judging import NO_PICTURE, Desk, Progress, judged, note_addresses
from sightline.data.ledger import Ledger
from sightline.data.media_store import Found, MediaMode
from sightline.data.points import box_centres
from sightline.data.reading import Reading, ReadOptions
from sightline.data.split import Split
from sightline.data.split_growing import grown_split
from sightline.data.writing import refuse_occupied, write_dataset


def import_dataset(
    source: str | Path,
    out: str | Path,
    format: str = "auto",
    options: ReadOptions | None = None,
    *,
    classes: Sequence[str] = (),
    media: MediaMode = "link",
    drop_limit: float = 0.05,
    group: str = "auto",
    fetch: bool | FetchLimits = False,
    replace: bool = False,
    onto: Dataset | None = None,
    progress: Progress | None = None,
) -> tuple[Dataset, Ledger]:
    """Read labels, judge every mark, and write a dataset folder whole.

    Args:
        source: folder, label file, or an archive of such a folder.
        out: the dataset's folder.
        format: a name of `formats.FORMATS`, or `auto` to look.
        options: policies; see `ReadOptions`.
        classes: names in the dataset's order, matched by name after renaming; more than the labels
            have is fine (`background`), less is an error. Empty takes them from the labels.
        media: `link`, `copy` or `none`.
        drop_limit: the largest share of pictures or annotations that may be dropped, 0..1.
        group: how pictures that belong together are found; see `grouping.group_names`.
        fetch: bring pictures that are addresses; limits other than the usual ones may be given.
        replace: take the place of a dataset that is there.
        onto: make the next version of this dataset: its records and the new ones, its classes (others are
            refused), its fingerprint as `parent`, its splits with the new records divided alike
            (`split_growing.grown_split`).
        progress: called with stage, done and total.

    Returns:
        The dataset, and the ledger: read = kept + fixed + dropped.

    Raises:
        FormatError: a label file breaks its grammar.
        DatasetError: nothing is left, a class name twice, a disk that refuses.
        TooMuchDropped: more than `drop_limit` was dropped. No dataset is written; the ledger hangs on the
            error and is written beside, to `OUT.ledger.json`.
    """
    source, out, options = Path(source), Path(out).absolute(), options or ReadOptions()
    refuse_occupied(out, replace=replace)
    if onto is not None:
        classes = _same_classes(onto, classes)
    ledger, origin = Ledger(), source
    if is_archive(source):
        source = unpacked(source, out)
        ledger.note(f"unpacked to {source}, where it stays")
    reading, seen = _read(source, format, options, ledger)
    reading, renumber = _renamed(reading, options.rename, tuple(classes), source)
    if fetch:
        limits = fetch if isinstance(fetch, FetchLimits) else FetchLimits()
        reading = fetch_reading(reading, out, ledger, progress, limits)
    desk = Desk(reading, renumber, options, ledger)
    if reading.table is None:
        checked = dataclasses.replace(reading, records=_judge_records(desk, group, progress))
    else:
        checked = dataclasses.replace(reading, table=JudgedTables(reading.table, desk, group, progress))
    checked.made = {**reading.made, **desk.made}
    lineage = {"path": str(origin.absolute()), **seen, **_licence(source)}
    lineage["labels_sha256"] = _hash_labels(reading)
    found: Mapping[str, Found] = desk.found
    if onto is not None:
        checked, found, about = grown(onto, checked, desk.found, ledger)
        lineage |= about
    dataset = write_dataset(
        out,
        checked,
        ledger,
        media=media,
        found=found,
        source=lineage,
        parent=onto.fingerprint if onto is not None else "",
        replace=replace,
        progress=progress,
        accept=lambda: _hold_to_limit(ledger, drop_limit, source, out),
    )
    if onto is not None:
        for path in sorted((onto.root / SPLITS).glob("*.parquet")):
            grown_split(dataset, Split.open(path, dataset=onto), progress=progress).write()
    return dataset, ledger


def _same_classes(onto: Dataset, classes: Sequence[str]) -> Sequence[str]:
    if classes and tuple(classes) != onto.classes:
        raise UsageError(
            f"a grown dataset keeps the classes of its parent: {', '.join(onto.classes)}", where=onto.root
        )
    return onto.classes


def _read(source: Path, format: str, options: ReadOptions, ledger: Ledger) -> tuple[Reading, dict[str, str]]:
    """What a format found, and which format it was and why."""
    name, why = (format, "named by the caller") if format != "auto" else formats.sniff(source)
    module = formats.resolve(name)
    if not source.exists():
        raise DatasetError("does not exist", where=source)
    ledger.note(f"format {name}: {why}")
    reading = module.read(source, options, ledger)
    if options.points == "box-centres":
        if reading.table is not None:
            raise UsageError(f"--points box-centres is not for format {name}", where=source)
        reading = dataclasses.replace(reading, records=box_centres(reading.records, ledger))
    check_classes(reading.classes, where=source)
    return reading, {"format": name, "seen": why}


def _renamed(
    reading: Reading, rename: dict[str, str], wanted: tuple[str, ...], source: Path
) -> tuple[Reading, list[int]]:
    """Classes after renaming, and for each old index the new one, or -1 where it is left out."""
    for name in rename:
        if name not in reading.classes:
            near = difflib.get_close_matches(name, reading.classes, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(reading.classes)}"
            raise UsageError(f"class {name!r} to rename is not in the labels", where=source, remedy=hint)
    targets = [rename.get(name, name) for name in reading.classes]
    classes = wanted or tuple(dict.fromkeys(target for target in targets if target))
    extra = [target for target in targets if target and target not in classes]
    if extra:
        raise UsageError(
            f"labels name class {extra[0]!r}, which is not one of {', '.join(classes)}",
            where=source,
            remedy="add it to the classes, rename it, or leave it out by renaming it to nothing",
        )
    check_classes(classes, where=source)
    numbers = {name: index for index, name in enumerate(classes)}
    return dataclasses.replace(reading, classes=classes), [numbers.get(target, -1) for target in targets]


def _judge_records(desk: Desk, group: str, progress: Progress | None) -> list[Record]:
    """Records that are kept, judged and grouped."""
    records = list(desk.reading.records)
    kept: list[Record] = []
    for done, record in enumerate(records, 1):
        fair = judged(desk, record)
        if fair is not None:
            kept.append(fair)
        if progress is not None and (done % 64 == 0 or done == len(records)):
            progress("checks", done, len(records))
    note_addresses(desk)
    groups, why = group_names(kept, group)
    desk.ledger.note(f"groups: {why}")
    return [dataclasses.replace(record, group=name) for record, name in zip(kept, groups, strict=True)]


def _hold_to_limit(ledger: Ledger, limit: float, source: Path, out: Path) -> None:
    if ledger.kept("picture") + ledger.fixed["picture"] == 0:
        raise DatasetError("no picture is left", where=source, remedy=_first_reason(ledger))
    share = ledger.dropped_share()
    if share <= limit:
        return
    beside = out.with_name(out.name + ".ledger.json")
    write_json(beside, ledger.to_json())
    raise TooMuchDropped(
        f"{share:.1%} of what was read would be dropped, the limit is {limit:.1%}; {_first_reason(ledger)}",
        ledger,
        where=out,
        remedy=f"every place is in {beside}; mend the labels, or pass --drop-limit {_rounded_up(share):g}",
    )


def _rounded_up(share: float) -> float:
    return min(1.0, int(share * 100 + 1) / 100)


def _first_reason(ledger: Ledger) -> str:
    told = ledger.reasons().items()
    dropped = {key: places for key, places in told if key[1] == "dropped" and key[2] != NO_PICTURE}
    if not dropped:
        return "the source names no picture"
    (_, _, reason), places = max(dropped.items(), key=lambda item: len(item[1]))
    return f"most often ({len(places)} times): {reason}, first at {places[0]}"


def _licence(source: Path) -> dict[str, Any]:
    """Name and hash of a licence file in the source's folder or the one above."""
    folder = source if source.is_dir() else source.parent
    for place in (folder, folder.parent):
        for path in sorted(place.glob("LICEN[SC]E*")):
            if path.is_file():
                return {"licence": {"file": path.name, "sha256": sha256(path)}}
    return {}


def _hash_labels(reading: Reading) -> str:
    """One hash over the label files, by name and content."""
    return fingerprint([(path.name, sha256(path)) for path in reading.files])
