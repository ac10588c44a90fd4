"""Checks between records: copies, their labels, and what stands on two sides of a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sightline.core.geometry import box_iou
from sightline.core.records import Annotation, Record
from sightline.data.audit.case import Case, finding
from sightline.data.audit.copies import Copies
from sightline.data.audit.findings import Finding, Level

SAME_IOU = 0.5
# Marks of a near copy may be missing at its border; beyond this share the labels disagree.
NEAR_TOLERANCE = 0.2
HELD_OUT = ("val", "test")


def check_copies(case: Case) -> Iterator[Finding]:
    """Copies within a part, copies across the split, and copies that are labelled differently."""
    by_id = {record.id: record for record in case.records}
    for found in case.copies:
        records = [by_id[i] for i in found.ids if i in by_id]
        crossing = _crossing(case, found.ids)
        names = ", ".join(record.id for record in records[:4]) + (", ..." if len(records) > 4 else "")
        measure = "" if found.how == "exact" else f" (likeness {found.likeness:.2f})"
        if crossing:
            kind = f"{'exact' if found.how == 'exact' else 'near'}-copies-across-split"
            level: Level = "error" if found.how == "exact" and case.named else "warning"
            text = f"{found.how} copies{measure} in {crossing}: {names}"
            yield finding(level, kind, text, records)
        else:
            level = "warning" if found.how == "exact" else "info"
            text = f"{len(records)} {found.how} copies{measure}: {names}"
            yield finding(level, f"{found.how}-copies", text, records)
        if found.how != "mirrored":
            yield from _disagreements(case, found, records)


def _crossing(case: Case, ids: Sequence[str]) -> str:
    """The parts that a set of records stands in, where training is one of several; else empty."""
    if case.split is None:
        return ""
    parts = [part for part in ("train", *HELD_OUT) if any(case.split.parts.get(i) == part for i in ids)]
    return " and ".join(parts) if len(parts) > 1 else ""


def _disagreements(case: Case, found: Copies, records: Sequence[Record]) -> Iterator[Finding]:
    """The first record against each other one."""
    first = records[0]
    for other in records[1:]:
        why, marks = disagreement(case, first, other, 0.0 if found.how == "exact" else NEAR_TOLERANCE)
        if why:
            level: Level = "error" if found.how == "exact" else "warning"
            text = f"{found.how} copies {first.id} and {other.id}: {why}"
            yield finding(level, "labels-disagree", text, [first, other], marks=marks)


def disagreement(
    case: Case, a: Record, b: Record, tolerance: float
) -> tuple[str, Mapping[str, tuple[int, ...]]]:
    """In what two records of one picture differ, in words, and the marks without a partner.

    Args:
        case: for class names.
        a: a record.
        b: another one of the same picture, perhaps of another size.
        tolerance: share of marks that may have no partner.
    """
    whole = [{x.label for x in r.annotations if x.kind == "label"} for r in (a, b)]
    if whole[0] != whole[1]:
        names = [", ".join(sorted(map(case.class_name, labels))) or "nothing" for labels in whole]
        return f"labelled {names[0]} and {names[1]}", {}
    alone_a, alone_b = _unmatched(a, b)
    alone = len(alone_a) + len(alone_b)
    total = len(_located(a)) + len(_located(b))
    if not alone or alone <= tolerance * total:
        return "", {}
    counts = [Counter(case.class_name(x.label) for x in r.annotations) for r in (a, b)]
    said = [", ".join(f"{n} {name}" for name, n in sorted(c.items())) or "nothing" for c in counts]
    text = f"{alone} of {total} marks have no partner ({said[0]} against {said[1]})"
    return text, {a.id: tuple(alone_a), b.id: tuple(alone_b)}


def _located(record: Record) -> list[int]:
    return [i for i, x in enumerate(record.annotations) if _extent(x) is not None and x.visible]


def _extent(a: Annotation) -> tuple[float, float, float, float] | None:
    """The box of a mark; a point gets one of 16 pixels."""
    if a.box is not None:
        return a.box
    if a.point is None:
        return None
    return a.point[0] - 8, a.point[1] - 8, a.point[0] + 8, a.point[1] + 8


def _unmatched(a: Record, b: Record) -> tuple[list[int], list[int]]:
    """Positions of marks in either record without one of their class at their place in the other."""
    left, right = _located(a), _located(b)
    if not left or not right:
        return left, right
    iou = box_iou(_relative(a, left), _relative(b, right))
    labels_a = np.array([a.annotations[i].label for i in left])
    labels_b = np.array([b.annotations[i].label for i in right])
    iou[labels_a[:, None] != labels_b[None]] = 0
    free_a, free_b = set(range(len(left))), set(range(len(right)))
    for flat in np.argsort(-iou, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(right))
        if iou[i, j] < SAME_IOU:
            break
        if i in free_a and j in free_b:
            free_a.remove(i)
            free_b.remove(j)
    return [left[i] for i in sorted(free_a)], [right[j] for j in sorted(free_b)]


def _relative(record: Record, chosen: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Boxes in shares of the picture, so that a resized copy is compared rightly."""
    width, height = record.size_wh if min(record.size_wh) > 0 else (1, 1)
    boxes = np.array([_extent(record.annotations[i]) for i in chosen], np.float64)
    return boxes / (width, height, width, height)


def check_groups(case: Case) -> Iterator[Finding]:
    """Still pictures that belong together: bursts, or augmented copies of one source."""
    groups: dict[str, list[Record]] = {}
    for record in case.records:
        if record.group and record.frame < 0:
            groups.setdefault(record.group, []).append(record)
    several = {name: members for name, members in groups.items() if len(members) > 1}
    if several:
        sizes = sorted(map(len, several.values()))
        total = sum(sizes)
        text = f"{total} pictures are in {len(several)} groups of {sizes[0]} to {sizes[-1]}"
        if sizes[0] == sizes[-1]:
            text = f"{total} pictures are in {len(several)} groups of {sizes[0]} each"
        first = next(iter(several.values()))
        yield finding("info", "groups-of-pictures", text, first[:6])


def check_split(case: Case) -> Iterator[Finding]:
    """Groups on both sides, empty parts, records left out, classes absent from a part."""
    if case.split is None:
        return
    parts: dict[str, dict[str, list[Record]]] = {}
    for record in case.records:
        part = case.split.parts.get(record.id, "")
        if record.group and part:
            parts.setdefault(record.group, {}).setdefault(part, []).append(record)
    for group, sides in parts.items():
        if len(sides) > 1:
            listed = ", ".join(f"{len(members)} in {part}" for part, members in sorted(sides.items()))
            level: Level = "error" if case.named else "warning"
            text = f"group {group!r} has {listed}"
            shown = [members[0] for members in sides.values()]
            yield finding(level, "group-across-split", text, shown)
    yield from _parts(case)


def _parts(case: Case) -> Iterator[Finding]:
    split = case.split
    if split is None:
        return
    for name in ("train", "val"):
        if not split.part(name):
            yield finding("warning", "part-empty", f"split {split.name!r} has no {name} records")
    outside = [r for r in case.records if r.id not in split.parts]
    if outside:
        text = f"{len(outside)} of {len(case.records)} records are in no part of split {split.name!r}"
        yield finding("info", "not-in-split", text, outside)
    for row in case.rows:
        for part in split.counts() if row.marks else ():
            if not row.parts.get(part):
                text = f"class {row.name!r} has no mark in {part}"
                yield finding("warning", "class-not-in-part", text)
