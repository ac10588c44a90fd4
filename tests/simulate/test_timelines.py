"""Films with a Label Studio timeline: what is boxed is where the shuttle is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sightline.data.importing import import_dataset
from sightline.data.reading import ReadOptions
from sightline.simulate.sketch import sketch_rally
from sightline.simulate.timelines import write_timelines

SIZE_WH = (192, 108)


def test_an_imported_timeline_holds_the_point_of_every_frame_and_where_there_is_none(tmp_path: Path) -> None:
    done: list[int] = []
    export = write_timelines(tmp_path / "labels", 3, frames=30, seed=0, size_wh=SIZE_WH, progress=done.append)
    options = ReadOptions(points="box-centres")
    dataset, ledger = import_dataset(export, tmp_path / "dataset", options=options)
    assert len(done) == 3 and not ledger.dropped and not ledger.fixed
    assert dataset.classes == ("shuttle",) and len({record.group for record in dataset.records}) == 3
    seen = hidden = 0
    for number in range(3):
        film = [r for r in dataset.records if r.media.endswith(f"rally{number:03d}.mp4")]
        for shot, record in zip(sketch_rally(number, frames=30, size_wh=SIZE_WH), film, strict=True):
            (mark,) = record.annotations
            assert mark.visible == shot.visible
            if shot.visible:
                assert mark.point is not None
                assert np.hypot(*np.subtract(mark.point, shot.point)) < 1e-6
            seen, hidden = seen + shot.visible, hidden + (not shot.visible)
    assert seen and hidden  # the seeds show both
