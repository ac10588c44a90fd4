"""Choosing records to look at, and drawing them on one sheet."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import DatasetError, MediaError, UsageError
from sightline.core.records import Record
from sightline.draw import contact_sheet, draw_record, fit_scale

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset


# More names than this hide a small picture; colours still tell the classes.
NAMES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Choice:
    """A record to show, with what is to be said of it and the marks to point out (None: none)."""

    record: Record
    caption: str
    marks: tuple[int, ...] | None = None


def choose(
    dataset: Dataset,
    count: int,
    *,
    split: str = "",
    part: str = "",
    classes: Sequence[str] = (),
    seed: int = 0,
) -> list[Choice]:
    """Records at random (the first ones for a negative seed), in the dataset's order.

    Several classes are shown in equal number, as far as there are records.

    Raises:
        UsageError: an unknown class, or a part without a split.
        DatasetError: no record is left.
    """
    records = _eligible(dataset, split, part, classes)
    order = np.arange(len(records)) if seed < 0 else np.random.default_rng(seed).permutation(len(records))
    wanted = [dataset.classes.index(name) for name in classes]
    if len(wanted) > 1:
        taken: dict[int, None] = {}
        queues = [[i for i in order if _has(records[i], {label})] for label in wanted]
        for rank in range(max(map(len, queues))):
            for queue in queues:
                if rank < len(queue) and len(taken) < count:
                    taken[int(queue[rank])] = None
        picked = sorted(taken)
    else:
        picked = sorted(int(i) for i in order[:count])
    return [Choice(records[i], records[i].id) for i in picked]


def choose_faulty(
    dataset: Dataset,
    count: int,
    *,
    split: str = "",
    part: str = "",
    classes: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Choice]:
    """Records an audit speaks of, errors first, at most one a finding and as many kinds as there is room for.

    Raises:
        UsageError: an unknown class, or a part without a split.
        DatasetError: the audit speaks of no record.
    """
    from sightline.data.audit import audit

    eligible = {r.id: r for r in _eligible(dataset, split, part, classes)}
    found = audit(dataset, dataset.split(split) if split else None, progress=progress)
    queues = [
        [f for f in findings if any(i in eligible for i in f.records)] for _, _, findings in found.kinds()
    ]
    chosen: list[Choice] = []
    for rank in range(max(map(len, queues), default=0)):
        for queue in queues:
            if rank < len(queue) and len(chosen) < count:
                one = queue[rank]
                id = next(i for i in one.records if i in eligible)
                marks = tuple(one.marks[id]) if one.marks.get(id) else None
                chosen.append(Choice(eligible[id], f"{one.kind}: {id}", marks))
    if not chosen:
        raise DatasetError("the audit finds fault with no record", where=dataset.root)
    return chosen


def _eligible(dataset: Dataset, split: str, part: str, classes: Sequence[str]) -> list[Record]:
    labels = {_index(dataset, name) for name in classes}
    if part and not split:
        raise UsageError(f"part {part!r} of which split?", remedy="pass --split NAME, perhaps --split author")
    parts = dataset.split(split).parts if split else None
    records = [
        r
        for r in dataset.records
        if (parts is None or parts.get(r.id, "") == part or (not part and r.id in parts))
        and (not labels or _has(r, labels))
    ]
    if not records:
        raise DatasetError("no record fits what was asked for", where=dataset.root)
    return records


def _index(dataset: Dataset, name: str) -> int:
    if name not in dataset.classes:
        near = difflib.get_close_matches(name, dataset.classes, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(dataset.classes)}"
        raise UsageError(f"{name!r} is no class", where=dataset.root, remedy=hint)
    return dataset.classes.index(name)


def _has(record: Record, labels: set[int]) -> bool:
    return any(a.label in labels for a in record.annotations)


def sheet(
    dataset: Dataset,
    chosen: Sequence[Choice],
    *,
    columns: int = 0,
    cell_width: int = 320,
    dark: bool = False,
) -> NDArray[np.uint8]:
    """The chosen records with their labels, RGB (H, W, 3); what cannot be read is a grey cell."""
    aspects = [w / h for w, h in (c.record.size_wh for c in chosen) if w > 0 and h > 0]
    aspect = float(np.clip(np.median(aspects), 0.6, 2.0)) if aspects else 4 / 3
    cell_wh = (cell_width, round(cell_width / aspect))
    pictures, captions = [], []
    for choice in chosen:
        picture, caption = _cell(dataset, choice, cell_wh, dark=dark)
        pictures.append(picture)
        captions.append(caption)
    title = f"{dataset.root.name}: {len(chosen)} of {len(dataset.records):,} records"
    return contact_sheet(pictures, captions, columns=columns, cell_wh=cell_wh, title=title, dark=dark)


def _cell(
    dataset: Dataset, choice: Choice, cell_wh: tuple[int, int], *, dark: bool
) -> tuple[NDArray[np.uint8], str]:
    record = choice.record
    try:
        picture = dataset.read(record)
        maps: dict[str, NDArray[Any]] = {task: dataset.read_map(record, task) for task in record.maps}
    except MediaError as error:
        grey = np.full((cell_wh[1], cell_wh[0], 3), 128, np.uint8)
        return grey, f"{choice.caption}: {error.what}"
    scale = fit_scale((picture.shape[1], picture.shape[0]), cell_wh)
    drawn = draw_record(
        picture,
        record,
        dataset.classes,
        maps=maps,
        emphasis=set(choice.marks) if choice.marks is not None else None,
        names=choice.marks is not None or len(record.annotations) <= NAMES_SHOWN,
        scale=scale,
        dark=dark,
    )
    return drawn, choice.caption
