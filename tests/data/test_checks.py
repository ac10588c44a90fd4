"""The judgement of marks: verdicts, reasons, and a vectorised twin that never differs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_records import SIZE, annotations, records, same_annotation
from sightline.core.errors import FormatError
from sightline.core.records import Annotation, Record, Rle
from sightline.data import checks
from sightline.data.checks import admit
from sightline.data.checks_table import clean_records
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions
from sightline.data.schema import to_records, to_table

CLIP, DROP, FAIL = (ReadOptions(boxes=policy) for policy in ("clip", "drop", "fail"))  # type: ignore[arg-type]
TRIANGLE = np.array([[1.0, 1.0], [9.0, 1.0], [5.0, 9.0]])


def judge(a: Annotation, options: ReadOptions = CLIP) -> tuple[Annotation | None, list[str]]:
    ledger = Ledger()
    ledger.saw("annotation")
    found = admit(a, SIZE, options, ledger, "labels.json: annotation 7")
    return found, [entry.reason for entry in ledger.entries]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((math.nan, 1, 2, 3), checks.NOT_FINITE),
        ((1, 1, math.inf, 3), checks.NOT_FINITE),
        ((5, 5, 5, 9), checks.NO_AREA),
        ((5, 5, 9, 5), checks.NO_AREA),
        ((100, 5, 120, 9), checks.OUTSIDE),
        ((-9, -9, -1, -1), checks.OUTSIDE),
    ],
)
def test_a_box_that_says_nothing_is_dropped_with_its_reason(box: tuple[float, ...], reason: str) -> None:
    assert judge(Annotation(0, box=box)) == (None, [reason])  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="annotation 7"):
        judge(Annotation(0, box=box), FAIL)  # type: ignore[arg-type]


def test_a_box_that_leaves_is_cut_dropped_or_stops_the_import_as_told() -> None:
    leaving = Annotation(0, box=(40.0, 10.0, 79.5, 20.0))
    found, reasons = judge(leaving)
    assert found is not None and found.box == (40.0, 10.0, 64.0, 20.0) and reasons == [checks.CUT]
    assert judge(leaving, DROP) == (None, [checks.LEAVES])
    with pytest.raises(FormatError) as error:
        judge(leaving, FAIL)
    assert str(error.value) == (
        "labels.json: annotation 7: box (40.0, 10.0, 79.5, 20.0) leaves the image (64x48) by 15.5 px; "
        "pass --boxes clip to cut it, or --boxes drop"
    )


@pytest.mark.parametrize(
    "mark",
    [
        Annotation(0, box=(50.0, 30.0, 190.0, 170.0)),
        Annotation(0, polygons=(np.array([[50.0, 30.0], [190.0, 30.0], [190.0, 170.0]]),)),
    ],
)
def test_a_mark_mostly_outside_is_cut_with_a_reason_of_its_own(mark: Annotation) -> None:
    found, reasons = judge(mark)
    assert found is not None and found.box is not None and found.box[2] == 64.0
    assert reasons == [checks.CUT_MOST]
    assert judge(mark, DROP) == (None, [checks.LEAVES])


def test_rounding_at_the_border_is_snapped_and_counts_as_kept() -> None:
    found, reasons = judge(Annotation(0, box=(-0.01, 0.0, 64.04, 48.0)), FAIL)
    assert found is not None and found.box == (0.0, 0.0, 64.0, 48.0) and not reasons


def test_inverted_corners_are_put_in_order() -> None:
    found, reasons = judge(Annotation(0, box=(9.0, 8.0, 1.0, 2.0)))
    assert found is not None and found.box == (1.0, 2.0, 9.0, 8.0) and reasons == [checks.INVERTED]


def test_a_polygon_of_two_points_is_dropped_and_a_short_ring_beside_a_good_one_removed() -> None:
    assert judge(Annotation(0, polygons=(TRIANGLE[:2],)))[1] == [checks.FEW_POINTS]
    found, reasons = judge(Annotation(0, polygons=(TRIANGLE, TRIANGLE[:2])))
    assert found is not None and len(found.polygons) == 1 and found.box == (1.0, 1.0, 9.0, 9.0)
    assert reasons == [checks.FEW_POINTS_CUT]
    assert judge(Annotation(0, polygons=(np.array([[1.0, 1], [2, 2], [3, 3]]),)))[1] == [checks.FLAT]


def test_a_polygon_that_leaves_is_cut_along_the_border() -> None:
    ring = np.array([[-10.0, 10.0], [10.0, 10.0], [10.0, 20.0], [-10.0, 20.0]])
    found, reasons = judge(Annotation(0, polygons=(ring,)))
    assert found is not None and reasons == [checks.CUT] and found.box == (0.0, 10.0, 10.0, 20.0)
    assert found.polygons[0].min() == 0.0
    assert judge(Annotation(0, polygons=(ring + 200,)))[1] == [checks.OUTSIDE]


def test_a_mask_must_have_its_pictures_size_and_a_pixel() -> None:
    assert judge(Annotation(0, mask=Rle((5, 4), (3, 17))))[1] == [checks.MASK_SIZE]
    assert judge(Annotation(0, mask=Rle(SIZE, (64 * 48,))))[1] == [checks.MASK_EMPTY]
    mask = np.zeros((48, 64), bool)
    mask[10:20, 30:33] = True
    found, reasons = judge(Annotation(0, mask=Rle.encode(mask)))
    assert found is not None and found.box == (30.0, 10.0, 33.0, 20.0) and not reasons


def test_a_faulty_box_beside_an_outline_is_replaced_by_the_outlines_hull() -> None:
    found, reasons = judge(Annotation(0, box=(3.0, 3.0, 3.0, 3.0), polygons=(TRIANGLE,)))
    assert found is not None and found.box == (1.0, 1.0, 9.0, 9.0) and reasons == [checks.HULL]


def test_a_visible_point_outside_is_dropped_and_a_hidden_one_may_be_anywhere() -> None:
    assert judge(Annotation(0, point=(70.0, 5.0)))[1] == [checks.POINT_OUTSIDE]
    assert judge(Annotation(0, point=(math.nan, 5.0)))[1] == [checks.NOT_FINITE]
    found, reasons = judge(Annotation(0, point=(math.nan, 5.0), visible=False))
    assert found is not None and found.point == (0.0, 0.0) and not reasons
    hidden = Annotation(0, point=(-1.0, -1.0), visible=False)
    assert judge(hidden) == (hidden, [])


def test_without_a_size_only_the_bounds_are_not_judged() -> None:
    far = Annotation(0, box=(500.0, 500.0, 900.0, 900.0))
    assert admit(far, (0, 0), CLIP, Ledger(), "x") is far
    assert admit(Annotation(0, box=(5, 5, 5, 5)), (0, 0), CLIP, Ledger(), "x") is None


@settings(max_examples=300, deadline=None)
@given(annotations(), st.sampled_from([CLIP, DROP]), st.sampled_from([SIZE, (0, 0)]))
def test_what_was_admitted_is_admitted_unchanged(
    a: Annotation, options: ReadOptions, size_wh: tuple[int, int]
) -> None:
    ledger = Ledger()
    ledger.saw("annotation")
    once = admit(a, size_wh, options, ledger, "x")
    assert len(ledger.entries) <= 1 and ledger.kept("annotation") >= 0
    assert (once is None) == (ledger.dropped["annotation"] == 1)
    if once is None:
        return
    again = Ledger()
    twice = admit(once, size_wh, options, again, "x")
    assert twice is not None and same_annotation(once, twice) and not again.entries


@settings(max_examples=300, deadline=None)
@given(st.lists(records("a"), min_size=1, max_size=5), st.sampled_from([SIZE, (0, 0)]))
def test_a_record_the_table_check_passes_is_admitted_as_it_is(rows: list, size_wh: tuple[int, int]) -> None:
    table = to_table(rows)
    widths, heights = (np.full(len(rows), side) for side in size_wh)
    passed = clean_records(table, widths, heights, np.ones(3, bool))
    for record, clean in zip(to_records(table), passed, strict=True):
        ledger = Ledger()
        after = [admit(a, size_wh, FAIL if clean else CLIP, ledger, "x") for a in record.annotations]
        if clean:
            assert not ledger.entries
            assert all(
                a is not None and same_annotation(a, b)
                for a, b in zip(after, record.annotations, strict=True)
            )


def test_the_table_check_passes_ordinary_marks() -> None:
    """Else the twin would be right and useless."""
    mask = np.zeros((48, 64), bool)
    mask[4:9, 4:9] = True
    good = Record(
        "a",
        "a",
        SIZE,
        (
            Annotation(0),
            Annotation(0, box=(1.0, 1.0, 9.0, 9.0)),
            Annotation(1, box=(1.0, 1.0, 9.0, 9.0), polygons=(TRIANGLE, TRIANGLE + 9)),
            Annotation(2, box=(4.0, 4.0, 9.0, 9.0), mask=Rle.encode(mask)),
            Annotation(2, point=(4.0, 4.0)),
            Annotation(2, point=(-4.0, 4.0), visible=False),
        ),
    )
    bad = Record("b", "b", SIZE, (Annotation(0), Annotation(3, box=(1.0, 1.0, 9.0, 9.0))))
    sides = np.full(3, 64), np.full(3, 48)
    none = Record("c", "c", SIZE)
    assert clean_records(to_table([good, bad, none]), *sides, np.ones(3, bool)).tolist() == [
        True,
        False,
        True,
    ]
