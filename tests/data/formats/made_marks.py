"""Made records for the round trips of formats."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from sightline.core.geometry import polygon_box
from sightline.core.records import Annotation, Record, Rle

CLASSES = ("red cell", 'a & "b" <c>', "細胞")
WORDS = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=6)


@st.composite
def mark(draw: st.DrawFn, size_wh: tuple[int, int], kind: str) -> Annotation:
    width, height = size_wh
    label = draw(st.integers(0, 2))
    x1, y1 = draw(st.floats(0, width - 3)), draw(st.floats(0, height - 3))
    x2, y2 = draw(st.floats(x1 + 1, width)), draw(st.floats(y1 + 1, height))
    if kind == "box":
        return Annotation(label, (x1, y1, x2, y2))
    if kind == "ring":
        ring = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, (y1 + y2) / 2]])
        return Annotation(label, polygon_box((ring,)), (ring,))
    if kind == "mask":
        whole = np.zeros((height, width), bool)
        whole[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1] = True
        whole[int(y1), int(x1)] = draw(st.booleans())
        return Annotation(label, mask=Rle.encode(whole))
    return Annotation(label, point=(x1, y1)) if kind == "point" else Annotation(label)


@st.composite
def record(draw: st.DrawFn, kinds: tuple[str, ...] = ("box", "ring", "mask", "point", "label")) -> Record:
    size_wh = (draw(st.integers(8, 120)), draw(st.integers(8, 120)))
    found = [draw(mark(size_wh, kind)) for kind in draw(st.lists(st.sampled_from(kinds), max_size=5))]
    return Record("a b.png", "a b.png", size_wh, tuple(found))


def assert_same_marks(before: list[Annotation], after: list[Annotation]) -> None:
    assert [(a.kind, a.label) for a in before] == [(a.kind, a.label) for a in after]
    for a, b in zip(before, after, strict=True):
        if a.kind == "mask":
            assert a.mask == b.mask
        elif a.kind == "polygon":
            assert len(a.polygons) == len(b.polygons)
            for one, other in zip(a.polygons, b.polygons, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-9)
        else:
            np.testing.assert_allclose(a.box or a.point or (), b.box or b.point or (), atol=1e-9)
