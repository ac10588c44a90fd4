"""`retrain`: a challenger from the champion's weights and a dataset that has grown, where one is due."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sightline.core.errors import DatasetError, ProblemError, PromotionRefused, UsageError
from sightline.core.files import fingerprint
from sightline.core.lock import held
from sightline.core.manifest import Manifest
from sightline.core.problem import Problem, ShadowSection
from sightline.data.dataset import HEADER, Dataset
from sightline.data.split import Split
from sightline.data.split_growing import grown_split
from sightline.lifecycle.ahead import check_ahead, check_audit, check_split
from sightline.lifecycle.challenge import Challenge, challenge, promote
from sightline.lifecycle.comparing import ROUNDS
from sightline.lifecycle.due import Drift, Rule, due, fresh_labels
from sightline.lifecycle.packages import CONFIG, FOLDER, SPLIT, Packages, Promotion
from sightline.lifecycle.run import Places, Tell, workspace

RETRAIN, DRIFT, NAME = "retrain", "drift.json", "retrain"

Train = Callable[[Problem, Dataset, Split, Path, Path, str, Tell], None]


@dataclass(frozen=True, slots=True)
class Retrained:
    """What a retraining came to.

    Attributes:
        rules: of the problem, due or not.
        champion: version in use when it began.
        dataset: folder of the grown dataset, None where there is none.
        fresh: records in it that the champion has not seen.
        challenge: what was found of the challenger; None where it stayed with telling.
        promotion: the change, where it was promoted.
        refused: why it was not, where that was asked for.
    """

    rules: tuple[Rule, ...]
    champion: str
    dataset: Path | None
    fresh: int
    challenge: Challenge | None = None
    promotion: Promotion | None = None
    refused: str = ""

    @property
    def due(self) -> bool:
        """Whether any rule asks for a new model."""
        return any(rule.due for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `retrain` is to do.

    Attributes:
        dataset: the grown dataset; the newest descendant of the champion's in the workspace unless given.
        challenger: a package to compare in place of one to be trained.
        drift: a report of `monitor --json`; `drift.json` in the workspace unless given.
        dry_run: only tell.
        if_due: train only where a rule is due and the problem says `retrain.automatic`, as a timer should.
        promote: promote the challenger if it may be; `retrain.promote` in the problem says so too.
        rounds: bootstrap resamples behind the comparison.
    """

    dataset: Path | None = None
    challenger: Path | None = None
    drift: Path | None = None
    dry_run: bool = False
    if_due: bool = False
    promote: bool = False
    rounds: int = ROUNDS


@dataclass(slots=True)
class _Job:
    """The champion and what it is to be replaced from."""

    problem: Problem
    places: Places
    packages: Packages
    champion: Manifest
    seen: Split
    tell: Tell = field(default_factory=Tell)

    @property
    def weights(self) -> Path:
        return self.packages.run(self.champion.version)


def retrain(
    problem_path: str | Path,
    out: str | Path | None = None,
    wanted: Wanted | None = None,
    *,
    tell: Tell | None = None,
    train: Train | None = None,
) -> Retrained:
    """Train a challenger from the champion's weights on the grown dataset and compare the two.

    What the champion held out stays held out; new records are divided by the problem's own rule. The
    challenger is promoted only where that was asked for, every criterion is met, and nothing is
    significantly worse on the held-out records, old and new.

    Args:
        problem_path: the problem file.
        out: the workspace; `work/NAME` beside the problem unless given.
        wanted: what to do.
        tell: whom to tell how it goes.
        train: makes the challenger's run and package; training and export unless given.

    Raises:
        UsageError: no version is in use yet, or several datasets could be meant.
        DatasetError: no grown dataset, or one that has nothing to do with the champion's.
        AuditFailed: faults or leaks in the grown dataset that `data.accept` does not name.
        TrainingFailed, ParityFailed: as `train` and `export` do.
    """
    problem, wanted = Problem.load(problem_path), wanted or Wanted()
    check_ahead(problem)
    places = Places(workspace(problem_path, out))
    packages = Packages(places.root / FOLDER)
    with held(places.root / RETRAIN, "another process retrains here", "wait for it, then try again"):
        job = _job(problem, places, packages, tell or Tell())
        dataset = _dataset(job, wanted)
        fresh = fresh_labels(dataset, job.seen) if dataset is not None else 0
        report = Drift.read(wanted.drift or places.root / DRIFT)
        rules = tuple(due(problem.retrain, job.champion, promoted_at(packages), report, fresh))
        told = Retrained(rules, packages.current, dataset.root if dataset else None, fresh)
        if wanted.dry_run or (wanted.if_due and not (told.due and problem.retrain.automatic)):
            return told
        if dataset is None:
            raise DatasetError(
                "no dataset was made from the champion's",
                where=places.root,
                remedy="import new labels onto its dataset, or name one with --dataset",
            )
        found = _challenge(job, dataset, wanted, train or train_challenger)
    return _ended(told, job, found, wanted)


def _ended(told: Retrained, job: _Job, found: Challenge, wanted: Wanted) -> Retrained:
    """Promote, where that was asked for."""
    rules, champion, dataset, fresh = told.rules, told.champion, told.dataset, told.fresh
    if not (wanted.promote or job.problem.retrain.promote):
        return Retrained(rules, champion, dataset, fresh, found)
    try:
        why = f"retrained on {fresh} new records"
        done = promote_package(job.places, found.package, why=why, wanted=job.problem.retrain.shadow)
    except PromotionRefused as error:
        return Retrained(rules, champion, dataset, fresh, found, refused=error.what)
    return Retrained(rules, champion, dataset, fresh, found, done)


def _job(problem: Problem, places: Places, packages: Packages, tell: Tell) -> _Job:
    champion = packages.check()
    if champion is None:
        raise UsageError(
            "no version is in use, so there is nothing to go on from",
            where=packages.root,
            remedy="put one in use with: sightline promote PROBLEM",
        )
    path = packages.run(champion.version) / SPLIT
    if not path.is_file():
        raise UsageError(
            f"version {champion.version} was kept without its run, so nothing can go on from it",
            where=packages.root,
            remedy="promote a package with the run it was exported from",
        )
    return _Job(problem, places, packages, champion, Split.open(path), tell)


def promoted_at(packages: Packages) -> datetime:
    """When the version in use came into use."""
    return datetime.fromisoformat(packages.log()[-1].at)


def _dataset(job: _Job, wanted: Wanted) -> Dataset | None:
    """The dataset to train on; with a challenger at hand the champion's own will do."""
    if wanted.dataset is not None:
        return Dataset.open(wanted.dataset)
    base = job.champion.lineage.get("dataset", "")
    found = descendants(job.places.root, base)
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} datasets were made from the champion's: {', '.join(p.name for p in found)}",
            where=job.places.root,
            remedy="name one with --dataset",
        )
    if found:
        return Dataset.open(found[0])
    own = job.places.dataset
    if wanted.challenger is not None and (own / HEADER).is_file():
        return Dataset.open(own)
    return None


def descendants(root: Path, base: str) -> list[Path]:
    """The youngest datasets below a workspace that were made from one with this fingerprint.

    Args:
        root: the workspace; datasets lie in it or in one of its folders.
        base: fingerprint of the ancestor.
    """
    from sightline.data.dataset import read_header

    headers = {
        p.parent: read_header(p.parent) for p in (*root.glob(f"*/{HEADER}"), *root.glob(f"*/*/{HEADER}"))
    }
    children: dict[str, list[Path]] = {}
    for folder, header in headers.items():
        if header.get("parent"):
            children.setdefault(str(header["parent"]), []).append(folder)
    leaves, waiting, met = [], [base], {base}
    while waiting:
        mark = waiting.pop()
        for folder in children.get(mark, []):
            own = str(headers[folder]["fingerprint"])
            if own not in children:
                leaves.append(folder)
            elif own not in met:
                met.add(own)
                waiting.append(own)
    return sorted(leaves)


def _challenge(job: _Job, dataset: Dataset, wanted: Wanted, train: Train) -> Challenge:
    problem, tell = job.problem, job.tell
    version = job.packages.next_version()
    folder = job.places.root / RETRAIN / version
    if wanted.challenger is None:
        check_audit(dataset, folder / "audit", problem.data.accept, tell.progress)
    split = _split(job, dataset)
    if wanted.challenger is None:
        train(problem, dataset, split, folder, job.weights, version, tell)
    package = wanted.challenger or folder / "package"
    found = challenge(
        problem, job.packages, package, dataset, split, job.seen, rounds=wanted.rounds, tell=tell
    )
    found.write()
    return found


def _split(job: _Job, dataset: Dataset) -> Split:
    """The champion's split gone on with; its own where the dataset is its own."""
    if dataset.fingerprint == job.seen.dataset:
        return job.seen
    split = grown_split(dataset, job.seen, job.problem.split, name=NAME, progress=job.tell.progress)
    check_split(dataset, split, job.problem.data.accept, job.tell.progress)
    split.write()
    return split


def train_challenger(
    problem: Problem, dataset: Dataset, split: Split, folder: Path, weights: Path, version: str, tell: Tell
) -> None:
    """Train `folder/run` from weights, and export it to `folder/package`.

    Args:
        problem: with its `retrain` section.
        dataset: to train on.
        split: of it.
        folder: of the challenger; a training of the same config that was cut short is gone on with.
        weights: a run folder.
        version: of the package.
        tell: whom to tell how it goes.

    Raises:
        ProblemError: a problem of several stages.
    """
    from sightline.export.package import export
    from sightline.lifecycle.staged import away_with_another
    from sightline.train.run import config_key
    from sightline.train.training import train

    asked = asked_of(problem, weights)
    away_with_another(folder / "run", config_key(asked, dataset, split))
    run = train(asked, dataset, split, folder / "run", progress=tell.progress is not None)
    export(run, dataset, split.part("val"), folder / "package", version=version, replace_old=True)


def asked_of(problem: Problem, weights: Path) -> Problem:
    """The problem of a challenger: the same, from the champion's weights and as `retrain` says.

    Raises:
        ProblemError: a problem of several stages.
    """
    if problem.stages is not None:
        raise ProblemError(
            "retrains one network, this problem has stages",
            where=problem.name,
            remedy="train anew with sightline run, then compare with: sightline retrain --challenger PACKAGE",
        )
    section = problem.retrain
    changes = {"epochs": section.epochs, "lr": section.lr}
    train = problem.train.model_copy(update={k: v for k, v in changes.items() if v is not None})
    model = problem.model.model_copy(update={"weights": str(weights.absolute())})
    return problem.model_copy(update={"model": model, "train": train})


def promote_package(
    places: Places,
    package: Path | None = None,
    *,
    why: str = "",
    force: bool = False,
    wanted: ShadowSection | None = None,
    shadow: Mapping[str, Any] | None = None,
) -> Promotion:
    """Promote a package of a workspace, with the run and split it comes from.

    Args:
        places: of the workspace.
        package: the one that `run` made unless given; the run beside it is kept with it.
        why: for the log.
        force: against the evidence.
        wanted: what it must have done as a shadow.
        shadow: what it did, as `shadowing.shadow_of` gave it.

    Raises:
        PromotionRefused: as `challenge.promote`.
    """
    package = package or places.package
    run = package.parent / "run"
    split = split_of(run)
    kept = run if split is not None and _made_by(package, run) else None
    packages = Packages(places.root / FOLDER)
    return promote(
        packages, package, run=kept, split=split, why=why, force=force, wanted=wanted, shadow=shadow
    )


def split_of(run: Path) -> Path | None:
    """The file of the split a run was trained by; None where it is not there any more.

    Raises:
        DatasetError: a run whose config is damaged.
    """
    if not (run / CONFIG).is_file():
        return None
    config = _config(run)
    path = Path(config["dataset"]["path"]) / "splits" / f"{config['split']['name']}.parquet"
    same = path.is_file() and Split.open(path).fingerprint == config["split"]["fingerprint"]
    return path if same else None


def _made_by(package: Path, run: Path) -> bool:
    """Whether a package was exported from a run; as `Run.fingerprint`, without torch."""
    return Manifest.read(package).lineage.get("run") == fingerprint(_config(run)["key"])


def _config(run: Path) -> dict[str, Any]:
    path = run / CONFIG
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if {"dataset", "split", "key"} <= value.keys():
            return value
    except (OSError, ValueError, AttributeError) as error:
        raise DatasetError(f"cannot be read ({error!r})", where=path) from error
    raise DatasetError("is no run's config", where=path)
