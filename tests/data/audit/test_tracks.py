from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.made import make_dataset
from sightline.core.records import Annotation, Record
from sightline.data.audit import audit
from sightline.data.audit.tracks import jumps

DIAGONAL = float(np.hypot(1280, 720))


def flight(frames: int = 60) -> NDArray[np.float64]:
    """A shuttle that is struck every 20 frames and slows down between strokes."""
    at, out = np.array([300.0, 400.0]), []
    for frame in range(frames):
        speed = 90 * np.exp(-(frame % 20) / 5)
        at = at + speed * np.array([1.0 if frame // 20 % 2 == 0 else -1.0, -0.3])
        out.append(at.copy())
    return np.array(out)


def test_a_struck_shuttle_makes_no_jump() -> None:
    assert jumps(np.arange(60), flight(), DIAGONAL) == []


def test_a_stray_point_is_told_once_where_it_goes() -> None:
    points = flight()
    points[33] += (250, 200)
    assert [i for i, _ in jumps(np.arange(60), points, DIAGONAL)] == [32]


def test_a_track_that_goes_over_to_another_object_jumps_once() -> None:
    points = flight()
    points[35:] += (0, 260)
    assert [i for i, _ in jumps(np.arange(60), points, DIAGONAL)] == [34]


def test_a_long_gap_and_a_short_track_are_not_judged() -> None:
    points = flight()
    points[30:] += (400, 0)
    frames = np.concatenate([np.arange(30), np.arange(60, 90)])
    assert jumps(frames, points, DIAGONAL) == []
    assert jumps(np.arange(5), points[28:33], DIAGONAL) == []


def rally(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    with path.open() as file:
        rows = [r for r in csv.DictReader(file) if int(r["Visibility"])]
    points = np.array([(float(r["X"]), float(r["Y"])) for r in rows])
    seen = points.max(axis=1) > 0
    return np.array([int(r["Frame"]) for r in rows])[seen], points[seen]


def test_no_real_rally_jumps_and_planted_jumps_in_them_are_found(shared_data: Path) -> None:
    rng = np.random.default_rng(1)
    planted = found = 0
    for path in sorted((shared_data / "tracknetv3_badminton_test_labels").rglob("*.csv")):
        frames, points = rally(path)
        assert jumps(frames, points, DIAGONAL) == [], path.name
        for at in rng.integers(5, len(points) - 5, 10):
            wrong, angle = points.copy(), rng.uniform(0, 2 * np.pi)
            wrong[at] += rng.uniform(200, 500) * np.array([np.cos(angle), np.sin(angle)])
            planted += 1
            found += any(i in (at - 1, at) for i, _ in jumps(frames, wrong, DIAGONAL))
    assert planted >= 290 and found / planted >= 0.95


def frames_of(points: NDArray[np.float64], *, visible: bool = True) -> list[Record]:
    return [
        Record(
            f"v.mp4#{i}",
            "v.mp4",
            (1280, 720),
            (Annotation(0, point=(float(x), float(y)), visible=visible),),
            frame=i,
            group="v.mp4",
        )
        for i, (x, y) in enumerate(points)
    ]


def test_the_audit_tells_the_frame_of_a_jump_and_points_at_the_origin(tmp_path: Path) -> None:
    points = flight()
    points[33] += (250, 200)
    points[50] = (0, 0)
    dataset = make_dataset(tmp_path, frames_of(points), pictures={"v.mp4": None})
    found = audit(dataset, media=False)
    assert [f.records[0] for f in found.of("jump")] == ["v.mp4#33"]
    assert [f.records[0] for f in found.of("point-at-origin")] == ["v.mp4#50"]


@pytest.mark.parametrize(("visible", "count"), [(True, 0), (False, 1)])
def test_a_sequence_with_places_but_no_visible_point_is_told(
    tmp_path: Path, visible: bool, count: int
) -> None:
    rows = frames_of(flight(), visible=visible)
    dataset = make_dataset(tmp_path, rows, pictures={"v.mp4": None})
    assert len(audit(dataset, media=False).of("never-visible")) == count
