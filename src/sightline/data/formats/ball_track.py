"""Tracks of one ball: a CSV a video with `Frame,Visibility,X,Y`, as TrackNet and its kin write it.

Coordinates name pixels by their centres, counted from 0: the centre of the first pixel is (0, 0) in the file
and (0.5, 0.5) here, so half a pixel is added, once. Normalised ones are that count divided by the picture's
sides. A visible point at exactly (0, 0) is a slip of the tool that wrote it; it is kept at (0, 0), where an
audit finds it. Frames are a folder of numbered pictures or a video of the CSV's name.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.core.errors import FormatError
from sightline.core.files import folder_written_whole, write_text
from sightline.core.media import VIDEO_SUFFIXES
from sightline.core.records import Annotation, Record
from sightline.data.formats.ball_track_media import Frames, FramesFinder
from sightline.data.formats.documents import head_of, read_csv
from sightline.data.formats.files import Lost, copy_media, note_absent, shown
from sightline.data.ledger import Ledger
from sightline.data.reading import Reading, ReadOptions

CLASS = "ball"
HALF = 0.5
COLUMNS = {
    "frame": ("frame", "frame_num", "frame_number", "frameid", "file name", "filename"),
    "visible": ("visibility", "visible", "vis"),
    "x": ("x", "x-coordinate", "x_coordinate"),
    "y": ("y", "y-coordinate", "y_coordinate"),
}
HEADER = ("Frame", "Visibility", "X", "Y")
# Length of the smear in pixels, where a simulator says it; kept as the attribute `blur_px`.
BLUR_COLUMN = "blur"
# 0 out of sight, 1 easy, 2 hard to see, 3 behind something (Huang et al. 2019, TrackNet).
VISIBLE = {"0": False, "1": True, "2": True, "3": False, "true": True, "false": False}
TWICE = "frame is listed before"
NO_FRAME = "its frame is not there"
NO_SIZE = "coordinates are parts of the picture's sides, and its size is not known"
MAX_SNIFFED = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file; a coordinate that is left empty is NaN."""

    line: int
    frame: int
    visible: bool
    x: float
    y: float
    grade: str
    blur: str = ""

    @property
    def at_origin(self) -> bool:
        """Whether the point is where tools write it when they have none."""
        return self.x == 0 and self.y == 0

    @property
    def is_placed(self) -> bool:
        """Whether the row says where the ball is, seen or not."""
        return (
            math.isfinite(self.x)
            and math.isfinite(self.y)
            and self.x >= 0
            and self.y >= 0
            and not self.at_origin
        )


def sniff(source: Path) -> str | None:
    """A CSV, or a folder with CSVs below it, whose columns are a track's."""
    for path in _files(source)[:MAX_SNIFFED]:
        names = [name.strip() for name in head_of(path, 400).partition("\n")[0].split(",")]
        if _columns(names) is not None:
            return f"{shown(path, source)} has the columns {','.join(names)}"
    return None


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".csv" else []
    try:
        found = sorted(p for p in source.rglob("*") if p.suffix.lower() == ".csv" and p.is_file())
    except OSError:
        return []
    return [p for p in found if not any(part.startswith(".") for part in p.relative_to(source).parts)]


def _columns(names: list[str]) -> dict[str, str] | None:
    """Role -> column of the file, or None where one is missing."""
    plain = {name.lower(): name for name in names}
    found = {role: next((plain[n] for n in known if n in plain), "") for role, known in COLUMNS.items()}
    return found if all(found.values()) else None


def read(source: Path, options: ReadOptions, ledger: Ledger) -> Reading:
    """One record a row, with one point.

    Raises:
        FormatError: no such CSV, or a cell that is no number; names file and line.
    """
    files = [path for path in _files(source) if _columns(_header(path)) is not None]
    if not files:
        raise FormatError("holds no CSV with the columns Frame, Visibility, X, Y", where=source)
    finder = FramesFinder(options.media or (source if source.is_dir() else source.parent), source)
    told: Counter[str] = Counter()
    records: list[Record] = []
    for path in files:
        records += _track(path, source, finder, options, ledger, told)
    for text, count in told.items():
        ledger.note(text.format(count))
    return Reading((CLASS,), records, finder.root, files=files)


def _header(path: Path) -> list[str]:
    return [name.strip() for name in head_of(path, 4096).partition("\n")[0].split(",")]


def _track(
    path: Path, source: Path, finder: FramesFinder, options: ReadOptions, ledger: Ledger, told: Counter[str]
) -> list[Record]:
    rows, place = _rows(path), shown(path, source)
    frames = finder.find(path)
    if frames is None:
        hint = ": pass --media none to import labels alone" if options.check_media else ""
        told["{} files have no frames beside them" + hint] += 1
        frames = Frames.absent(finder.name_of(path))
    first = _first_number(rows, frames, place, ledger)
    is_normalised = normalised(rows)
    seen: set[int] = set()
    records = []
    for row in rows:
        ledger.saw("picture")
        ledger.saw("annotation")
        here = f"{place}: line {row.line}"
        reason = TWICE if row.frame in seen else "" if frames.has(row.frame - first) else NO_FRAME
        if not reason and is_normalised and frames.size_wh == (0, 0) and row.visible:
            reason = NO_SIZE
        if reason:
            ledger.drop("picture", reason, here, f"frame {row.frame}")
            ledger.drop("annotation", reason, here)
            continue
        seen.add(row.frame)
        mark = _point(row, frames, is_normalised, options, told)
        records.append(frames.record(row.frame - first, mark, here))
    bare = frames.count - len(seen)
    if bare > 0 and frames.count:
        told["{} frames have no line in their CSV and are left out"] += bare
    return records


def _rows(path: Path) -> list[Row]:
    names, lines = read_csv(path)
    columns = _columns(names)
    assert columns is not None
    smear = next((name for name in names if name.lower() == BLUR_COLUMN), "")
    out = []
    for line, cells in lines:
        where = f"{path}:{line}"
        word = cells[columns["visible"]].strip().lower()
        grade = word.removesuffix(".0")
        if grade not in VISIBLE:
            raise FormatError(f"visibility is {word!r}, must be 0, 1, 2 or 3", where=where)
        x, y = (_number(cells[columns[axis]], axis, where) for axis in ("x", "y"))
        blur = cells[smear].strip() if smear else ""
        out.append(Row(line, _frame(cells[columns["frame"]], where), VISIBLE[grade], x, y, grade, blur))
    return out


def _number(text: str, axis: str, where: str) -> float:
    text = text.strip()
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise FormatError(f"{axis} is {text!r}, not a number", where=where) from None


def _frame(text: str, where: str) -> int:
    """A frame number, or the number in a picture's name (`0017.jpg`)."""
    stem = PurePosixPath(text.strip()).stem if "." in text and not _is_float(text) else text.strip()
    try:
        value = float(stem)
    except ValueError:
        value = math.nan
    if not value.is_integer() or not 0 <= value < 1 << 31:
        raise FormatError(f"frame is {text!r}, not a whole number from 0", where=where)
    return int(value)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def normalised(rows: list[Row]) -> bool:
    """Whether coordinates are parts of the picture's sides: all in 0..1, and some no whole number."""
    values = [v for row in rows if row.is_placed for v in (row.x, row.y)]
    return bool(values) and max(values) <= 1 and any(not v.is_integer() for v in values)


def _first_number(rows: list[Row], frames: Frames, place: str, ledger: Ledger) -> int:
    """What the file calls the first frame of a video: 0, or 1 where that alone fits its frames."""
    numbers = {row.frame for row in rows}
    if frames.numbered or not frames.count or 0 in numbers or frames.count not in numbers:
        return 0
    ledger.note(f"{place}: frames are counted from 1")
    return 1


def _point(
    row: Row, frames: Frames, is_normalised: bool, options: ReadOptions, told: Counter[str]
) -> Annotation:
    visible = row.visible
    if options.visible == "all" and not visible and row.is_placed:
        visible = True
        told["--visible all: {} points are taken as visible against their column"] += 1
    x, y = (row.x, row.y) if row.is_placed or visible else (0.0, 0.0)
    if row.visible and row.at_origin:
        told["{} points are visible at (0, 0), where tools write a point they do not have"] += 1
    elif row.is_placed:
        x, y = _continuous((x, y), frames.size_wh if is_normalised else None)
    attributes = {"visibility": row.grade} if row.grade in ("2", "3") else {}
    attributes |= {"blur_px": row.blur} if row.blur and visible else {}
    return Annotation(0, point=(x, y), visible=visible, attributes=attributes, source=f"line {row.line}")


def _continuous(point: tuple[float, float], sides: tuple[int, int] | None) -> tuple[float, float]:
    """From counted pixel centres to continuous coordinates; `sides` for normalised ones."""
    w, h = sides or (1, 1)
    return point[0] * w + HALF, point[1] * h + HALF


def write(dataset: Any, out: Path) -> Ledger:
    """Write `csv/NAME_ball.csv` a video or group, with the frames in `video/` or `frame/NAME/`.

    Not carried: all but one point a frame, other marks, groups of pictures without a frame number.
    """
    ledger, absent = Ledger(), []
    tracks: dict[str, list[Record]] = {}
    for record in dataset.records:
        lost = Lost(ledger, record)
        points = [i for i, a in enumerate(record.annotations) if a.kind == "point"]
        for i, a in enumerate(record.annotations):
            if a.kind != "point":
                lost.mark(i, f"a track cannot carry a {a.kind}")
            elif i != points[0]:
                lost.mark(i, "a track carries one point a frame")
            else:
                lost.extras(i, attributes=("visibility", "blur_px"))
        if record.frame < 0:
            lost.ledger.drop("picture", "it has no frame number", record.id)
        else:
            tracks.setdefault(record.media if _is_video(record) else record.group, []).append(record)
    with folder_written_whole(out) as part:
        names: dict[str, str] = {}
        for key, records in tracks.items():
            name = _file_name(key, names)
            write_text(part / "csv" / f"{name}_ball.csv", _table(records))
            for target, record in _media(records, name).items():
                if not copy_media(dataset, record, part / target):
                    absent.append(record.media)
    note_absent(ledger, absent)
    return ledger


def _is_video(record: Record) -> bool:
    return Path(record.media).suffix.lower() in VIDEO_SUFFIXES


def _file_name(key: str, names: dict[str, str]) -> str:
    """A name of its own for each track."""
    path = PurePosixPath(key)
    base = (path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name) or "track"
    name, number = base, 1
    while name in names:
        number += 1
        name = f"{base}_{number}"
    names[name] = key
    return name


def _media(records: list[Record], name: str) -> dict[str, Record]:
    """Where each file goes: a video once, pictures by their frame number."""
    first = records[0]
    if _is_video(first):
        return {f"video/{name}{Path(first.media).suffix}": first}
    return {f"frame/{name}/{r.frame}{Path(r.media).suffix}": r for r in records}


def _table(records: list[Record]) -> str:
    text = StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(HEADER)
    for record in sorted(records, key=lambda r: r.frame):
        point = next((a for a in record.annotations if a.kind == "point"), None)
        if point is None:
            continue
        assert point.point is not None
        x, y = point.point if point.point == (0.0, 0.0) else (v - HALF for v in point.point)
        grade = point.attributes.get("visibility", "") if point.attributes else ""
        visibility = grade if VISIBLE.get(grade) is point.visible else str(int(point.visible))
        rows.writerow([record.frame, visibility, _short(x), _short(y)])
    return text.getvalue()


def _short(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
