"""The audit as one HTML page that opens offline, with the faulty marks drawn on thumbnails."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import SightlineError
from sightline.core.records import Record
from sightline.data.audit.findings import Audit, Finding
from sightline.data.audit.kinds import remedy, title
from sightline.draw import draw_record, fit_scale

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

FINDINGS_SHOWN = 24
PLACES_SHOWN = 6
PICTURES_A_FINDING = 3
CELL_WH = (300, 220)
QUALITY = 80
# Marks that span less than this share of the thumbnail are shown in a cut-out around them.
LEAST_SHARE = 0.3
LARGEST_SCALE = 16.0
# More names than this hide a thumbnail.
NAMES_SHOWN = 6


def page(audit: Audit, dataset: Dataset | None = None) -> str:
    """HTML of an audit; without the dataset there are no thumbnails."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    sections = [
        {
            "level": level,
            "kind": kind,
            "title": title(kind),
            "remedy": remedy(kind),
            "count": len(found),
            "findings": [_shown(f, dataset) for f in found[:FINDINGS_SHOWN]],
            "left_out": max(0, len(found) - FINDINGS_SHOWN),
        }
        for level, kind, found in audit.kinds()
    ]
    parts = [key.removeprefix("part:") for key in audit.counts if key.startswith("part:")]
    most = max((row.marks for row in audit.classes), default=0)
    return environment.get_template("page.html.j2").render(
        audit=audit, sections=sections, parts=parts, most=max(1, most), levels=audit.levels()
    )


def _shown(finding: Finding, dataset: Dataset | None) -> dict[str, Any]:
    pictures = []
    if dataset is not None:
        for id in finding.records[:PICTURES_A_FINDING]:
            picture = thumbnail(dataset, id, finding.marks)
            if picture is not None:
                pictures.append({"id": id, "src": _data_uri(picture)})
    return {
        "message": finding.message,
        "pictures": pictures,
        "places": finding.places[:PLACES_SHOWN],
        "places_left_out": max(0, len(finding.places) - PLACES_SHOWN),
    }


def thumbnail(
    dataset: Dataset, id: str, marks: Mapping[str, Sequence[int]], cell_wh: tuple[int, int] = CELL_WH
) -> NDArray[np.uint8] | None:
    """A record drawn for a cell, its marks in question standing out; None where it cannot be read.

    A small mark is shown in a cut-out, so that it can be seen.
    """
    with suppress(SightlineError):
        record = dataset.record(id)
        picture = dataset.read(record)
        maps = {}
        for task in record.maps:
            with suppress(SightlineError):
                maps[task] = dataset.read_map(record, task)
        chosen = marks.get(id, ())
        window = _window(record, chosen, (picture.shape[1], picture.shape[0]), cell_wh)
        scale = min(fit_scale((window[2] - window[0], window[3] - window[1]), cell_wh), LARGEST_SCALE)
        drawing = _Drawing(
            dataset.classes, set(chosen) or None, scale, len(record.annotations) <= NAMES_SHOWN
        )
        if scale > 1 and not maps:  # enlarge the cut-out, not the picture
            cut = picture[window[1] : window[3], window[0] : window[2]]
            return drawing.of(cut, _moved(record, window), {})
        drawn = drawing.of(picture, record, maps)
        x1, y1, x2, y2 = (round(v * scale) for v in window)
        return np.ascontiguousarray(drawn[y1:y2, x1:x2])
    return None


class _Drawing(NamedTuple):
    """How a thumbnail is drawn."""

    classes: tuple[str, ...]
    emphasis: set[int] | None
    scale: float
    few: bool

    def of(self, picture: NDArray[np.uint8], record: Record, maps: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The record on its picture."""
        return draw_record(
            picture,
            record,
            self.classes,
            maps=maps,
            emphasis=self.emphasis,
            names=self.few or self.emphasis is not None,
            scale=self.scale,
        )


def _window(
    record: Record, chosen: Sequence[int], size_wh: tuple[int, int], cell_wh: tuple[int, int]
) -> tuple[int, int, int, int]:
    """What part of the picture to show: all, or the surroundings of small marks."""
    width, height = size_wh
    whole = (0, 0, width, height)
    points = []
    for index in chosen:
        a = record.annotations[index]
        if a.box is not None:
            points += [a.box[:2], a.box[2:]]
        elif a.point is not None:
            points.append(a.point)
    if not points or not np.isfinite(points).all():
        return whole
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    scale = fit_scale(size_wh, cell_wh)
    if ((high - low) * scale).max() >= LEAST_SHARE * cell_wh[0]:
        return whole
    # A point says nothing without the scene around it.
    reach = max(24.0, float((high - low).max()) * 1.5 or width / 6)
    half = np.array([reach, reach * cell_wh[1] / cell_wh[0]])
    centre = np.clip((low + high) / 2, 0, size_wh)
    x1, y1 = np.floor(np.maximum(centre - half, 0)).astype(int).tolist()
    x2, y2 = np.ceil(np.minimum(centre + half, size_wh)).astype(int).tolist()
    return (x1, y1, x2, y2) if x2 - x1 > 4 and y2 - y1 > 4 else whole


def _moved(record: Record, window: tuple[int, int, int, int]) -> Record:
    """The record in the coordinates of a cut-out; masks stay out of it."""
    from dataclasses import replace

    shift = np.array(window[:2], np.float64)
    marks = []
    for a in record.annotations:
        box, point = a.box, a.point
        if box is not None:
            box = (box[0] - shift[0], box[1] - shift[1], box[2] - shift[0], box[3] - shift[1])
        if point is not None:
            point = (point[0] - shift[0], point[1] - shift[1])
        rings = tuple(ring - shift for ring in a.polygons)
        marks.append(replace(a, box=box, point=point, polygons=rings, mask=None))
    return replace(record, annotations=tuple(marks))


def _data_uri(picture: NDArray[np.uint8]) -> str:
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), options)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
