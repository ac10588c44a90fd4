"""A locator over whole films: frames in order through its stream, as live video would come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from sightline.core.errors import DatasetError, MediaError
from sightline.core.picture import Picture, from_av
from sightline.core.predictor import AnyPredictor
from sightline.core.records import Record, Sample
from sightline.core.results import IN_SIGHT, Points, Result
from sightline.evaluate.metrics.tracks import Tracks

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset


def in_order(
    predictor: AnyPredictor, dataset: Dataset, ids: Sequence[str]
) -> Iterator[tuple[Sample, dict[str, Result]]]:
    """Records with what a predictor's stream answers when their films run from the first frame to the last.

    Frames between the records are shown to the stream too. Records come film by film, in order.

    Raises:
        DatasetError: a record is no frame of a video, or its frame is not in the film.
        MediaError: a film cannot be read.
    """
    films: dict[str, dict[int, Record]] = {}
    for record in (dataset.record(name) for name in ids):
        if record.frame < 0:
            raise DatasetError("is no frame of a video, so it has no order", where=record.id)
        films.setdefault(record.media, {})[record.frame] = record
    name = next(iter(predictor.signature.inputs))
    for media, records in films.items():
        left, path = dict(records), dataset.media_path(media)
        stream = predictor.open_stream()
        for index, picture in enumerate(pictures_of(path)):
            results = stream.push({name: picture})
            if index in left:
                record = left.pop(index)
                yield Sample({name: (record,)}, record), results
            if not left:
                break
        close = getattr(stream, "close", None)
        if close is not None:
            close()
        if left:
            raise DatasetError(f"holds no frame {min(left)}", where=path)


def follow(
    predictor: AnyPredictor,
    dataset: Dataset,
    ids: Sequence[str],
    *,
    blur: Mapping[str, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tracks:
    """Answers of a predictor's stream for every frame of the films that hold some records.

    Args:
        predictor: of the task `locate`, one class; reads one clip or picture.
        dataset: holds truth and films.
        ids: records to measure on, frames of films.
        blur: motion blur in pixels by record id.
        progress: called with records done and in all.

    Raises:
        DatasetError: the records are no frames of videos.
        MediaError: a film cannot be read.
    """
    out = Tracks()
    started = time.perf_counter()
    least = predictor.signature.thresholds.get("locate", IN_SIGHT)
    for done, (sample, results) in enumerate(in_order(predictor, dataset, ids), 1):
        points, record = results["locate"], sample.target
        assert isinstance(points, Points)
        out.add(record, points, least, (blur or {}).get(record.id, np.nan))
        if progress:
            progress(done, len(ids))
    out.seconds = time.perf_counter() - started
    return out


def pictures_of(path: Path) -> Iterator[Picture]:
    """Every frame of a film in order, as the decoder gives it.

    Raises:
        MediaError: it cannot be read.
    """
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                yield from_av(frame)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise MediaError(f"cannot be read as video ({error})", where=path) from error
