"""Points where people did not write them down: hidden ones that nobody marked, and centres of boxes.

One rule for all rooms: a thing that is marked on a picture, as seen or as hidden, was looked for there; one
that bears no mark was not, nothing is known of it, and the picture is neither trained on nor measured for it
(`looked_for`). The import writes the hidden mark on pictures that a person looked at and left empty.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from sightline.core.records import Annotation, Record
from sightline.data.ledger import Ledger


def looked_for(record: Record) -> dict[int, Annotation]:
    """The classes whose point was looked for on a record, each with its (first) mark, seen or hidden."""
    marks = (a for a in reversed(record.annotations) if a.kind == "point" or not a.visible)
    return {mark.label: mark for mark in marks}


def with_hidden_points(records: list[Record], ledger: Ledger) -> list[Record]:
    """Where every picture has at most one point of each class, a picture without one has it hidden.

    That is how people label a ball: a point where it is in sight, nothing where it is not.
    """
    classes: set[int] = set()
    for record in records:
        found = [a.label for a in record.annotations if a.point is not None]
        if len(set(found)) < len(found):
            return records
        classes.update(found)
    out, added = [], 0
    for record in records:
        missing = sorted(classes - {a.label for a in record.annotations if a.point is not None})
        added += len(missing)
        hidden = [Annotation(c, point=(0.0, 0.0), visible=False, source=f"no point {c}") for c in missing]
        out.append(dataclasses.replace(record, annotations=(*record.annotations, *hidden)))
    if added:
        ledger.note(f"{added} points that were not marked are taken as not visible")
        ledger.saw("annotation", added)
    return out


def box_centres(records: Iterable[Record], ledger: Ledger) -> list[Record]:
    """Every plain box becomes a point at its centre, and pictures without one have it hidden.

    For tools that have no point on a video's timeline: a ball is boxed there, and located here.
    """
    out, count = [], 0
    for record in records:
        marks = tuple(_centre(a) if a.kind == "box" else a for a in record.annotations)
        count += sum(a.kind == "box" for a in record.annotations)
        out.append(dataclasses.replace(record, annotations=marks))
    ledger.note(f"--points box-centres: {count} boxes become points at their centres")
    return with_hidden_points(out, ledger)


def _centre(mark: Annotation) -> Annotation:
    assert mark.box is not None
    x1, y1, x2, y2 = mark.box
    return dataclasses.replace(mark, box=None, point=((x1 + x2) / 2, (y1 + y2) / 2))
