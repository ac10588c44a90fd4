"""What is odd about tracks, and what `clean` does about it on request."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sightline.cli.main import main
from sightline.core.errors import UsageError
from sightline.core.records import Annotation, Record
from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading, ReadOptions
from sightline.data.tracks import anomalies, clean
from sightline.data.writing import write_dataset

Place = tuple[float, float] | None


def dataset(
    folder: Path, places: list[Place], *, boxes: bool = False, size_wh: tuple[int, int] = (640, 480)
) -> Dataset:
    """A track of one ball, a record a frame; None is a hidden point, or no box."""
    records = []
    for i, at in enumerate(places):
        marks: tuple[Annotation, ...] = ()
        if boxes and at is not None:
            box = (at[0] - 5, at[1] - 5, at[0] + 5, at[1] + 5)
            marks = (Annotation(0, box, track="one", source=f"line {i}"),)
        elif not boxes:
            marks = (Annotation(0, point=at or (0.0, 0.0), visible=at is not None, source=f"line {i}"),)
        records.append(
            Record(f"film.mp4#{i}", "film.mp4", size_wh, marks, frame=i, group="film", time_s=i / 30)
        )
    return write_dataset(folder, Reading(("ball",), records, folder), Ledger(), media="none")


def straight(count: int, step: float = 4.0) -> list[Place]:
    return [(50 + step * i, 100 + step * i) for i in range(count)]


def kinds(found: Dataset, **limits: float) -> list[tuple[str, int, int]]:
    table = anomalies(found, **limits)  # type: ignore[arg-type]
    return list(zip(table["kind"], table["first"].tolist(), table["last"].tolist(), strict=True))


def test_a_clean_track_has_no_odd_place(tmp_path: Path) -> None:
    assert kinds(dataset(tmp_path / "d", straight(40))) == []


def test_jumps_corners_gaps_and_stillness_are_told_with_their_frames(tmp_path: Path) -> None:
    places = straight(90)
    places[20] = (600, 20)
    places[30] = (0.0, 0.0)
    places[40] = places[41] = places[42] = None
    places[55:85] = [(270.2 + 0.1 * (i % 3), 320.0) for i in range(30)]
    places[85:] = [(275.0 + 4 * i, 325.0 + 4 * i) for i in range(5)]
    found = dataset(tmp_path / "d", places)
    assert kinds(found) == [
        ("jump", 20, 20),
        ("gap", 30, 30),
        ("zero-zero", 30, 30),
        ("gap", 40, 42),
        ("still", 55, 84),
    ]
    table = anomalies(found)
    jump = table[table.kind == "jump"].iloc[0]
    assert (jump["id"], jump["source"], jump["class"]) == ("film.mp4#20", "line 20", "ball")
    assert jump["px"] == pytest.approx(np.hypot(600 - 126, 20 - 176), abs=0.01)
    assert kinds(found, still_frames=31)[-1][0] == "gap"


def test_nothing_is_filled_unless_asked_and_only_short_gaps_are(tmp_path: Path) -> None:
    places = straight(40)
    for i in (10, 11, 20, 21, 22, 23):
        places[i] = None
    new, ledger = clean(dataset(tmp_path / "d", places), tmp_path / "n", fill_gaps=2)
    assert len(new.records) == 40
    for record in new.records:
        (mark,) = record.annotations
        if record.frame in (10, 11):
            assert mark.visible and mark.point == pytest.approx(
                (50 + 4 * record.frame, 100 + 4 * record.frame)
            )
            assert mark.attributes == {"interpolated": "linear"}
            assert mark.source == "interpolated between frames 9 and 12"
        else:
            assert mark.visible == (places[record.frame] is not None) and not mark.attributes
    assert ledger.fixed["annotation"] == 2 and "filled gaps up to 2" in ledger.notes[-1]
    assert new.header["parent"] == Dataset.open(tmp_path / "d").fingerprint
    entries = new.ledger()["entries"]
    assert [e["place"].split(":")[0] for e in entries] == ["film.mp4#10", "film.mp4#11"]


def test_a_gap_is_not_filled_across_a_jump_or_at_the_ends(tmp_path: Path) -> None:
    places: list[Place] = [None, *straight(20), None, *[(600.0 - i, 30.0) for i in range(20)], None]
    new, ledger = clean(dataset(tmp_path / "d", places), tmp_path / "n", fill_gaps=3)
    assert ledger.fixed["annotation"] == 0
    assert [r.frame for r in new.records if not r.annotations[0].visible] == [0, 21, 42]


def test_hidden_faults_are_filled_from_what_is_beside_them(tmp_path: Path) -> None:
    places = straight(40)
    places[15], places[25] = (600, 20), (0.0, 0.0)
    found = dataset(tmp_path / "d", places)
    hidden, ledger = clean(found, tmp_path / "h", hide=["jump", "zero-zero"])
    assert [r.frame for r in hidden.records if not r.annotations[0].visible] == [15, 25]
    assert sorted(e.reason for e in ledger.entries) == ["a jump: hidden", "a zero-zero: hidden"]
    filled, _ = clean(found, tmp_path / "f", hide=["jump", "zero-zero"], fill_gaps=1)
    for record in filled.records:
        expected = (50 + 4 * record.frame, 100 + 4 * record.frame)
        assert record.annotations[0].point == pytest.approx(expected) and record.annotations[0].visible


def test_boxes_with_a_track_are_filled_too(tmp_path: Path) -> None:
    places = straight(30)
    places[10] = None
    new, ledger = clean(dataset(tmp_path / "d", places, boxes=True), tmp_path / "n", fill_gaps=1)
    (mark,) = new.record("film.mp4#10").annotations
    assert mark.box == pytest.approx((85, 135, 95, 145)) and mark.track == "one"
    assert ledger.read["annotation"] == 30


def test_a_track_runs_through_the_pictures_of_a_group(tmp_path: Path) -> None:
    places = straight(30)
    places[12] = (600, 20)
    records = [
        Record(f"{i}.png", f"{i}.png", (640, 480), (Annotation(0, point=at),), frame=i, group="rally")
        for i, at in enumerate(places)
    ]
    found = write_dataset(tmp_path / "d", Reading(("ball",), records, tmp_path), Ledger(), media="none")
    assert kinds(found) == [("jump", 12, 12)]


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    found = dataset(tmp_path / "d", straight(5))
    with pytest.raises(UsageError, match="nothing to hide"):
        clean(found, tmp_path / "n", hide=["gap"])
    with pytest.raises(UsageError, match="a gap of -1"):
        clean(found, tmp_path / "n", fill_gaps=-1)


def test_the_command_tells_writes_the_table_and_mends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = straight(40)
    places[10] = None
    dataset(tmp_path / "d", places)
    words = ["clean", str(tmp_path / "d"), "--table", str(tmp_path / "odd.csv")]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--out", str(tmp_path / "n"), "--fill-gaps", "2"])
    assert not stop.value.code
    told = capsys.readouterr().out
    assert "interpolated" in told and "line 9" in told
    with (tmp_path / "odd.csv").open() as file:
        assert [row["kind"] for row in csv.DictReader(file)] == ["gap"]
    with pytest.raises(SystemExit) as stop:
        main(["clean", str(tmp_path / "d"), "--out", str(tmp_path / "m")])
    assert stop.value.code == 2 and not (tmp_path / "m").exists()


def test_real_rallies_have_gaps_and_few_jumps(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "tracknetv3_badminton_test_labels" / "corrected_test_label" / "match2"
    found, _ = import_dataset(source, tmp_path / "d", options=ReadOptions(check_media=False), media="none")
    counts = anomalies(found)["kind"].value_counts()
    assert counts["gap"] > 20 and counts.get("jump", 0) <= 0.002 * len(found.records)
