"""Strategies for records, and a comparison that looks into every field."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from hypothesis import strategies as st

from sightline.core.records import Annotation, Record, Rle

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda s: s not in (".", ".."))
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
SIZE = (64, 48)

inside_x, inside_y = st.floats(0, SIZE[0]), st.floats(0, SIZE[1])
wild = st.one_of(
    st.floats(-20, 90),
    st.sampled_from([0.0, -0.03, 48.04, 64.04, 48.0, 64.0, float("nan"), float("inf"), 1e300]),
)


@st.composite
def masks(draw: st.DrawFn, size_wh: tuple[int, int] = SIZE) -> Rle:
    total = size_wh[0] * size_wh[1]
    cuts = sorted(draw(st.lists(st.integers(0, total), max_size=6)))
    return Rle(size_wh, tuple(np.diff([0, *cuts, total]).tolist()))


@st.composite
def annotations(draw: st.DrawFn, coordinate: st.SearchStrategy[float] = wild) -> Annotation:
    kind = draw(st.sampled_from(["label", "box", "polygon", "mask", "point"]))
    box = draw(st.none() | st.tuples(*[coordinate] * 4)) if kind in ("polygon", "mask") else None
    ring = st.lists(st.tuples(coordinate, coordinate), min_size=0, max_size=6).map(
        lambda points: np.array(points, np.float64).reshape(-1, 2)
    )
    return Annotation(
        draw(st.integers(0, 2)),
        box=draw(st.tuples(*[coordinate] * 4)) if kind == "box" else box,
        polygons=tuple(draw(st.lists(ring, min_size=1, max_size=3))) if kind == "polygon" else (),
        mask=draw(masks() | masks((5, 4))) if kind == "mask" else None,
        point=draw(st.tuples(coordinate, coordinate)) if kind == "point" else None,
        visible=draw(st.booleans()) if kind == "point" else True,
        crowd=draw(st.booleans()),
        track=draw(st.sampled_from(["", "7"])),
        attributes=draw(st.dictionaries(WORDS, WORDS, max_size=2)),
        source=draw(st.sampled_from(["line 3", "annotation 12"])),
    )


@st.composite
def records(draw: st.DrawFn, name: str, marks: st.SearchStrategy[Annotation] | None = None) -> Record:
    return Record(
        id=name,
        media=name,
        size_wh=SIZE,
        annotations=tuple(draw(st.lists(marks or annotations(), max_size=4))),
        frame=draw(st.sampled_from([-1, 0, 41])),
        group=draw(WORDS),
        sensor=draw(WORDS),
        time_s=draw(st.none() | st.floats(-1e6, 1e6)),
        maps=draw(st.sampled_from([{}, {"segment": "maps/a.png", "depth": "maps/b.png"}])),
        partition=draw(st.sampled_from(["", "train", "val", "test"])),
        source="labels.json",
    )


def same_annotation(a: Annotation, b: Annotation) -> bool:
    rings = len(a.polygons) == len(b.polygons) and all(
        np.array_equal(x, y, equal_nan=True) for x, y in zip(a.polygons, b.polygons, strict=True)
    )
    rest = [f.name for f in fields(Annotation) if f.name != "polygons"]
    return (
        rings
        and all(repr(getattr(a, name)) == repr(getattr(b, name)) for name in rest if name != "attributes")
        and (dict(a.attributes) == dict(b.attributes))
    )


def same_record(a: Record, b: Record) -> bool:
    marks = len(a.annotations) == len(b.annotations) and all(
        map(same_annotation, a.annotations, b.annotations)
    )
    bare = [replace(r, annotations=(), maps={}) for r in (a, b)]
    return marks and bare[0] == bare[1] and dict(a.maps) == dict(b.maps)
