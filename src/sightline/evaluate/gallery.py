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
from sightline.core.results import Detections, Instances, Result
from sightline.draw import draw_record, draw_result, fit_scale
from sightline.evaluate.errors import CAUSES, MISSED, Errors
from sightline.evaluate.metrics.detect import Detect, truth_marks
from sightline.evaluate.scores import Scores

if TYPE_CHECKING:
    from sightline.core.predictor import AnyPredictor
    from sightline.data.dataset import Dataset

CELL_WH = (440, 330)
CROP_WH = (230, 180)
LARGEST_SCALE = 6.0
QUALITY = 82
EXAMPLES = 4

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
        scale = min(LARGEST_SCALE, fit_scale((picture.shape[1], picture.shape[0]), CELL_WH))
        maps = {task: dataset.read_map(record, task)} if task in record.maps else {}
        truth = draw_record(picture, _only(record, task), scores.classes, maps=maps, scale=scale)
        said = draw_result(picture, scores.renumbered(results[task]), min_score=least, scale=scale)
        out.append(Shown((data_uri(truth), data_uri(said)), pick.caption, pick.id))
    return out


def _only(record: Record, task: str) -> Record:
    """A record without the marks that belong to other tasks."""
    kinds = {
        "classify": ("label",),
        "detect": ("box", "polygon", "mask"),
        "locate": ("point",),
        "instances": ("polygon", "mask"),
        "segment": ("polygon", "mask"),
    }.get(task, ())
    marks = tuple(a for a in record.annotations if a.kind in kinds)
    if task == "detect":
        marks = tuple(replace(a, polygons=(), mask=None) for a in marks)
    if task == "segment" and "segment" in record.maps:
        marks = ()
    return replace(record, annotations=marks)


def cause_examples(
    scores: Scores, predictor: AnyPredictor, dataset: Dataset, task: str, errors: Errors, least: float
) -> dict[str, list[Shown]]:
    """The most confident errors of each cause, cut out: truth thin, what was said thick, missed in red."""
    from sightline.evaluate.evaluation import predicted

    family = scores.families[task]
    assert isinstance(family, Detect)
    chosen = {cause: _most_confident(family, errors, i, least) for i, cause in enumerate(CAUSES)}
    numbers = sorted({number for rows in chosen.values() for number, _ in rows})
    ids = [scores.ids[task][n] for n in numbers]
    found = {s.id: (s.target, scores.renumbered(r[task])) for s, r in predicted(predictor, dataset, ids)}
    out: dict[str, list[Shown]] = {}
    for cause, rows in chosen.items():
        out[cause] = []
        for number, row in rows:
            record, result = found[scores.ids[task][number]]
            out[cause].append(_example(family, dataset, record, result, row, missed=cause == CAUSES[MISSED]))
    return out


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


def _example(
    family: Detect, dataset: Dataset, record: Record, result: Result, row: int, *, missed: bool
) -> Shown:
    """One error cut out of its picture."""
    scene = family.scene()
    marks = scene.truths if missed else scene.dets
    x, y, width, height = marks.xywh[row].tolist()
    picture = _rgb(dataset.read(record))
    region = _around((x, y, x + width, y + height), (picture.shape[1], picture.shape[0]))
    x1, y1, x2, y2 = region
    scale = min(LARGEST_SCALE, fit_scale((x2 - x1, y2 - y1), CROP_WH))
    emphasis: list[int] = []
    if missed:
        first = int(np.searchsorted(scene.truths.picture, scene.truths.picture[row]))
        emphasis = [row - first]
    truths: tuple[Annotation, ...] = tuple(
        replace(a, polygons=(), mask=None) for a in truth_marks(record, masks=family.task == "instances")
    )
    drawn = draw_record(
        picture, replace(record, annotations=truths), family.classes, emphasis=emphasis, scale=scale
    )
    caption = family.classes[int(marks.label[row])]
    if not missed and isinstance(result, (Detections, Instances)):
        one = Detections(
            np.array([[x, y, x + width, y + height]], np.float32),
            marks.score[row : row + 1].astype(np.float32),
            marks.label[row : row + 1],
            family.classes,
        )
        drawn = _over(drawn, one, scale)
        caption = f"{caption} {marks.score[row]:.2f}"
    left, top = round(x1 * scale), round(y1 * scale)
    cut = drawn[top : round(y2 * scale), left : round(x2 * scale)]
    return Shown((data_uri(np.ascontiguousarray(cut)),), caption, record.id)


def _over(drawn: Pixels, one: Detections, scale: float) -> Pixels:
    """A detection on a picture that is already enlarged."""
    moved = replace(one, boxes=one.boxes * np.float32(scale))
    return draw_result(drawn, moved)


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
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
