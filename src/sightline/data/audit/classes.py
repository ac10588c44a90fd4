"""Checks of classes: declared and used, named apart, how uneven."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from sightline.data.audit.case import Case, finding
from sightline.data.audit.findings import ClassRow, Finding
from sightline.data.balance import class_weights, effective_number
from sightline.data.counting import shown_by_all

RARE_MARKS = 10
RARE_SHARE = 0.002
UNEVEN_RATIO = 10.0


def class_rows(case: Case) -> tuple[ClassRow, ...]:
    """Figures of every declared class."""
    count = len(case.classes)
    marks, records, pixels = (np.zeros(count, np.int64) for _ in range(3))
    parts: dict[str, NDArray[np.int64]] = {}
    for record, seen in zip(case.records, shown_by_all(case.dataset, case.records), strict=True):
        marks += seen.amounts
        records += seen.amounts > 0
        pixels += seen.pixels
        if case.split and (part := case.split.parts.get(record.id)):
            parts[part] = parts.get(part, 0) + seen.amounts
    counted = pixels if pixels.any() else marks
    effective, weights = effective_number(counted), class_weights(counted)
    return tuple(
        ClassRow(
            name,
            int(marks[i]),
            int(records[i]),
            float(effective[i]),
            float(weights[i]),
            {part: int(by_class[i]) for part, by_class in parts.items() if by_class[i]},
            int(pixels[i]),
        )
        for i, name in enumerate(case.classes)
    )


def check_classes(case: Case) -> Iterator[Finding]:
    """Classes that are undeclared, unused, rare, badly named or uneven."""
    yield from _undeclared(case)
    rows = case.rows
    total = sum(row.marks for row in rows)
    for index, row in enumerate(rows):
        if row.marks == 0 and total:
            text = f"class {row.name!r} (index {index}) is declared and never used"
            yield finding("warning", "class-unused", text)
        elif 0 < row.marks < max(RARE_MARKS, RARE_SHARE * total) and len(rows) > 1 and total >= 100:
            shown = [r for r in case.records if any(a.label == index for a in r.annotations)]
            marks = {
                r.id: tuple(i for i, a in enumerate(r.annotations) if a.label == index) for r in shown[:50]
            }
            text = f"class {row.name!r} has {row.marks} of {total} marks, in {row.records} records"
            yield finding("warning", "class-rare", text, shown[:50], marks=marks)
    yield from _names(case)
    yield from _uneven(rows)


def _undeclared(case: Case) -> Iterator[Finding]:
    count = len(case.classes)
    for record in case.records:
        for index, a in enumerate(record.annotations):
            if not 0 <= a.label < count:
                text = f"{record.id}: class index {a.label}, there are {count} classes"
                yield finding("error", "class-undeclared", text, [record], marks={record.id: (index,)})


def _names(case: Case) -> Iterator[Finding]:
    alike: dict[str, list[str]] = {}
    for name in case.classes:
        alike.setdefault(_plain(name), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            listed = ", ".join(repr(name) for name in names)
            yield finding("warning", "class-names-alike", f"classes {listed} differ only in spelling")
    numbers = [name for name in case.classes if name.strip().isdigit()]
    if 0 < len(numbers) < len(case.classes) / 2 or (len(numbers) == 1 and len(case.classes) == 2):
        for name in numbers:
            yield finding("warning", "class-odd-name", f"class {name!r} is a number, the others are words")


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if c.isalnum()) or name


def _uneven(rows: tuple[ClassRow, ...]) -> Iterator[Finding]:
    unit = "pixels" if any(row.pixels for row in rows) else "marks"
    used = [(int(getattr(row, unit)), row) for row in rows if getattr(row, unit)]
    if len(used) < 2:
        return
    (high, most), (low, least) = max(used, key=itemgetter(0)), min(used, key=itemgetter(0))
    ratio = high / low
    if ratio >= UNEVEN_RATIO:
        text = (
            f"{most.name!r} has {ratio:.0f} times the {unit} of {least.name!r} "
            f"({high} and {low}); effective numbers {most.effective:.0f} and {least.effective:.1f}"
        )
        yield finding("warning" if ratio >= UNEVEN_RATIO**2 else "info", "class-imbalance", text)


def check_empty(case: Case) -> Iterator[Finding]:
    """Records without any label, in one finding."""
    empty = [r for r in case.records if not r.annotations and not r.maps]
    if empty and len(empty) < len(case.records):
        share = len(empty) / len(case.records)
        text = f"{len(empty)} of {len(case.records)} records ({share:.1%}) have no label"
        yield finding("info", "empty-picture", text, empty)
    elif empty:
        yield finding("warning", "empty-picture", "no record has any label", empty)
