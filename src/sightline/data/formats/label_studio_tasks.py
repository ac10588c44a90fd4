"""The three exports of Label Studio (JSON, JSON-MIN, CSV) as one kind of task.

JSON says which annotation, which region and which control everything belongs to. JSON-MIN and CSV say
neither: regions are told apart by their geometry, and a lone word is a choice only where no region of the
export could own it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sightline.core.errors import FormatError
from sightline.core.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from sightline.data.formats.documents import Fields, read_csv, read_json
from sightline.data.ledger import Ledger

# What in a value says which geometry it is, the most telling first.
GEOMETRY = {
    "videorectangle": {"sequence"},
    "timeline": {"ranges"},
    "brush": {"rle"},
    "bitmask": {"imageDataURL"},
    "ellipse": {"radiusX", "radiusY"},
    "vector": {"vertices"},
    "polygon": {"points"},
    "rectangle": {"x", "y", "width", "height"},
    "keypoint": {"x", "y"},
}
SHAPE_KEYS = frozenset().union(
    *GEOMETRY.values(), {"rotation", "framesCount", "duration", "format", "closed"}
)
# Columns of JSON-MIN and CSV that the server adds itself.
META = frozenset({"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"})
NO_MEDIA = "task names no picture or video"
UNDONE = "task has no annotation yet"
SKIPPED = "task was skipped by its annotator"


@dataclass(slots=True)
class Region:
    """One marked thing: its geometry in the page's units, and what was said of it.

    Attributes:
        kind: a key of `GEOMETRY`.
        fields: the value, asked through its pointer.
        labels: class names.
        size_wh: size of the picture the annotator saw, (0, 0) where it is not told.
        turned: degrees the annotator turned the picture in the page.
    """

    kind: str
    fields: Fields
    labels: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    id: str = ""
    size_wh: tuple[int, int] = (0, 0)
    turned: float = 0.0


@dataclass(slots=True)
class Task:
    """One picture or video with what its annotator left."""

    place: str
    media: str
    regions: list[Region] = field(default_factory=list)
    choices: list[tuple[str, str, str]] = field(default_factory=list)  # control, choice, pointer
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Notes:
    """What is told once about a whole export."""

    guesses: int = 0
    left_out: int = 0
    left_out_marks: int = 0
    relations: int = 0

    def tell(self, ledger: Ledger) -> None:
        """Write the notes into the ledger."""
        if self.left_out:
            ledger.note(
                "several annotations for one picture: the ground truth, else the latest completed one is "
                f"read; {self.left_out} others with {self.left_out_marks} marks are left out"
            )
        if self.guesses:
            ledger.note(f"{self.guesses} predictions of models are left out: only annotations are read")
        if self.relations:
            ledger.note(f"{self.relations} relations between regions are left out")


def looks_like(path: Path, head: str) -> str | None:
    """What in a file's first characters makes it an export of Label Studio."""
    start = head.lstrip()
    if start.startswith(("[", "{")):
        if '"annotations"' in head and '"data"' in head and ('"completed_by"' in head or '"result"' in head):
            return f"{path.name} lists tasks with data and annotations"
        if '"annotation_id"' in head and '"annotator"' in head:
            return f"{path.name} lists tasks with annotator and annotation_id (JSON-MIN)"
        if (
            start.startswith("[")
            and '"data"' in head
            and ('"predictions"' in head or '"annotations"' in head)
        ):
            return f"{path.name} lists tasks with data and predictions"
        return None
    line = start.partition("\n")[0]
    if "annotation_id" in line and "annotator" in line and "," in line:
        return f"{path.name} has the columns annotation_id and annotator"
    return None


def read_tasks(path: Path, ledger: Ledger) -> list[Task]:
    """Tasks of an export; tasks nobody finished are dropped, as the ledger then says.

    Raises:
        FormatError: names the line or the pointer.
    """
    notes = Notes()
    if path.suffix.lower() == ".csv":
        tasks = _from_rows(path, _csv_rows(path), ledger, notes)
    else:
        value = read_json(path)
        value = [value] if isinstance(value, dict) else value
        if not isinstance(value, list):
            raise FormatError("must be a list of tasks", where=path)
        if any(
            isinstance(v, dict) and ("annotations" in v or "completions" in v or "data" in v) for v in value
        ):
            tasks = [t for i, v in enumerate(value) for t in _from_json(path, i, v, ledger, notes)]
        else:
            rows = ((f"/{i}", Fields(v, path, f"/{i}")) for i, v in enumerate(value))
            tasks = _from_rows(path, rows, ledger, notes)
    notes.tell(ledger)
    return tasks


def _from_json(path: Path, index: int, value: Any, ledger: Ledger, notes: Notes) -> Iterator[Task]:
    whole = Fields(value, path, f"/{index}")
    data = whole.child("data")
    place = f"{path.name}: task {value.get('id', index)}"
    ledger.saw("picture")
    guesses = value.get("predictions")
    notes.guesses += len(guesses) if isinstance(guesses, list) else 0
    media = media_of(data.value)
    if media is None:
        ledger.drop("picture", NO_MEDIA, place)
        return
    key = "completions" if "completions" in value else "annotations"
    entries = whole.items(key, [])
    done = [Fields(a, path, f"/{index}/{key}/{i}") for i, a in enumerate(entries)]
    finished = [a for a in done if not a.value.get("was_cancelled")]
    if not finished:
        # Work that is not done is no fault of the labels: no limit counts it.
        ledger.drop("picture", SKIPPED if done else UNDONE, place, asked=True)
        return
    chosen = max(finished, key=_rank)
    notes.left_out += len(finished) - 1
    notes.left_out_marks += sum(len(a.items("result", [])) for a in finished if a is not chosen)
    task = Task(place, media, data=data.value)
    _gather(task, chosen, notes)
    yield task


def _rank(annotation: Fields) -> tuple[bool, str, float]:
    value = annotation.value
    number = value.get("id")
    at = value.get("updated_at") or value.get("created_at") or ""
    return bool(value.get("ground_truth")), str(at), float(number) if isinstance(number, int) else 0.0


def _gather(task: Task, annotation: Fields, notes: Notes) -> None:
    """Results that share an id are one region: its geometry, its labels, its attributes."""
    regions: dict[str, Region] = {}
    for i, entry in enumerate(annotation.items("result", [])):
        result = Fields(entry, annotation.file, f"{annotation.at}/result/{i}")
        if result.value.get("type") == "relation":
            notes.relations += 1
            continue
        value = result.child("value")
        name = str(result.value.get("from_name", ""))
        kind = kind_of(value.value)
        if kind is None:
            _whole(task, name, value)
            continue
        key = str(result.value.get("id", f"#{i}"))
        region = regions.get(key)
        if region is None:
            region = regions[key] = Region(kind, value, id=key)
            region.size_wh = (result.whole("original_width", 0), result.whole("original_height", 0))
            region.turned = result.number("image_rotation", 0.0)
        _describe(region, name, value)
    task.regions += regions.values()


def _describe(region: Region, name: str, value: Fields) -> None:
    """Add what a control says of a region: labels, or an attribute under the control's name."""
    for key in value.value:
        if key.endswith("labels"):
            region.labels += [label for label in value.texts(key) if label not in region.labels]
        elif key not in SHAPE_KEYS and key not in ("original_width", "original_height", "brush"):
            region.attributes[name or key] = _as_text(value.value[key])


def _whole(task: Task, name: str, value: Fields) -> None:
    """What was said of the whole picture: choices become labels, the rest is no label."""
    if "choices" in value.value:
        words = value.texts("choices")
        task.choices += [(name, word, f"{value.at}/choices/{i}") for i, word in enumerate(words)]
    else:
        task.choices.append((name, "", value.at))


def _from_rows(path: Path, rows: Iterable[tuple[str, Fields]], ledger: Ledger, notes: Notes) -> list[Task]:
    """JSON-MIN and CSV: a row an annotation; the latest row of a task is read."""
    chosen: dict[str, tuple[str, Fields]] = {}
    for place, row in rows:
        key = str(row.value.get("id", place))
        other = chosen.get(key)
        if other is not None:
            notes.left_out += 1
            kept = max(other, (place, row), key=lambda found: str(found[1].value.get("updated_at", "")))
            notes.left_out_marks += len(list(_values(row if kept is other else other[1])))
            chosen[key] = kept
        else:
            chosen[key] = (place, row)
    tasks = []
    for place, row in chosen.values():
        ledger.saw("picture")
        media = media_of(row.value)
        if media is None:
            ledger.drop("picture", NO_MEDIA, f"{path.name}: {place}")
            continue
        tasks.append(_task_of(f"{path.name}: {place}", media, row))
    _own_words(tasks)
    return tasks


def _task_of(place: str, media: str, row: Fields) -> Task:
    task, regions = Task(place, media), {}
    for name, value in _values(row):
        kind = kind_of(value.value)
        if kind is None:
            _whole(task, name, value)
            continue
        shape = json.dumps({k: v for k, v in value.value.items() if k in SHAPE_KEYS}, sort_keys=True)
        if shape not in regions:
            regions[shape] = Region(kind, value)
            size = (value.whole("original_width", 0), value.whole("original_height", 0))
            regions[shape].size_wh = size
        _describe(regions[shape], name, value)
    task.regions = list(regions.values())
    return task


def _values(row: Fields) -> Iterator[tuple[str, Fields]]:
    """Control and value of everything in a row that is neither data nor the server's own."""
    media = media_of(row.value)
    for name, cell in row.value.items():
        if name in META or cell is None or cell == "" or cell == media:
            continue
        entries = cell if isinstance(cell, list) else [cell]
        for i, entry in enumerate(entries):
            at = f"{row.at}/{name}/{i}" if isinstance(cell, list) else f"{row.at}/{name}"
            word = {"choices": [entry]} if isinstance(entry, str) else entry
            yield name, Fields(word if isinstance(word, dict) else {"number": word}, row.file, at)


def _own_words(tasks: list[Task]) -> None:
    """Beside regions a word may be anything: only `invisible` keeps its meaning, the rest is no label."""
    if any(task.regions for task in tasks):
        for task in tasks:
            task.choices = [(c, w if w.casefold() == "invisible" else "", at) for c, w, at in task.choices]


def _csv_rows(path: Path) -> Iterator[tuple[str, Fields]]:
    _, rows = read_csv(path)
    for line, row in rows:
        cells: dict[str, Any] = dict(row)
        for name, cell in row.items():
            if cell.startswith(("[{", '{"')):
                try:
                    cells[name] = json.loads(cell)
                except (ValueError, RecursionError) as error:
                    what = f"column {name!r} is no JSON: {error}"
                    raise FormatError(what, where=f"{path}:{line}") from error
        yield f"line {line}", Fields(cells, path, f"line {line}")


def kind_of(value: dict[str, Any]) -> str | None:
    """The geometry a value holds, a key of `GEOMETRY`; None for what has none."""
    return next((kind for kind, keys in GEOMETRY.items() if keys <= value.keys()), None)


def media_of(data: dict[str, Any]) -> str | None:
    """The value among a task's data that names a picture or video, the likeliest first."""
    texts = [v for k, v in data.items() if isinstance(v, str) and k not in META]
    for text in texts:
        if _suffix(text) in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
            return text
    return next((t for t in texts if t.startswith("/data/") or "://" in t[:12]), None)


def is_video(media: str) -> bool:
    """Whether a media name is a video's."""
    return _suffix(media) in VIDEO_SUFFIXES


def _suffix(text: str) -> str:
    if "://" in text[:12]:
        try:
            text = urlsplit(text).path
        except ValueError:
            return ""
    return Path(text[-300:]).suffix.lower()


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_as_text(v) for v in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
