"""A folder of collected pictures and clips: every file whole, a line for each, a ledger at the end.

    FOLDER/
      media/SOURCE/000120.jpg     what was kept; pictures of a folder keep their names
      collected.jsonl             a line for each: media, source, index, time_s, group, why
      collected.json              the ledger of each session
      tasks.json, label_config.xml   for Label Studio

Lines are added as files appear, so that a killed process leaves a collection that can be read and added to.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.core import label_studio
from sightline.core.errors import DatasetError, MediaError, StorageError, UsageError
from sightline.core.files import inside, refusals, write_json, write_text, written_whole
from sightline.video.sources import Pixels

LINES = "collected.jsonl"
LEDGER = "collected.json"
MEDIA = label_studio.MEDIA
Line = dict[str, Any]
# The control an annotator needs for a task, on pictures and on clips.
PICTURE_CONTROLS = {
    "classify": "choices",
    "detect": "rectanglelabels",
    "segment": "brushlabels",
    "instances": "brushlabels",
    "panoptic": "brushlabels",
    "locate": "keypointlabels",
}


class BudgetSpent(Exception):
    """The next file would not fit into the budget; nothing of it is left."""


class Collection:
    """The folder.

    Args:
        folder: new, empty, or with `add` a collection.
        budget: bytes that all its media may take.
        add: go on in a collection that is there.

    Raises:
        UsageError: the folder holds something else, or a collection and `add` is not set.
    """

    def __init__(self, folder: Path, budget: int, *, add: bool = False) -> None:
        self.folder, self.budget = folder.absolute(), budget
        self.lines: list[Line] = []
        known = (self.folder / LINES).is_file()
        if self.folder.exists() and not known and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise UsageError("is not empty and no collection", where=folder, remedy="choose another place")
        if known and not add:
            raise UsageError("holds a collection", where=folder, remedy="pass --add, or choose another place")
        with refusals(self.folder):
            (self.folder / MEDIA).mkdir(parents=True, exist_ok=True)
            if known:
                self._go_on()
            else:
                (self.folder / LINES).touch()
        self.sessions: list[Any] = _sessions(self.folder) if known else []
        media = (self.folder / MEDIA).rglob("*")
        self.bytes = sum(path.stat().st_size for path in media if path.is_file())
        self._names = {Path(line["media"]).parts[0] for line in self.lines}

    def _go_on(self) -> None:
        """Take what is there; a last line that was cut short and parts of files are removed."""
        self.lines, cut = read_lines(self.folder)
        for part in (self.folder / MEDIA).rglob(".*.part"):
            part.unlink(missing_ok=True)
        if cut:
            text = "".join(_as_text(line) for line in self.lines)
            write_text(self.folder / LINES, text)

    def name(self, wanted: str) -> str:
        """A folder name of its own for a source."""
        base = re.sub(r"[^-\w.]+", "_", wanted).strip("._")[:80] or "source"
        name, number = base, 1
        while name in self._names:
            number += 1
            name = f"{base}-{number}"
        self._names.add(name)
        return name

    def add_frame(self, media: str, pixels: Pixels, line: Line, *, quality: int) -> None:
        """Keep a frame as JPEG, or as PNG where the name says so.

        Raises:
            BudgetSpent: it does not fit any more.
        """
        suffix = Path(media).suffix
        options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
        done, data = cv2.imencode(suffix, np.ascontiguousarray(pixels[:, :, ::-1]), options)
        if not done:
            raise MediaError(f"cannot be encoded as {suffix!r}", where=media)
        self._fits(data.nbytes)
        with written_whole(self._place(media)) as part:
            part.write_bytes(data.tobytes())
        self._note(media, line | {"size_wh": [pixels.shape[1], pixels.shape[0]]}, data.nbytes)

    def add_file(self, media: str, origin: Path, line: Line) -> None:
        """Keep a picture as the file it is; raises BudgetSpent."""
        length = origin.stat().st_size
        self._fits(length)
        with written_whole(self._place(media)) as part:
            shutil.copyfile(origin, part)
        self._note(media, line, length)

    def add_made(self, media: str, part: Path, line: Line) -> None:
        """Keep a clip that was written to `part`; raises BudgetSpent."""
        length = part.stat().st_size
        self._fits(length)
        with written_whole(self._place(media)) as target:
            part.replace(target)
        self._note(media, line, length)

    def _place(self, media: str) -> Path:
        place = inside(self.folder / MEDIA, media)
        if place.exists():
            raise UsageError(
                "is in the collection already", where=media, remedy="collect into another folder"
            )
        return place

    def _fits(self, length: int) -> None:
        if self.bytes + length > self.budget:
            raise BudgetSpent

    def _note(self, media: str, line: Line, length: int) -> None:
        whole = {"media": media, **line}
        with refusals(self.folder), (self.folder / LINES).open("a", encoding="utf-8") as file:
            file.write(_as_text(whole))
        self.lines.append(whole)
        self.bytes += length

    def finish(self, session: Any, classes: Sequence[str], tasks: Sequence[str]) -> None:
        """Write the ledger, and the tasks and configuration for Label Studio."""
        self.sessions.append(session)
        write_json(self.folder / LEDGER, {"sessions": self.sessions, "bytes": self.bytes})
        write_json(self.folder / label_studio.TASKS, [_task(line) for line in self.lines])
        clips = [line for line in self.lines if "frames" in line]
        if clips and len(clips) < len(self.lines):
            return  # a project shows pictures or videos: one configuration would be wrong for some
        if clips:
            controls = {"timelinelabels" if set(tasks) == {"classify"} else "videorectangle"}
            rate = float(clips[0].get("rate") or label_studio.DEFAULT_RATE)
            text = label_studio.configuration(classes, controls, rate=rate)
        else:
            controls = {PICTURE_CONTROLS[task] for task in tasks if task in PICTURE_CONTROLS}
            text = label_studio.configuration(classes, controls, hidden="locate" in tasks)
        write_text(self.folder / label_studio.CONFIG, text)


def read_lines(folder: Path) -> tuple[list[Line], bool]:
    """What a collection holds, and whether a last line was cut short and is left out.

    Raises:
        DatasetError: a line that is no JSON object with a media name stands before the last.
    """
    path = folder / LINES
    try:
        texts = path.read_bytes().split(b"\n")
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror})", where=path) from error
    lines: list[Line] = []
    for number, text in enumerate(texts[:-1], 1):
        try:
            value = json.loads(text)
            if not isinstance(value.get("media"), str):
                raise ValueError("names no media")
        except (ValueError, AttributeError) as error:
            raise DatasetError(f"cannot be read ({error})", where=f"{path}:{number}") from error
        lines.append(value)
    return lines, bool(texts[-1])


def _as_text(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"


def _sessions(folder: Path) -> list[Any]:
    """Earlier sessions; none where the last process was killed before it could write them."""
    path = folder / LEDGER
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["sessions"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _task(line: Line) -> dict[str, Any]:
    kind = "video" if "frames" in line else "image"
    data: dict[str, Any] = {kind: label_studio.address(line["media"]), "why": ", ".join(line["why"])}
    data |= {key: line[key] for key in ("group", "sensor", "doubt") if line.get(key)}
    if kind == "image":
        data |= {"frame": line["index"]} if line.get("index", -1) >= 0 else {}
        data |= {"time_s": line["time_s"]} if line.get("time_s") is not None else {}
    return label_studio.task(data, line.get("guess", []), score=line.get("score"))
