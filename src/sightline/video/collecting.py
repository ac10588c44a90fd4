"""`collect`: frames or clips worth labelling, from any source, into a folder for labelling and import."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sightline.core.errors import MediaError, UsageError
from sightline.core.label_studio_guesses import guesses
from sightline.core.media import probe
from sightline.video.choosing import Look, Rule, Unsure
from sightline.video.clips import ClipWriter
from sightline.video.collection import BudgetSpent, Collection, Line
from sightline.video.sinks import relative_name
from sightline.video.sources import Fault, Frame, PictureSource, Source

NO_RULE = "no rule asked for it"
TOO_SOON = "too soon after the last one kept"
IN_CLIP = "already in the clip before"
ENOUGH = "enough are kept"
NO_ROOM = "it did not fit into the budget"
DEFAULT_BUDGET = 2_000_000_000
MOST_BEFORE = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to keep and how.

    Attributes:
        rules: any of them may ask for a frame.
        clip_s: seconds of the clip kept around a frame, a quarter of it before; 0 keeps the frame alone.
        gap_s: least time between two kept, seconds; the frames' own times count, or the clock's.
        budget: bytes that all media of the folder may take.
        limit: how many may be kept in this session; 0 for any number.
        for_s: seconds after which the session ends; 0 for no end.
        suffix: `.jpg` or `.png`, of frames.
        quality: of JPEG, 1..100.
        classes: for the annotator's page.
        tasks: for the annotator's page: which marks are made.
    """

    rules: Sequence[Rule]
    clip_s: float = 0.0
    gap_s: float = 0.0
    budget: int = DEFAULT_BUDGET
    limit: int = 0
    for_s: float = 0.0
    suffix: str = ".jpg"
    quality: int = 95
    classes: tuple[str, ...] = ("object",)
    tasks: tuple[str, ...] = ("detect",)

    def __post_init__(self) -> None:
        if not self.rules:
            raise UsageError(
                "nothing says what to keep", remedy="name a rule: --every, --motion, --scenes or --unsure"
            )
        if self.suffix not in (".jpg", ".png"):
            raise UsageError(f"frames are kept as .jpg or .png, not {self.suffix!r}")


@dataclass(slots=True)
class Session:
    """The ledger: looked at = kept + passed over (for a reason) + unreadable.

    Attributes:
        started: when, UTC.
        looked_at: frames and pictures.
        kept: of them, as a picture or as the frame that a clip was kept for.
        why: kept, by rule; a frame may have several.
        passed_over: by reason.
        unreadable: frames that did not decode.
        sources: what became of each: name, looked_at, kept.
        faults: source and reason of what could not be read.
        written: files and bytes.
        ended: why the session ended.
    """

    started: str
    looked_at: int = 0
    kept: int = 0
    why: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    sources: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    ended: str = "every source was read to its end"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "started": self.started,
            "looked_at": self.looked_at,
            "kept": self.kept,
            "why": dict(self.why),
            "passed_over": dict(self.passed_over),
            "unreadable": self.unreadable,
            "sources": self.sources,
            "faults": [{"source": source, "reason": reason} for source, reason in self.faults],
            "files": self.files,
            "bytes": self.bytes,
            "ended": self.ended,
        }


def collect(
    sources: Sequence[Source],
    out: str | Path,
    wanted: Wanted,
    *,
    add: bool = False,
    stop: Callable[[], bool] = lambda: False,
    on_frame: Callable[[Session], None] | None = None,
) -> Session:
    """Look at every frame of every source and keep what a rule asks for.

    Args:
        sources: see `sources.find_sources`; live ones end by `wanted.for_s`, the budget or `stop`.
        out: the folder: new, or a collection with `add`.
        wanted: rules and limits.
        add: go on in a collection that is there.
        stop: asked after each frame; true ends the session in good order.
        on_frame: called after each frame, for progress.

    Raises:
        UsageError: the folder holds something else, or a picture of this name is in it already.
        StorageError: the disk is full or read-only; what was kept before stays whole.
    """
    collection = Collection(Path(out), wanted.budget, add=add)
    session = Session(datetime.now(UTC).isoformat(timespec="seconds"))
    files, used = len(collection.lines), collection.bytes
    desk = _Desk(collection, wanted, session, stop, on_frame)
    root = _root(sources)
    try:
        for source in sources:
            desk.read(source, root)
    except BudgetSpent:
        session.ended = spent(wanted)
    except _Ended as end:
        session.ended = str(end)
    except KeyboardInterrupt:
        session.ended = "stopped by hand"
    finally:
        desk.close()
        session.files, session.bytes = len(collection.lines) - files, collection.bytes - used
        collection.finish(session.to_json(), wanted.classes, wanted.tasks)
    return session


def spent(wanted: Wanted) -> str:
    """How a session ends whose next file does not fit."""
    return f"the budget of {wanted.budget:,} bytes is spent"


class _Ended(Exception):
    """The session is over, for the reason it carries."""


class _Desk:
    """Looks at frames one by one; holds the clip that is being written."""

    def __init__(
        self,
        collection: Collection,
        wanted: Wanted,
        session: Session,
        stop: Callable[[], bool],
        on_frame: Callable[[Session], None] | None,
    ) -> None:
        self._collection, self._wanted, self._session = collection, wanted, session
        self._stop, self._on_frame = stop, on_frame
        self._unsure = next((rule for rule in wanted.rules if isinstance(rule, Unsure)), None)
        self._end_s = time.monotonic() + wanted.for_s if wanted.for_s else float("inf")
        self._last_s: float | None = None
        self._before: deque[Frame] = deque(maxlen=MOST_BEFORE)
        self._clip: _Clip | None = None

    def read(self, source: Source, root: Path) -> None:
        """One source to its end."""
        session = self._session
        told: dict[str, Any] = {"name": source.name, "looked_at": -session.looked_at, "kept": -session.kept}
        session.sources.append(told)
        self._last_s = None
        self._before.clear()
        try:
            self._read(source, root)
        finally:
            told["looked_at"] += session.looked_at
            told["kept"] += session.kept

    def _read(self, source: Source, root: Path) -> None:
        begun, folder = False, ""
        for item in source:
            if isinstance(item, Fault):
                self._session.faults.append((item.source, item.reason))
                continue
            if item.index >= 0 and not begun:
                begun, folder = True, self._collection.name(Path(source.name).stem)
                for rule in self._wanted.rules:
                    rule.begin()
            self._look(item, source, folder, root)
            self._after()
        self._end_clip()

    def _after(self) -> None:
        if self._on_frame is not None:
            self._on_frame(self._session)
        if self._stop():
            raise _Ended("stopped by hand")
        if time.monotonic() >= self._end_s:
            raise _Ended(f"{self._wanted.for_s:g} s are over")
        if self._wanted.limit and self._session.kept >= self._wanted.limit and self._clip is None:
            raise _Ended(f"{self._wanted.limit} are kept")

    def _look(self, frame: Frame, source: Source, folder: str, root: Path) -> None:
        session, look = self._session, Look(frame)
        if self._clip is not None and _time(frame) >= self._clip.until - 1e-6:
            self._end_clip()
        session.looked_at += 1
        try:
            why = [reason for rule in self._wanted.rules if (reason := rule.why(look))]
            if self._clip is not None:
                session.passed_over[IN_CLIP] += 1
                self._clip.writer.write(frame)
            elif not why:
                session.passed_over[NO_RULE] += 1
            elif self._too_soon(frame):
                session.passed_over[TOO_SOON] += 1
            elif self._full():
                session.passed_over[ENOUGH] += 1
            else:
                self._keep(look, why, source, folder, root)
        except MediaError as error:
            session.unreadable += 1
            session.faults.append((frame.source, error.what))
        except BudgetSpent:
            session.passed_over[NO_ROOM] += 1
            raise
        if self._wanted.clip_s and frame.index >= 0:
            self._before.append(frame)

    def _full(self) -> bool:
        return bool(self._wanted.limit) and self._session.kept >= self._wanted.limit

    def _too_soon(self, frame: Frame) -> bool:
        if frame.index < 0 or self._last_s is None or not self._wanted.gap_s:
            return False
        return 0 <= _time(frame) - self._last_s < self._wanted.gap_s

    def _keep(self, look: Look, why: list[str], source: Source, folder: str, root: Path) -> None:
        frame = look.frame
        line: Line = {"source": frame.source, "why": why}
        if frame.index < 0:
            self._keep_picture(look, line, source, root)
        elif self._wanted.clip_s:
            self._begin_clip(frame, line, source, folder)
        else:
            media = f"{folder}/{frame.index:06d}{self._wanted.suffix}"
            line |= {"index": frame.index, "time_s": frame.time_s, "group": folder} | self._guess(look)
            self._collection.add_frame(media, look.pixels, line, quality=self._wanted.quality)
        for rule in self._wanted.rules:
            rule.kept(look)
        self._last_s = _time(frame)
        self._session.kept += 1
        self._session.why.update(why)

    def _keep_picture(self, look: Look, line: Line, source: Source, root: Path) -> None:
        """The file as it is; it was read whole before, so that nothing damaged is kept."""
        path = Path(getattr(source, "path", source.name))
        look.pixels  # noqa: B018
        media = relative_name(str(path), root).as_posix()
        line |= {"size_wh": list(probe(path).size_wh)} | self._guess(look)
        self._collection.add_file(media, path, line)

    def _guess(self, look: Look) -> Line:
        if self._unsure is None:
            return {}
        size_wh = (look.pixels.shape[1], look.pixels.shape[0])
        return guesses(self._unsure.results, size_wh, self._unsure.thresholds)

    def _begin_clip(self, frame: Frame, line: Line, source: Source, folder: str) -> None:
        start = _time(frame) - self._wanted.clip_s / 4
        early = [f for f in self._before if _time(f) >= start - 1e-6]
        first = early[0] if early else frame
        media = f"{folder}/{first.index:06d}.mp4"
        line |= {"index": first.index, "time_s": first.time_s, "group": folder, "rate": source.rate}
        until = _time(first) + self._wanted.clip_s
        part = self._collection.folder / f".{folder}.part.mp4"
        self._clip = _Clip(ClipWriter(part, source.rate), media, line, until)
        for f in (*early, frame):
            self._clip.writer.write(f)

    def _end_clip(self) -> None:
        clip, self._clip = self._clip, None
        if clip is None:
            return
        self._before.clear()  # no frame is in two clips
        clip.writer.finish()
        try:
            line = clip.line | {"frames": clip.writer.frames, "size_wh": list(clip.writer.size_wh)}
            self._collection.add_made(clip.media, clip.writer.path, line)
        except BudgetSpent:
            self._session.kept -= 1
            self._session.why.subtract(line["why"])
            self._session.passed_over[NO_ROOM] += 1
            raise _Ended(spent(self._wanted)) from None
        finally:
            clip.writer.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Keep the clip that was being written, as far as it goes, or nothing of it."""
        try:
            self._end_clip()
        except _Ended as end:
            self._session.ended = str(end)


@dataclass(slots=True)
class _Clip:
    """A clip being written, and the time its last frame stands before."""

    writer: ClipWriter
    media: str
    line: Line
    until: float


def _time(frame: Frame) -> float:
    """The frame's own time; the clock's, for a source that tells none."""
    return time.monotonic() if frame.time_s is None else frame.time_s


def _root(sources: Sequence[Source]) -> Path:
    """The folder that holds all pictures of the sources."""
    parents = [s.path.absolute().parent for s in sources if isinstance(s, PictureSource)]
    return Path(os.path.commonpath(parents)) if parents else Path()
