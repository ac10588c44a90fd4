"""Pictures for the report: the best, the worst, and examples of each cause of error."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.records import Annotation, Record
from sightline.core.results import Points
from sightline.data.counting import truth_map
from sightline.draw import draw_record, draw_result, fit_scale
from sightline.draw.canvas import Canvas
from sightline.draw.theme import ALERT, theme
from sightline.evaluate.errors import CAUSES, MISSED, Errors
from sightline.evaluate.metrics.detect import Detect, truth_marks
from sightline.evaluate.scores import Scores

if TYPE_CHECKING:
    from sightline.core.predictor import AnyPredictor
    from sightline.data.dataset import Dataset

CELL_WH = (440, 330)
CROP_WH = (344, 270)
LARGEST_SCALE = 6.0
QUALITY = 82
EXAMPLES = 5
ERROR_LINE = 3
ZOOM = 4.0

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shown:
    """One entry: pictures side by side as data URIs, and what stands under them."""

    pictures: tuple[str, ...]
    caption: str
    id: str


@dataclass(frozen=True, slots=True)
class Pick:
    """A sample to show: its id, its place among the task's samples, what is said of it."""

    id: str
    number: int
    caption: str


def extremes(scores: Scores, task: str, count: int) -> tuple[list[Pick], list[Pick]]:
    """The worst and the best samples of a task, worst and best first, none in both."""
    family, ids = scores.families[task], scores.ids[task]
    quality = family.quality()
    order = np.argsort(quality, kind="stable")
    each = min(count, len(order) // 2)
    picks = [Pick(ids[i], int(i), family.caption(float(quality[i]))) for i in order.tolist()]
    return picks[:each], picks[::-1][:each]


def pictures_of(
    scores: Scores, predictor: AnyPredictor, dataset: Dataset, task: str, picks: Sequence[Pick], least: float
) -> list[Shown]:
    """Truth and result of each pick, drawn side by side; the predictor is asked again."""
    from sightline.evaluate.evaluation import predicted

    out = []
    found = predicted(predictor, dataset, [p.id for p in picks])
    for pick, (sample, results) in zip(picks, found, strict=True):
        record = sample.target
        picture = _rgb(dataset.read(record))
        result = scores.renumbered(results[task])
        if isinstance(result, Points):
            picture, record, result = _zoomed(picture, record, result)
        scale = min(LARGEST_SCALE, fit_scale((picture.shape[1], picture.shape[0]), CELL_WH))
        maps = _maps(record, dataset, task, picture.shape[:2], scores.classes)
        truth = draw_record(picture, _only(record, task), scores.classes, maps=maps, scale=scale)
        said = draw_result(picture, result, min_score=least, scale=scale)
        out.append(Shown((data_uri(truth), data_uri(said)), pick.caption, pick.id))
    return out


def _zoomed(picture: Pixels, record: Record, result: Points) -> tuple[Pixels, Record, Points]:
    """The part of a frame around its points and their answers, a quarter of its width at least."""
    places = [np.array(a.point) for a in record.annotations if a.point is not None and a.visible]
    places += list(result.points)
    width, height = picture.shape[1], picture.shape[0]
    low = np.clip(np.min(places, axis=0), 0, (width, height))
    high = np.clip(np.max(places, axis=0), 0, (width, height))
    side = max(width / ZOOM, 1.6 * float((high - low).max() * 1.4))
    middle_x, middle_y = (low + high) / 2
    wide, tall = min(side, width), min(side * height / width, height)
    x1 = int(min(max(0.0, middle_x - wide / 2), width - wide))
    y1 = int(min(max(0.0, middle_y - tall / 2), height - tall))
    cut = np.ascontiguousarray(picture[y1 : y1 + int(tall), x1 : x1 + int(wide)])
    marks = tuple(
        replace(a, point=(a.point[0] - x1, a.point[1] - y1)) if a.point is not None else a
        for a in record.annotations
    )
    moved = replace(result, points=result.points - np.array([x1, y1], np.float32))
    return cut, replace(record, annotations=marks), moved


def _maps(
    record: Record, dataset: Dataset, task: str, shape_hw: tuple[int, ...], classes: Sequence[str]
) -> dict[str, Any]:
    """The dense truth of a record for a task, as it was measured against."""
    if task == "segment":
        truth = truth_map(record, dataset.read_map, shape_hw, classes)
        return {} if truth is None else {task: truth}
    return {task: dataset.read_map(record, task)} if task in record.maps else {}


def _only(record: Record, task: str) -> Record:
    """A record without the marks that belong to other tasks."""
    kinds = {
        "classify": ("label",),
        "detect": ("box", "polygon", "mask"),
        "locate": ("point",),
        "instances": ("polygon", "mask"),
    }.get(task, ())
    marks = tuple(a for a in record.annotations if a.kind in kinds)
    if task == "detect":
        marks = tuple(replace(a, polygons=(), mask=None) for a in marks)
    return replace(record, annotations=marks)


def cause_examples(
    family: Detect, ids: Sequence[str], dataset: Dataset, errors: Errors, least: float
) -> dict[str, list[Shown]]:
    """The most confident errors of each cause (and the largest missed objects), cut out of their pictures."""
    return {
        cause: [
            _example(family, dataset, dataset.record(ids[number]), row, missed=index == MISSED)
            for number, row in _most_confident(family, errors, index, least)
        ]
        for index, cause in enumerate(CAUSES)
    }


def _most_confident(family: Detect, errors: Errors, cause: int, least: float) -> list[tuple[int, int]]:
    """(sample, index of the detection or, of the missed, of the truth), one a sample."""
    scene = family.scene()
    if cause == MISSED:
        rows = np.flatnonzero(errors.missed)
        rows = rows[np.argsort(-scene.truths.area[rows], kind="stable")]
        marks = scene.truths
    else:
        rows = np.flatnonzero((errors.cause == cause) & (scene.dets.score >= min(least, 0.3)))
        rows = rows[np.argsort(-scene.dets.score[rows], kind="stable")]
        marks = scene.dets
    seen: dict[int, int] = {}
    for row in rows.tolist():
        seen.setdefault(int(marks.picture[row]), row)
        if len(seen) == EXAMPLES:
            break
    return list(seen.items())


def _example(family: Detect, dataset: Dataset, record: Record, row: int, *, missed: bool) -> Shown:
    """One error cut out of its picture: the objects thin in their colours, the error thick in the alert's."""
    scene = family.scene()
    marks = scene.truths if missed else scene.dets
    x, y, width, height = marks.xywh[row].tolist()
    label = int(marks.label[row])
    picture = _rgb(dataset.read(record))
    x1, y1, x2, y2 = _around((x, y, x + width, y + height), (picture.shape[1], picture.shape[0]))
    around = tuple(
        Annotation(a.label, box=(a.box[0] - x1, a.box[1] - y1, a.box[2] - x1, a.box[3] - y1))
        for a in truth_marks(record, masks=family.task == "instances")
        if a.box
    )
    scale = min(LARGEST_SCALE, fit_scale((x2 - x1, y2 - y1), CROP_WH))
    cut = np.ascontiguousarray(picture[y1:y2, x1:x2])
    truth = replace(record, annotations=around)
    canvas = Canvas(
        draw_record(cut, truth, family.classes, emphasis=(), names=False, scale=scale), 1.0, theme(False)
    )
    box = np.array([x - x1, y - y1, x + width - x1, y + height - y1]) * scale
    canvas.box(box, ALERT, width=ERROR_LINE)
    said = "" if missed else f" {marks.score[row]:.2f}"
    return Shown((data_uri(canvas.pixels),), family.classes[label] + said, record.id)


def _around(box: tuple[float, float, float, float], size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """A region of the crop's shape around a box, with its surroundings, inside the picture."""
    x1, y1, x2, y2 = box
    aspect = CROP_WH[0] / CROP_WH[1]
    height = max(y2 - y1, (x2 - x1) / aspect, 24.0) * 1.8
    width = height * aspect
    middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
    left = min(max(0.0, middle_x - width / 2), max(0.0, size_wh[0] - width))
    top = min(max(0.0, middle_y - height / 2), max(0.0, size_wh[1] - height))
    return int(left), int(top), int(min(size_wh[0], left + width)), int(min(size_wh[1], top + height))


def _rgb(picture: Any) -> Pixels:
    return np.asarray(picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2), np.uint8)


def data_uri(picture: Pixels) -> str:
    """A picture (H, W, 3) RGB as a JPEG inside a URI."""
    # Without colour subsampling: thin bright lines would turn dark.
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY, *sampling])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
