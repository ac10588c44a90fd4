from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline.core.errors import UsageError
from sightline.core.records import Annotation, Record
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.points import box_centres, with_hidden_points
from sightline.data.reading import ReadOptions

VIDEO = Path(__file__).parent / "formats" / "label_studio" / "video"


def of(*marks: Annotation) -> Record:
    return Record("", "a.png", (9, 9), marks)


def test_a_ball_boxed_on_a_timeline_is_located_and_hidden_where_it_is_gone(tmp_path: Path) -> None:
    options = ReadOptions(points="box-centres", media=VIDEO / "media")
    imported, ledger = import_dataset(VIDEO / "export.json", tmp_path / "out", options=options)
    points = [[a for a in r.annotations if a.kind == "point"] for r in imported.records]
    assert [len(p) for p in points] == [1] * 12
    assert [p[0].visible for p in points] == [True] * 8 + [False] * 2 + [True] * 2
    assert points[0][0].point == pytest.approx((16, 32))
    assert any("10 boxes become points" in note for note in ledger.notes)


def test_points_are_not_added_where_a_picture_has_several_of_a_class() -> None:
    one, two = Annotation(0, point=(1.0, 1.0)), Annotation(0, point=(2.0, 2.0))
    records = [of(one, two), of()]
    ledger = Ledger()
    assert with_hidden_points(records, ledger) == records and not ledger.notes


def test_outlines_and_labels_stay_what_they_are() -> None:
    ring = Annotation(0, (0.0, 0.0, 4.0, 4.0), (np.array([[0.0, 0], [4, 0], [4, 4]]),))
    ledger = Ledger()
    (found,) = box_centres([of(ring, Annotation(1), Annotation(2, (0.0, 2.0, 4.0, 4.0)))], ledger)
    assert [a.kind for a in found.annotations] == ["polygon", "label", "point"]
    assert found.annotations[2].point == (2, 3)


def test_formats_read_as_tables_refuse_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}], "annotations": [],'
        ' "categories": [{"id": 1, "name": "cat"}]}'
    )
    with pytest.raises(UsageError, match="not for format coco"):
        import_dataset(tmp_path / "a.json", tmp_path / "out", options=ReadOptions(points="box-centres"))
