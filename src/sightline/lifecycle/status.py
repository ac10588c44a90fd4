"""`status`: how far a problem has come, stage by stage, by the evidence that lies in its workspace."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.error import URLError

from sightline.core.errors import SightlineError
from sightline.core.files import fingerprint
from sightline.core.manifest import Manifest
from sightline.core.problem import Problem
from sightline.data.dataset import HEADER, Dataset, read_header
from sightline.data.split import Split
from sightline.lifecycle.due import Drift, due, fresh_labels
from sightline.lifecycle.packages import FOLDER, SPLIT, Packages, package_mark
from sightline.lifecycle.retrain import DRIFT, descendants, promoted_at
from sightline.lifecycle.run import Places, Tell, stages, workspace
from sightline.lifecycle.shadowing import asked, sentence, shadow_of
from sightline.lifecycle.state import State

Standing = Literal["done", "stale", "failing", "none"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)
# A report on drift that is older than this says little about today, where the problem names no period.
DRIFT_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One of the nine stages.

    Attributes:
        stage: its name.
        state: `done`; `stale`, where what it rests on has changed since; `failing`, where it is not as it
            should be; `none`, where nothing was done yet.
        found: the evidence in words.
        at: when that came to be.
        path: where it lies, or the address that was asked.
    """

    stage: str
    state: Standing
    found: str
    at: datetime | None = None
    path: Path | str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        at = self.at.isoformat(timespec="seconds") if self.at else None
        path = str(self.path) if self.path else None
        return {"stage": self.stage, "state": self.state, "found": self.found, "at": at, "path": path}


class Glance(State):
    """Goes through the stages of `run` and does none: which are on record, and still true."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, lambda name, kept, seconds: None)
        self.found: dict[str, Standing] = {}

    def step(self, name: str, reads: object, makes: Path, make: Callable[[], object]) -> str:
        """Only look; gives the stage's key."""
        key, done = fingerprint([name, reads]), self.record.get(name)
        same = done is not None and done.key == key
        self.found[name] = "none" if done is None or not makes.exists() else "done" if same else "stale"
        return key

    def of(self, *names: str) -> tuple[Standing, datetime | None]:
        """The least of some stages, and when the last of them was done."""
        # What could not be looked at any more, because a stage before it is gone, is stale.
        states: list[Standing] = [
            self.found.get(name, "stale" if name in self.record else "none") for name in names
        ]
        dates = [datetime.fromisoformat(self.record[n].at) for n in names if n in self.record]
        return max(states, key=STANDINGS.index), max(dates, default=None)


@dataclass(slots=True)
class _Look:
    """Where one looks."""

    problem: Problem
    base: Path
    places: Places
    packages: Packages
    glance: Glance
    service: str


def status(problem_path: str | Path, out: str | Path | None = None, *, service: str = "") -> list[Row]:
    """The nine stages of a problem's life; nothing is changed.

    Args:
        problem_path: the problem file.
        out: the workspace; `work/NAME` beside the problem unless given.
        service: address of a running `sightline serve`, to be asked what it serves.

    Raises:
        ProblemError: the problem file.
    """
    problem, base = Problem.load(problem_path), Path(problem_path).parent
    places = Places(workspace(problem_path, out))
    look = _Look(problem, base, places, Packages(places.root / FOLDER), Glance(places.root), service)
    with suppress(SightlineError):  # where it stops, the record tells of that stage and of those after it
        stages(problem, base, places, look.glance, Tell())
    return [_row(name, find, look) for name, find in STAGES.items()]


def _row(name: str, find: Callable[[_Look], Row], look: _Look) -> Row:
    try:
        return find(look)
    except SightlineError as error:
        return Row(name, "failing", str(error))


def _labels(look: _Look) -> Row:
    source = (look.base / look.problem.data.source).absolute()
    if not source.exists():
        return Row("labels", "failing", "the source is not there", None, source)
    files = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
    newest = max((path.stat().st_mtime for path in files), default=source.stat().st_mtime)
    return Row("labels", "done", f"{len(files):,} files", datetime.fromtimestamp(newest, UTC), source)


def _dataset(look: _Look) -> Row:
    state, at = look.glance.of("import", "audit", "split")
    folder, audit = look.places.dataset, look.places.audit / "audit.json"
    if not (folder / HEADER).is_file():
        return Row("checked dataset", "none", "not imported")
    words = [f"fingerprint {read_header(folder)['fingerprint']}"]
    if audit.is_file():
        rows = _json(audit).get("findings", [])
        standing = [
            r for r in rows if r.get("level") == "error" and r.get("kind") not in look.problem.data.accept
        ]
        words.append(f"{len(standing)} findings of level error stand" if standing else "no error stands")
        if standing:
            return Row("checked dataset", "failing", "; ".join(words), _when(audit), audit)
    return Row("checked dataset", state, "; ".join(words), at, folder)


def _trained(look: _Look) -> Row:
    names = ("coarse", "fine") if look.problem.stages is not None else ("train",)
    state, at = look.glance.of(*names)
    if state == "none":
        begun = look.places.run.is_dir()
        return Row("trained model", "none", "begun, not ended" if begun else "not trained")
    return Row("trained model", state, f"{look.problem.model.name}", at, look.places.run)


def _measured(look: _Look) -> Row:
    state, at = look.glance.of("export", "measure", "bench")
    path, page = look.places.verdict, look.places.report / "report.html"
    if not path.is_file():
        return Row("measured model", "stale" if page.is_file() else "none", "no verdict", at)
    rows = _json(path)["criteria"]
    met = sum(row["met"] for row in rows)
    told = f"{met} of {len(rows)} criteria met"
    missed = "; ".join(f"{r['metric']} {r['value']} is not {r['bound']}" for r in rows if not r["met"])
    if missed:
        return Row("measured model", "failing", f"{told}: {missed}", _when(path), page)
    return Row("measured model", state, told, _when(path), page)


def _compressed(look: _Look) -> Row:
    folder = look.packages.root / "current" if look.packages.current else look.places.package
    if not folder.is_dir():
        return Row("compressed model", "none", "no package")
    kinds = sorted({stage.precision for stage in Manifest.read(folder, verify=False).stages.values()})
    if kinds == ["f32"]:
        return Row("compressed model", "none", "not asked for: f32", None, folder)
    return Row("compressed model", "done", ", ".join(kinds), _when(folder / "manifest.json"), folder)


def _deployed(look: _Look) -> Row:
    manifest, link = look.packages.check(), look.packages.root / "current"
    made = look.places.package
    if manifest is None:
        found = "exported, not promoted" if made.is_dir() else "no package"
        return Row("deployed package", "none", found, None, made if made.is_dir() else None)
    words, at = f"version {manifest.version}", promoted_at(look.packages)
    if look.packages.log()[-1].forced:
        words += ", promoted against the evidence"
    kept = {package_mark(look.packages.version(name)) for name in look.packages.versions()}
    if made.is_dir() and package_mark(made) not in kept:
        return Row("deployed package", "stale", f"{words}; `run` has made another since", at, link)
    return Row("deployed package", "done", words, at, link)


def _live(look: _Look) -> Row:
    if not look.service:
        return Row("live service", "none", "not asked; pass --service ADDRESS")
    base = look.service.rstrip("/")
    try:
        served = [str(v) for v in asked(base, f"/v2/models/{look.problem.name}").get("versions", [])]
    except (URLError, OSError, ValueError) as error:
        return Row(
            "live service", "failing", f"does not answer for {look.problem.name} ({error})", None, base
        )
    now, current = datetime.now(UTC), look.packages.current
    if current and current not in served:
        return Row("live service", "stale", f"serves {', '.join(served)}, in use is {current}", now, base)
    words = [f"serves version {', '.join(served)}"]
    shadow = shadow_of(base)
    if shadow is not None and shadow["model"] == look.problem.name:
        words.append(sentence(shadow, current))
    return Row("live service", "done", "; ".join(words), now, base)


def _monitored(look: _Look) -> Row:
    path, champion = look.places.root / DRIFT, look.packages.check()
    drift = Drift.read(path)
    if drift is None:
        return Row("monitored model", "none", "no report; write one with monitor --json", None, path)
    days = look.problem.retrain.every_days or DRIFT_DAYS
    if champion is not None and not drift.about(champion):
        told = f"the report is about {drift.package}, in use is version {champion.version}"
        return Row("monitored model", "stale", told, drift.at, path)
    if drift.drifted:
        return Row("monitored model", "failing", "; ".join(drift.sentences) or "drifted", drift.at, path)
    old = datetime.now(UTC) - drift.at > timedelta(days=days)
    return Row("monitored model", "stale" if old else "done", "not drifted", drift.at, path)


def _better(look: _Look) -> Row:
    champion = look.packages.check()
    if champion is None:
        return Row("better labels", "none", "no version is in use")
    found = descendants(look.places.root, champion.lineage.get("dataset", ""))
    seen = look.packages.run(champion.version) / SPLIT
    if not found or not seen.is_file():
        grown = "grown" in champion.lineage or len(look.packages.versions()) > 1
        told = f"version {champion.version} has learned from all there is"
        return Row("better labels", "done" if grown else "none", told if grown else "no label came since")
    dataset = Dataset.open(found[-1])
    fresh = fresh_labels(dataset, Split.open(seen))
    drift = Drift.read(look.places.root / DRIFT)
    rules = due(look.problem.retrain, champion, promoted_at(look.packages), drift, fresh)
    asked = [rule.name for rule in rules if rule.due]
    told = f"{fresh} records that version {champion.version} has not seen"
    told += f"; a new model is due: {', '.join(asked)}" if asked else ""
    return Row("better labels", "stale", told, _when(dataset.root / HEADER), dataset.root)


STAGES: dict[str, Callable[[_Look], Row]] = {
    "labels": _labels,
    "checked dataset": _dataset,
    "trained model": _trained,
    "measured model": _measured,
    "compressed model": _compressed,
    "deployed package": _deployed,
    "live service": _live,
    "monitored model": _monitored,
    "better labels": _better,
}


def _when(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _json(path: Path) -> dict[str, Any]:
    from sightline.core.errors import DatasetError

    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read ({error})", where=path) from error
    return value
