"""Label Studio: JSON, JSON-MIN and CSV exports of pictures and videos; tasks with pre-annotations out.

Coordinates are percents of the upright picture's sides, continuous, from the top-left corner. See
docs/formats.md for what is read, what is lost and which annotation of several is taken.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sightline.core.errors import FormatError
from sightline.core.records import Annotation, Record
from sightline.data.formats import label_studio_writing
from sightline.data.formats.class_names import ClassNames
from sightline.data.formats.documents import head_of
from sightline.data.formats.label_studio_shapes import NO_SIZE, SHAPES, shape
from sightline.data.formats.label_studio_tasks import Region, Task, is_video, looks_like, read_tasks
from sightline.data.formats.label_studio_video import NO_LABEL, video_records
from sightline.data.formats.media_names import MediaNames
from sightline.data.formats.turned import ELLIPSE_POINTS
from sightline.data.formats.xml_tree import Element, parse_xml
from sightline.data.ledger import Ledger
from sightline.data.points import with_hidden_points
from sightline.data.reading import Reading, ReadOptions

CONFIG = "label_config.xml"
HIDDEN = "invisible"
CLIMBS = "picture name climbs out of its folder"
TURNED = "made on a picture that was turned in the page"
NO_CHOICE = "is said of the whole picture and is no choice"
SUFFIXES = (".json", ".csv")
MAX_SNIFFED = 20


def sniff(source: Path) -> str | None:
    """An export file, or a folder that holds one."""
    found = _found(source)
    return next(iter(found.values()), None)


def _exports(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() in SUFFIXES else []
    try:
        return sorted(p for p in source.iterdir() if p.suffix.lower() in SUFFIXES)[:MAX_SNIFFED]
    except OSError:
        return []


def _export(source: Path) -> Path:
    """The one export of a source; raises FormatError where a folder holds several."""
    if source.is_file():
        return source
    found = list(_found(source))
    if len(found) != 1:
        what = f"holds {len(found)} exports of Label Studio" + "".join(f", {p.name}" for p in found[:5])
        raise FormatError(what, where=source, remedy="name the file")
    return found[0]


def _found(source: Path) -> dict[Path, str]:
    """Exports, and what was seen in each; the native ones alone where there are any."""
    seen = {path: looks_like(path, head_of(path)) or "" for path in _exports(source)}
    native = {path: why for path, why in seen.items() if "data and annotations" in why}
    return native or {path: why for path, why in seen.items() if why}


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """Read an export; see the module.

    Raises:
        FormatError: the file breaks the grammar; names the line or the JSON pointer.
    """
    path = _export(source)
    root = options.media or path.parent
    media = MediaNames(root, urls=options.media is not None)
    names = ClassNames(configured(path.parent / CONFIG))
    tasks = read_tasks(path, ledger)
    if any(region.kind == "ellipse" for task in tasks for region in task.regions):
        ledger.note(f"ellipses become polygons of {ELLIPSE_POINTS} points")
    points = any(region.kind == "keypoint" for task in tasks for region in task.regions)
    records: list[Record] = []
    for task in tasks:
        name = media.find(task.media)
        if name is None:
            _drop_task(task, CLIMBS, ledger)
        elif is_video(name):
            found = video_records(task, name, media.path(name), names, ledger)
            group = task.data.get("group")
            records += [replace(r, group=group) for r in found] if isinstance(group, str) else found
        else:
            records.append(_picture(task, name, media, names, options, ledger, points))
    if points:
        records = with_hidden_points(records, ledger)
    for doubtful, count in media.doubtful.most_common(5):
        ledger.note(f"{doubtful!r} fits several files and none is taken ({count} times): pass --media")
    return Reading(names.names, records, root, files=(path,))


def configured(path: Path) -> list[str]:
    """Class names of a labelling configuration beside the export, in its order; none without one."""
    if not path.is_file():
        return []
    values: list[str] = []
    waiting: list[Element] = [parse_xml(path)]
    while waiting:
        tag = waiting.pop(0)
        waiting += tag.children
        if tag.tag.endswith("Labels") or (tag.tag == "Choices" and "perRegion" not in tag.attributes):
            values += [c.attributes.get("value", "") for c in tag.children if c.tag in ("Label", "Choice")]
    return [value for value in values if value and value.casefold() != HIDDEN]


def _drop_task(task: Task, reason: str, ledger: Ledger) -> None:
    ledger.drop("picture", reason, task.place, repr(task.media))
    for at in [r.fields.at for r in task.regions] + [at for _, _, at in task.choices]:
        ledger.saw("annotation")
        ledger.drop("annotation", "its picture was dropped", f"{task.place}: {at}")


def _picture(
    task: Task,
    name: str,
    media: MediaNames,
    names: ClassNames,
    options: ReadOptions,
    ledger: Ledger,
    points: bool,
) -> Record:
    """A record with its marks in pixels of the file's true size, or of the size the annotator saw."""
    size_wh = media.picture_size(name) if options.check_media else (0, 0)
    if size_wh == (0, 0):
        told = [region.size_wh for region in task.regions if min(region.size_wh) > 0]
        size_wh = told[0] if told else (0, 0)
    marks: list[Annotation] = []
    for region in task.regions:
        marks += _region(region, size_wh, names, task.place, ledger)
    hidden = points and any(word.casefold() == HIDDEN for _, word, _ in task.choices)
    for control, word, at in task.choices:
        if points and word.casefold() == HIDDEN:
            continue
        ledger.saw("annotation")
        if word:
            marks.append(Annotation(names.index(word), attributes={"control": control}, source=at))
        else:
            ledger.drop("annotation", f"{control or 'a control'} {NO_CHOICE}", f"{task.place}: {at}")
    if hidden:
        marks = [replace(m, visible=False) if m.point is not None else m for m in marks]
    return _with_data(Record("", name, size_wh, tuple(marks), source=task.place), task.data)


def _with_data(record: Record, data: dict[str, Any]) -> Record:
    """What our own tasks say beside the picture: group, sensor, partition, frame, time."""
    texts = {k: data[k] for k in ("group", "sensor", "partition") if isinstance(data.get(k), str)}
    frame, time_s = data.get("frame"), data.get("time_s")
    return replace(
        record,
        **texts,
        frame=frame if isinstance(frame, int) and not isinstance(frame, bool) and frame >= 0 else -1,
        time_s=float(time_s) if isinstance(time_s, int | float) and not isinstance(time_s, bool) else None,
    )


def _region(
    region: Region, size_wh: tuple[int, int], names: ClassNames, place: str, ledger: Ledger
) -> list[Annotation]:
    """An annotation for each label of a region; none where it cannot be expressed."""
    at = region.fields.at
    ledger.saw("annotation", max(1, len(region.labels)))
    if region.kind not in SHAPES:
        reason = f"{region.kind} regions of pictures are not read"
    elif not region.labels:
        reason = NO_LABEL
    elif region.turned % 360:
        reason = TURNED
    elif size_wh == (0, 0) and region.kind not in ("brush", "bitmask"):
        reason = NO_SIZE
    else:
        mark = shape(region, size_wh)
        attributes = {**region.attributes, **mark.attributes}
        hidden = mark.point is not None and HIDDEN in (v.casefold() for v in attributes.values())
        return [
            replace(mark, label=names.index(label), attributes=attributes, visible=not hidden, source=at)
            for label in region.labels
        ]
    for _ in range(max(1, len(region.labels))):
        ledger.drop("annotation", reason, f"{place}: {at}")
    return []


write = label_studio_writing.write
