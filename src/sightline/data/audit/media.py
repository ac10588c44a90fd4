"""Checks of files: there, whole, readable, of the declared size, upright."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from sightline.core.errors import SightlineError
from sightline.core.records import Record
from sightline.data.audit.case import Case, finding
from sightline.data.audit.findings import Finding, Level

_KIND: dict[str, tuple[Level, str]] = {
    "missing": ("error", "missing-file"),
    "not-fetched": ("warning", "not-fetched"),
    "empty": ("error", "empty-file"),
    "truncated": ("error", "truncated-file"),
    "unreadable": ("error", "unreadable-file"),
    "frame-missing": ("error", "missing-frame"),
}
MANY_SIZES = 3


def check_files(case: Case) -> Iterator[Finding]:
    """Media that are missing, empty, cut short or do not decode; one finding a file."""
    told: set[tuple[str, str]] = set()
    for record in case.records:
        fact = case.facts.get(record.id)
        if fact is None or not fact.fault:
            continue
        key = (record.media, fact.fault if fact.fault != "frame-missing" else record.id)
        if key in told:
            continue
        told.add(key)
        level, kind = _KIND[fact.fault]
        yield finding(level, kind, f"{record.id}: {fact.detail}", [record])


def check_sizes(case: Case) -> Iterator[Finding]:
    """Sizes that are not as declared, pictures stored turned, and sets of mixed sizes."""
    sizes: Counter[tuple[int, int]] = Counter()
    example: dict[tuple[int, int], Record] = {}
    for record in case.records:
        fact = case.facts.get(record.id)
        if fact is None or fact.fault:
            continue
        sizes[fact.size_wh] += 1
        example.setdefault(fact.size_wh, record)
        (w, h), (rw, rh) = record.size_wh, fact.size_wh
        if (w, h) not in ((0, 0), fact.size_wh):
            text = f"{record.id}: declared {w}x{h}, the file is {rw}x{rh}"
            yield finding("error", "size-differs", text, [record])
        if fact.orientation != 1:
            text = f"{record.id}: EXIF orientation {fact.orientation}, upright {rw}x{rh}"
            yield finding("info", "exif-rotated", text, [record])
    yield from _mixed(sizes, example)


def _mixed(sizes: Counter[tuple[int, int]], example: dict[tuple[int, int], Record]) -> Iterator[Finding]:
    if len(sizes) < 2:
        return
    listed = ", ".join(f"{w}x{h} ({n})" for (w, h), n in sizes.most_common(MANY_SIZES))
    more = f" and {len(sizes) - MANY_SIZES} more" if len(sizes) > MANY_SIZES else ""
    areas = np.repeat([w * h for w, h in sizes], list(sizes.values()))
    usual = float(np.median(areas))
    far = [size for size in sizes if not usual / 16 <= size[0] * size[1] <= usual * 16]
    text = f"{len(sizes)} sizes: {listed}{more}"
    if far:
        strays = sum(sizes[size] for size in far)
        text += f"; {strays} pictures have over 16 times more or fewer pixels than the median"
    shown = list(dict.fromkeys([*far, *(size for size, _ in sizes.most_common())]))[:6]
    yield finding("info", "mixed-sizes", text, [example[size] for size in shown])


def check_maps(case: Case) -> Iterator[Finding]:
    """Label maps that are missing, damaged, of another size, or hold values that are no class."""
    for record in case.records:
        for task in record.maps:
            fault = _map_fault(case, record, task)
            if fault:
                yield finding("error", "map-fault", f"{record.id}: {task} map {fault}", [record])


def _map_fault(case: Case, record: Record, task: str) -> str:
    try:
        values = case.dataset.read_map(record, task)
    except SightlineError as error:
        return error.what
    size_wh = (int(values.shape[1]), int(values.shape[0]))
    if record.size_wh not in ((0, 0), size_wh):
        return f"is {size_wh[0]}x{size_wh[1]}, the picture {record.size_wh[0]}x{record.size_wh[1]}"
    limit = {"segment": len(case.classes), "panoptic": len(record.annotations)}.get(task)
    if limit is not None:
        known = values[(values >= 0) & (values != 255)] if task == "segment" else values
        top = int(known.max()) if known.size else -1
        if top >= limit:
            return f"holds value {top}, there are {limit} " + ("classes" if task == "segment" else "segments")
    return ""
