"""What a workspace has done already, by fingerprint, so that only what changed is done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sightline.core.files import fingerprint, write_json

STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Done:
    """One stage that ended well: the key of all it depended on, when, and how long it took."""

    key: str
    at: str
    seconds: float


class State:
    """The stages of one workspace.

    A stage is done when its key (a hash of everything it reads) is the one on record and what it made
    is still there. Keys hold the key of the stage before, so a change runs on to the end; and a stage
    that is done again takes those after it off the record, since they stand on what was there before.
    """

    def __init__(self, folder: Path, say: Callable[[str, bool, float], None]) -> None:
        self._path, self._say = folder / STATE, say
        self._standing: set[str] = set()
        self._done: dict[str, Done] = {}
        if self._path.is_file():
            try:
                rows = json.loads(self._path.read_text(encoding="utf-8"))
                self._done = {name: Done(**row) for name, row in rows.items()}
            except (ValueError, TypeError, AttributeError):
                self._done = {}  # an unreadable record only means that the work is done again

    def step(self, name: str, reads: object, makes: Path, make: Callable[[], object]) -> str:
        """Do a stage unless it is done; gives its key."""
        key = fingerprint([name, reads])
        done = self._done.get(name)
        if done is not None and done.key == key and makes.exists():
            self._standing.add(name)
            self._say(name, True, done.seconds)
            return key
        self._done = {kept: row for kept, row in self._done.items() if kept in self._standing}
        self._save()
        started = time.perf_counter()
        make()
        seconds = time.perf_counter() - started
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._done[name] = Done(key, now, round(seconds, 3))
        self._standing.add(name)
        self._save()
        self._say(name, False, seconds)
        return key

    @property
    def record(self) -> dict[str, Done]:
        """The stages on record by name."""
        return dict(self._done)

    def _save(self) -> None:
        write_json(self._path, {name: asdict(done) for name, done in self._done.items()})


def listing(source: Path, suffixes: Collection[str] = (), leave_out: Path | None = None) -> str:
    """A hash of the names, sizes and times of everything below a source, without reading it.

    Args:
        source: a file or a folder.
        suffixes: of the files that count, lower case; all do where there are none.
        leave_out: a folder that does not count, with all below it.
    """
    found = [source] if source.is_file() else sorted(source.rglob("*"))
    rows = [
        (str(path.relative_to(source.parent)), stat.st_size, stat.st_mtime_ns)
        for path in found
        if (not suffixes or path.suffix.lower() in suffixes)
        and (leave_out is None or not path.is_relative_to(leave_out))
        and path.is_file()
        and (stat := path.stat())
    ]
    return fingerprint(rows)
