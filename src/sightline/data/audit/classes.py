"""Checks of classes: declared and used, named apart, how uneven."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator

import numpy as np

from sightline.data.audit.case import Case, finding
from sightline.data.audit.findings import ClassRow, Finding
from sightline.data.balance import class_weights, effective_number

RARE_MARKS = 10
RARE_SHARE = 0.002
UNEVEN_RATIO = 10.0


def class_rows(case: Case) -> tuple[ClassRow, ...]:
    """Figures of every declared class."""
    count = len(case.classes)
    marks, shown = np.zeros(count, np.int64), np.zeros(count, np.int64)
    parts: list[Counter[str]] = [Counter() for _ in range(count)]
    for record in case.records:
        labels = [a.label for a in record.annotations if 0 <= a.label < count]
        np.add.at(marks, labels, 1)
        shown[list(set(labels))] += 1
        part = case.split.parts.get(record.id, "") if case.split else ""
        for label in labels:
            parts[label][part] += 1
    effective = effective_number(marks) if count else np.zeros(0)
    weights = class_weights(marks) if count else np.zeros(0)
    return tuple(
        ClassRow(
            name,
            int(marks[i]),
            int(shown[i]),
            float(effective[i]),
            float(weights[i]),
            {part: n for part, n in parts[i].items() if part},
        )
        for i, name in enumerate(case.classes)
    )


def check_classes(case: Case) -> Iterator[Finding]:
    """Classes that are undeclared, unused, rare, badly named or uneven."""
    yield from _undeclared(case)
    rows = class_rows(case)
    mapped = any("segment" in record.maps for record in case.records)
    total = sum(row.marks for row in rows)
    for index, row in enumerate(rows):
        if row.marks == 0 and not mapped and total:
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
    used = [row for row in rows if row.marks]
    if len(used) < 2:
        return
    most, least = max(used, key=lambda r: r.marks), min(used, key=lambda r: r.marks)
    ratio = most.marks / least.marks
    if ratio >= UNEVEN_RATIO:
        text = (
            f"{most.name!r} has {ratio:.0f} times the marks of {least.name!r} "
            f"({most.marks} and {least.marks}); effective numbers {most.effective:.0f} "
            f"and {least.effective:.1f}"
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
