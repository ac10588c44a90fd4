"""What is served: packages by name and version, swapped without losing a request."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from sightline.core.errors import SightlineError, UsageError
from sightline.runtime.loading import fingerprint
from sightline.serve.batcher import Batcher
from sightline.serve.engine import Engine
from sightline.serve.observing import Observer
from sightline.serve.options import ServeOptions
from sightline.serve.refusals import Refused

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}")
_RETIRE_POLL_S = 0.05
# A package that cannot be loaded is not read again and again; one that was caught half-way is.
MOST_TRIES = 3


class Served:
    """An engine with its queue; requests hold a lease on it, so that it is not closed under them."""

    def __init__(self, name: str, engine: Engine, batcher: Batcher, place: Path) -> None:
        self.name, self.engine, self.batcher, self.place = name, engine, batcher, place
        self._leases = 0

    def __enter__(self) -> Served:
        self._leases += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._leases -= 1

    async def retire(self, within_s: float) -> None:
        """Close once the last lease is given back, or the time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while self._leases and loop.time() < end:
            await asyncio.sleep(_RETIRE_POLL_S)
        self.batcher.close()
        await loop.run_in_executor(None, self.batcher.join, max(0.1, end - loop.time()))


class Models:
    """Every package that is served.

    A place is a package (folder, or `.onnx`), a link to one, or a folder of packages; `name=place` gives a
    package another name than its manifest's. Of several versions, the last one given is the default, and
    in a folder of packages the highest by its version, numbers counted as numbers.

    Args:
        places: as on the command line.
        options: how to serve.
        observer: told of what the models do, and of `model` and `retired` where it has such methods.
    """

    def __init__(self, places: Sequence[str], options: ServeOptions, observer: Observer) -> None:
        self._places, self._options, self._observer = list(places), options, observer
        self._served: dict[tuple[str, str], Served] = {}
        self._default: dict[str, str] = {}
        self._loading = threading.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._faults: dict[Path, str] = {}
        self._tried: dict[tuple[Path, str], int] = {}
        self.ready = False

    @property
    def names(self) -> list[str]:
        """Names of the models, in order."""
        return sorted(self._default)

    def versions(self, name: str) -> list[str]:
        """Versions of a model that are served."""
        return [version for model, version in self._served if model == name]

    @property
    def all(self) -> list[Served]:
        """Everything that is served."""
        return list(self._served.values())

    @property
    def faults(self) -> dict[str, str]:
        """Packages that could not be loaded when they were last looked at, and why."""
        return {place.name: reason for place, reason in self._faults.items()}

    def get(self, name: str, version: str | None = None) -> Served:
        """The model of that name, its default version unless one is named.

        Raises:
            Refused: 404 where there is none, 503 while models are still loaded.
        """
        found, chosen = None, None
        # Packages are swapped by another thread: where that comes between the two looks, look again.
        while found is None and chosen != (now := self._default.get(name) if version is None else version):
            chosen = now
            found = self._served.get((name, chosen or ""))
        if found is not None:
            return found
        if not self.ready:
            raise Refused(503, "loading", "models are being loaded", retry_after_s=1)
        shown = f"{name[:80]!r}" + (f" version {version[:80]!r}" if version is not None else "")
        raise Refused(404, "unknown_model", f"no model is called {shown}; served: {', '.join(self.names)}")

    def load(self) -> None:
        """Load everything, in this thread; what fails at the start stops the service.

        Raises:
            SightlineError: a package that is none, or two of one name and version.
        """
        with self._loading:
            for name, place in self._found():
                self._put(self._open(name, place), strict=True)
            if not self._served:
                raise UsageError("no package is served", remedy="name a package folder")
            self.ready = True

    def changes(self) -> list[Callable[[], Served | None]]:
        """What has to be done so that what is served is what is on disk; each loads in any thread.

        A step returns what it replaced, to be retired on the event loop. A package that cannot be loaded
        leaves the one in service as it is, and is named in `faults`.
        """
        steps: list[Callable[[], Served | None]] = []
        seen: set[Path] = set()
        by_place = {served.place: served for served in self._served.values()}
        for name, place in self._found(strict=False):
            seen.add(place)
            try:
                now = fingerprint(place)
            except SightlineError:
                continue  # in the middle of being replaced: the next look finds it
            served = by_place.get(place)
            tried = self._tried.get((place, now), 0)
            if tried < MOST_TRIES and (served is None or served.engine.fingerprint != now):
                self._tried[place, now] = tried + 1
                steps.append(lambda n=name, p=place, old=served: self._step(n, p, old))  # type: ignore[misc]
        gone = [s for p, s in by_place.items() if p not in seen and not p.exists()]
        if len(gone) < len(self._served):  # never the last one: an unmounted disk should not stop the service
            steps += [lambda old=served: self._drop(old) for served in gone]  # type: ignore[misc]
        return steps

    async def refresh(self) -> list[str]:
        """Load what changed and swap it in; the names of the models that were swapped."""
        loop = asyncio.get_running_loop()
        names = []
        for step in await loop.run_in_executor(None, self.changes):
            before = set(self._served.values())
            old = await loop.run_in_executor(None, step)
            names += [served.name for served in set(self._served.values()) - before]
            if old is not None:
                task = loop.create_task(old.retire(self._options.drain_s))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
        return names

    async def close(self, within_s: float) -> None:
        """Answer what is queued, then end every thread."""
        await asyncio.gather(*(served.retire(within_s) for served in self.all), *self._retiring)

    def _step(self, name: str, place: Path, old: Served | None) -> Served | None:
        with self._loading:
            try:
                new = self._open(name, place)
            except (SightlineError, OSError) as error:
                self._faults[place] = str(error)
                return None
            self._faults.pop(place, None)
            self._tried.pop((place, new.engine.fingerprint), None)  # it may come back: a roll-back, twice
            self._put(new, strict=False)
            if old is not None and (old.name, old.engine.version) != (new.name, new.engine.version):
                self._remove(old)
            return old

    def _drop(self, old: Served) -> Served:
        with self._loading:
            self._remove(old)
        return old

    def _remove(self, old: Served) -> None:
        key = (old.name, old.engine.version)
        if self._served.get(key) is old:
            del self._served[key]
        left = self.versions(old.name)
        if not left:
            self._default.pop(old.name, None)
        elif self._default.get(old.name) == old.engine.version:
            self._default[old.name] = left[-1]
        _tell(self._observer, "retired", old)

    def _open(self, name: str, place: Path) -> Served:
        engine = Engine(place, self._options, name)
        if not NAME.fullmatch(engine.name):
            raise UsageError(
                f"name {engine.name!r} does not go into an address", where=place,
                remedy="serve it under another: NAME=PACKAGE",
            )  # fmt: skip
        return Served(engine.name, engine, Batcher(engine, self._options, self._observer), place)

    def _put(self, new: Served, *, strict: bool) -> None:
        key = (new.name, new.engine.version)
        if strict and key in self._served:
            raise UsageError(
                f"serves {new.name!r} version {new.engine.version!r} a second time", where=new.place
            )
        self._served[key] = new
        self._default[new.name] = new.engine.version
        _tell(self._observer, "model", new)

    def _found(self, *, strict: bool = True) -> list[tuple[str, Path]]:
        """Name (empty: the manifest's) and place of every package there is now."""
        found: list[tuple[str, Path]] = []
        for text in self._places:
            name, _, rest = text.rpartition("=")
            place = Path(rest)
            if place.is_dir() and not (place / "manifest.json").exists():
                inside = [p for p in place.iterdir() if (p / "manifest.json").is_file()]
                inside = [p for p in inside if not p.name.startswith(".")]
                if not inside and strict:
                    raise UsageError("holds no package", where=place)
                found += [(name, p) for p in sorted(inside, key=lambda p: natural(p.name))]
            else:
                found.append((name, place))
        return found


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts 9 before 10."""
    return [(int(w), "") if w.isdigit() else (-1, w) for w in re.findall(r"\d+|\D+", text)]


def _tell(observer: Observer, what: str, served: Served) -> None:
    """`model` and `retired` are for observers that list versions; others lack them."""
    call = getattr(observer, what, None)
    if call is not None:
        stage = next(iter(served.engine.manifest.stages.values()))
        call(served.name, served.engine.version, stage.sha256[:16])
