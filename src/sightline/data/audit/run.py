"""The audit: facts first, then every check, then one sorted list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sightline.core.records import Record
from sightline.data.audit.case import Case
from sightline.data.audit.classes import check_classes, check_empty, class_rows
from sightline.data.audit.copies import find_copies
from sightline.data.audit.facts import Facts, Progress, media_facts
from sightline.data.audit.findings import LEVELS, Audit, Finding
from sightline.data.audit.imported import check_ledger
from sightline.data.audit.kinds import KINDS
from sightline.data.audit.marks import check_marks
from sightline.data.audit.media import check_files, check_maps, check_sizes
from sightline.data.audit.sides import check_copies, check_groups, check_split
from sightline.data.audit.tracks import check_tracks, check_visibility

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset
    from sightline.data.split import Split

Check = Callable[[Case], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    check_files,
    check_sizes,
    check_maps,
    check_marks,
    check_tracks,
    check_visibility,
    check_classes,
    check_empty,
    check_copies,
    check_groups,
    check_split,
    check_ledger,
)


def audit(
    dataset: Dataset,
    split: Split | None = None,
    *,
    media: bool = True,
    progress: Progress | None = None,
) -> Audit:
    """Look for every fault we know of in a dataset.

    Args:
        dataset: an open dataset.
        split: what to hold the records' copies and groups to. None takes the author's own parts, where the
            labels name them; what crosses those is a warning, since training may use another split.
        media: read every picture (files, sizes, copies); false checks labels alone.
        progress: called with stage, done and total.
    """
    records = list(dataset.records)
    facts = media_facts(dataset, records, progress=progress) if media else {}
    case = Case(
        dataset,
        tuple(dataset.classes),
        records,
        facts,
        find_copies(records, facts) if media else (),
        split if split is not None else _author(dataset, records),
        split is not None,
    )
    case = replace(case, rows=class_rows(case))
    checks = CHECKS if media else tuple(c for c in CHECKS if c is not check_maps)
    findings = [finding for check in checks for finding in check(case)]
    order = list(KINDS)
    findings.sort(key=lambda f: (LEVELS.index(f.level), order.index(f.kind)))
    return Audit(
        dataset.fingerprint,
        dataset.root.name,
        case.split.name if case.split else "",
        tuple(findings),
        case.rows,
        _counts(case),
        _unchecked(case, facts, media=media),
    )


def _author(dataset: Dataset, records: list[Record]) -> Split | None:
    from sightline.data.split import Split

    parts = {r.id: r.partition for r in records if r.partition}
    return Split("author", parts, dataset.fingerprint) if parts else None


def _counts(case: Case) -> dict[str, int]:
    counts = {
        "records": len(case.records),
        "media": len({r.media for r in case.records}),
        "annotations": sum(len(r.annotations) for r in case.records),
        "groups": len({r.group or r.id for r in case.records}),
    }
    if case.split is not None:
        counts |= {f"part:{name}": n for name, n in case.split.counts().items()}
    return counts


def _unchecked(case: Case, facts: dict[str, Facts], *, media: bool) -> tuple[str, ...]:
    if not media:
        return ("pictures were not read: files, sizes and copies are not checked",)
    out = []
    frames = sum(1 for f in facts.values() if not f.fault and f.look is None)
    if frames:
        out.append(f"{frames} video frames were not compared: at most 64 of a video are decoded")
    if case.split is None:
        out.append("no split was named and the labels name none: leaks are not checked")
    return tuple(out)
