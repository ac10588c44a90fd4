"""`packages/`: the versions of a package, which one is in use, and who changed that when and why.

    packages/versions/3/         packages, never changed once they are here
    packages/runs/3/             the weights, config and split each was made from, to go on from
    packages/current             a link to the version in use; serve this path
    packages/promotions.jsonl    every change of it

`current` is exchanged by one rename, so a reader finds the old version or the new one. A change is written
to the log before it is made; where a process dies in between, the next one finds the link elsewhere than
the log says and writes that down.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sightline.core.errors import PackageError, UsageError
from sightline.core.files import folder_written_whole, refusals, sha256, write_text
from sightline.core.lock import held
from sightline.core.manifest import MANIFEST, Manifest

FOLDER = "packages"
VERSIONS, RUNS, CURRENT, LOG = "versions", "runs", "current", "promotions.jsonl"
# What is kept of a run: enough to name it, to start from it, and to hold out what it held out.
CONFIG, WEIGHTS, SPLIT = "run.json", "best.safetensors", "split.parquet"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
What = Literal["promote", "rollback", "found"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """One change of the version in use.

    Attributes:
        at: when, UTC, ISO 8601.
        what: `promote`, `rollback`, or `found` where the link was not where the log said.
        version: in use from then on; empty for none.
        before: in use until then; empty for none.
        why: in words.
        by: name of the user, empty where the system knows none.
        forced: whether it was promoted against the evidence or without any.
        evidence: what it rested on, plain values.
    """

    at: str
    what: What
    version: str
    before: str
    why: str
    by: str = ""
    forced: bool = False
    evidence: dict[str, Any] = field(default_factory=dict)


def package_mark(package: Path) -> str:
    """16 hexadecimal digits over a package folder: its manifest holds the hashes of its files."""
    return sha256(package / MANIFEST)[:16]


class Packages:
    """The versions of one package.

    Args:
        root: the folder; it need not be there yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def current(self) -> str:
        """The version in use; empty where none is.

        Raises:
            PackageError: `current` is no link to a version.
        """
        link = self.root / CURRENT
        if not link.is_symlink():
            if link.exists():
                raise PackageError(
                    "is no link to a version", where=link, remedy="move it away, promote again"
                )
            return ""
        return link.readlink().name

    def versions(self) -> list[str]:
        """Names of the versions that are kept, 9 before 10."""
        folder = self.root / VERSIONS
        names = (p.name for p in folder.iterdir()) if folder.is_dir() else iter(())
        return sorted((n for n in names if NAME.fullmatch(n)), key=_natural)

    def version(self, name: str) -> Path:
        """Folder of a version; raises UsageError where there is none."""
        if name not in self.versions():
            known = ", ".join(self.versions()) or "none"
            raise UsageError(f"holds no version {name!r}", where=self.root, remedy=f"there are: {known}")
        return self.root / VERSIONS / name

    def run(self, name: str) -> Path:
        """Folder of what is kept of a version's run; it may not be there."""
        return self.root / RUNS / name

    def next_version(self) -> str:
        """A number that no version has."""
        return str(max([int(n) for n in self.versions() if n.isdigit()], default=0) + 1)

    def log(self) -> list[Promotion]:
        """All changes, the oldest first.

        Raises:
            PackageError: a line that is none.
        """
        path = self.root / LOG
        if not path.is_file():
            return []
        found = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                found.append(Promotion(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise PackageError(f"is no promotion ({error})", where=f"{path}:{number}") from error
        return found

    def admit(self, package: Path, run: Path | None = None, split: Path | None = None) -> str:
        """Copy a package among the versions; the version stands in its manifest. Gives its name.

        Args:
            package: a whole package folder; its hashes are verified.
            run: what it was exported from; its weights and config are kept beside it.
            split: file of the split it was trained and held out by.

        Raises:
            PackageError: no whole package, or a version that makes no folder's name.
            UsageError: another package of that version is kept already.
        """
        manifest = Manifest.read(package)
        name = manifest.version
        if not NAME.fullmatch(name):
            raise PackageError(f"version {name!r} makes no folder's name", where=package / MANIFEST)
        target = self.root / VERSIONS / name
        if target.is_dir():
            if package_mark(target) != package_mark(package):
                raise UsageError(
                    f"another package of version {name} is kept already",
                    where=target,
                    remedy=f"export this one again with --version {self.next_version()}",
                )
        else:
            with folder_written_whole(target) as part:
                shutil.copytree(package, part, dirs_exist_ok=True)
                Manifest.read(part)
        if run is not None:
            self._keep_run(name, run, split)
        return name

    def _keep_run(self, name: str, run: Path, split: Path | None) -> None:
        files = {CONFIG: run / CONFIG, WEIGHTS: run / WEIGHTS}
        files |= {SPLIT: split} if split is not None else {}
        with folder_written_whole(self.run(name), replace=True, marker=CONFIG) as part:
            for kept, source in files.items():
                shutil.copyfile(source, part / kept)

    def promote(
        self, name: str, why: str, evidence: Mapping[str, Any] | None = None, *, forced: bool = False
    ) -> Promotion:
        """Put a kept version in use; one that is in use already stays so, and nothing is written.

        Raises:
            UsageError: no such version, or another process changes the packages.
            PackageError: the version's files do not match their hashes.
        """
        with self._held():
            log = self._reconciled()
            if self.current == name:
                return next((p for p in reversed(log) if p.version == name), log[-1])
            return self._switch("promote", name, why, dict(evidence or {}), forced)

    def rollback(self, why: str, to: str | None = None) -> Promotion:
        """Put the version in use that was so before, or one named that was in use once.

        A second rollback goes one further back. The versions themselves stay.

        Raises:
            UsageError: there is none before, or the one named was never in use.
        """
        with self._held():
            past = history(self._reconciled())
            before = [name for name in past[:-1] if name]
            if not before:
                raise UsageError("no version was in use before this one", where=self.root)
            if to is not None and to not in before:
                told = ", ".join(dict.fromkeys(before))
                raise UsageError(f"version {to!r} was not in use before", where=self.root, remedy=told)
            return self._switch("rollback", to or before[-1], why, {}, False)

    def check(self) -> Manifest | None:
        """The manifest of the version in use, its files held to their hashes; None where none is.

        Raises:
            PackageError: it is absent or was changed.
        """
        return Manifest.read(self.root / VERSIONS / self.current) if self.current else None

    @contextmanager
    def _held(self) -> Iterator[None]:
        with held(self.root, "another process changes the packages here", "wait for it, then try again"):
            yield

    def _reconciled(self) -> list[Promotion]:
        """The log, which then says what is in use."""
        log, now = self.log(), self.current
        said = log[-1].version if log else ""
        if said == now:
            return log
        why = "the link was not where the log says: a process ended in between, or it was moved by hand"
        return [*log, self._note("found", now, said, why, {}, False)]

    def _switch(self, what: What, name: str, why: str, evidence: dict[str, Any], forced: bool) -> Promotion:
        Manifest.read(self.version(name))
        done = self._note(what, name, self.current, why, evidence, forced)
        self._point(name)
        return done

    def _note(
        self, what: What, name: str, before: str, why: str, evidence: dict[str, Any], forced: bool
    ) -> Promotion:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        row = Promotion(at, what, name, before, why, _user(), forced, evidence)
        path = self.root / LOG
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        write_text(path, text + json.dumps(asdict(row), ensure_ascii=False, allow_nan=False) + "\n")
        return row

    def _point(self, name: str) -> None:
        link = self.root / CURRENT
        with refusals(link), tempfile.TemporaryDirectory(prefix=".current.", dir=self.root) as beside:
            new = Path(beside) / CURRENT
            new.symlink_to(Path(VERSIONS) / name)
            new.replace(link)
        handle = os.open(self.root, os.O_RDONLY)
        with suppress(OSError):
            os.fsync(handle)
        os.close(handle)


def history(log: list[Promotion]) -> list[str]:
    """Versions in use, the oldest first, as if what was rolled back had never been."""
    stack: list[str] = []
    for row in log:
        if row.what == "rollback" and row.version in stack:
            while stack[-1] != row.version:
                stack.pop()
        elif row.what == "found" and len(stack) > 1 and stack[-2] == row.version:
            stack.pop()  # the last change was written down and not made
        elif not stack or stack[-1] != row.version:
            stack.append(row.version)
    return stack


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(w), "") if w.isdigit() else (-1, w) for w in re.findall(r"\d+|\D+", text)]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
