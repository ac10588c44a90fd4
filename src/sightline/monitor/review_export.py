"""Items of the review store as tasks for annotators, with what the model answered as pre-annotations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2

from sightline.core import label_studio
from sightline.core.errors import UsageError
from sightline.core.files import folder_written_whole, write_text
from sightline.core.label_studio_guesses import KINDS, guesses
from sightline.core.plain_reading import read_plain
from sightline.core.records import Annotation, Record, Rle
from sightline.core.results import (
    ClassScores,
    Detections,
    Instances,
    PanopticMap,
    Points,
    Result,
    SemanticMap,
)
from sightline.monitor.review_items import About, Item
from sightline.monitor.store import Store

Tool = Literal["label-studio", "cvat"]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: `tasks` in `folder`, `without` items that have no picture, `notes` of the format."""

    folder: Path
    tasks: int
    without: int
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """One line for a person."""
        left = f"; {self.without} have no picture and were left out" if self.without else ""
        return "; ".join([f"tasks {self.folder}: {self.tasks} pictures{left}", *self.notes])


def export_tasks(
    store: Store, items: Sequence[Item], out: Path, tool: Tool, *, replace: bool = False
) -> Exported:
    """Write tasks with their pictures, and mark the items as exported.

    Label Studio: `tasks.json`, `label_config.xml` and `media/`. CVAT: `annotations.xml` (CVAT for images 1.1)
    with the pictures beside it.

    Args:
        store: that holds the items.
        items: to export.
        out: the folder to make.
        tool: which kind of tasks.
        replace: take the place of tasks that are there.

    Raises:
        UsageError: no item has a picture, the items are of packages with other classes, or `out` is taken.
    """
    kept = [item for item in items if item.bytes]
    if not kept:
        raise UsageError(
            "no picture is to be exported", remedy="see --state and --reason, and --review-privacy"
        )
    about = _about(store, kept)
    write = _write_label_studio if tool == "label-studio" else _write_cvat
    with folder_written_whole(out, replace=replace) as part:
        notes = write(store, kept, about, part)
    store.mark([item.id for item in kept], "exported")
    return Exported(out, len(kept), len(items) - len(kept), notes)


def _about(store: Store, items: Sequence[Item]) -> About:
    """The one set of classes and tasks that the items are of."""
    known = store.packages()
    abouts = {(i.prediction.model, i.prediction.version) for i in items}
    missing = [key for key in abouts if key not in known]
    if missing:
        raise UsageError(f"nothing is known of package {missing[0][0]} {missing[0][1]}")
    if len({known[key].classes for key in abouts}) > 1:
        names = ", ".join(sorted({model for model, _ in abouts}))
        raise UsageError(
            f"the pictures are of packages with other classes: {names}", remedy="name one: --model"
        )
    return known[next(iter(abouts))]


def results_of(item: Item, about: About) -> dict[str, Result]:
    """What was answered for an item."""
    told = item.prediction
    return read_plain(told.results, about.classes, told.size_wh, about.thresholds)


def _write_label_studio(store: Store, items: Sequence[Item], about: About, part: Path) -> tuple[str, ...]:
    media = part / label_studio.MEDIA
    media.mkdir()
    tasks, controls, hidden = [], set[str](), False
    for item in items:
        (media / item.file_name).write_bytes(store.picture(item.id))
        results, told = results_of(item, about), item.prediction
        found = guesses(results, told.size_wh)
        controls |= {KINDS[type(r)] for r in results.values() if type(r) in KINDS}
        hidden |= any(isinstance(r, Points) for r in results.values())
        data: dict[str, Any] = {
            "image": label_studio.address(item.file_name), "request_id": told.request_id,
            "review": ", ".join(item.reasons), "note": item.note,
        }  # fmt: skip
        if item.group:
            data["group"] = item.group
        model = f"{told.model} {told.version}"
        tasks.append(label_studio.task(data, found["guess"], model=model, score=found.get("score")))
    lines = ",\n".join(json.dumps(task, ensure_ascii=False, allow_nan=False) for task in tasks)
    write_text(part / label_studio.TASKS, f"[\n{lines}\n]\n")
    text = label_studio.configuration(about.classes, controls, hidden=hidden)
    write_text(part / label_studio.CONFIG, text)
    return ()


class _Pictures:
    """What a format's writer asks of a dataset."""

    def __init__(self, classes: tuple[str, ...], records: list[Record], media: Path) -> None:
        self.classes, self.records, self._media = classes, records, media

    def media_path(self, name: str) -> Path:
        """Where a picture lies."""
        return self._media / name


def _write_cvat(store: Store, items: Sequence[Item], about: About, part: Path) -> tuple[str, ...]:
    from sightline.data.formats import resolve

    media = part.parent / f"{part.name}.media"
    media.mkdir()
    try:
        records = []
        for item in items:
            (media / item.file_name).write_bytes(store.picture(item.id))
            marks = tuple(marks_of(results_of(item, about)))
            records.append(Record(item.file_name, item.file_name, item.prediction.size_wh, marks))
        target = part / "tasks"
        ledger = resolve("cvat").write(_Pictures(about.classes, records, media), target)
        for path in target.iterdir():
            path.replace(part / path.name)
        target.rmdir()
    finally:
        for path in media.iterdir():
            path.unlink()
        media.rmdir()
    lost = [f"{len(places)} times: {reason}" for (_, _, reason), places in ledger.reasons().items()]
    return tuple(lost[:3])


def marks_of(results: dict[str, Result]) -> Iterator[Annotation]:
    """What was answered as marks of a record."""
    for result in results.values():
        if isinstance(result, ClassScores):
            yield Annotation(result.best)
        elif isinstance(result, Instances):
            for box, label, mask in zip(result.boxes, result.classes, result.masks, strict=True):
                yield Annotation(int(label), _box(box), mask=Rle.encode(mask))
        elif isinstance(result, Detections):
            for box, label in zip(result.boxes, result.classes, strict=True):
                yield Annotation(int(label), _box(box))
        elif isinstance(result, Points):
            for k, (point, seen) in enumerate(zip(result.points, result.seen, strict=True)):
                if seen:
                    x, y = point.tolist()
                    yield Annotation(k % max(1, len(result.names)), point=(x, y))
        else:
            yield from _areas(result)


def _areas(result: Result) -> Iterator[Annotation]:
    if isinstance(result, SemanticMap):
        for index in range(len(result.names)):
            yield from _mask(index, result.classes == index)
    elif isinstance(result, PanopticMap):
        for number, label in enumerate(result.classes):
            yield from _mask(int(label), result.segments == number)


def _mask(label: int, mask: Any) -> Iterator[Annotation]:
    if mask.any():
        x, y, width, height = cv2.boundingRect(mask.astype("uint8"))
        yield Annotation(label, (x, y, x + width, y + height), mask=Rle.encode(mask))


def _box(box: Any) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box.tolist()
    return x1, y1, x2, y2
