"""All of it from a `problem.yaml`: import, audit, split, train, evaluate, export, bench, verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from sightline.core.errors import DatasetError, TooMuchDropped
from sightline.core.files import write_json
from sightline.core.lock import held
from sightline.core.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from sightline.core.predictor import AnyPredictor
from sightline.core.problem import ModelSection, Problem, StageSection
from sightline.data.dataset import LEDGER, Dataset
from sightline.data.ledger import Ledger
from sightline.data.reading import ReadOptions
from sightline.data.split import Split, make_split
from sightline.lifecycle.ahead import check_ahead, check_audit, check_split
from sightline.lifecycle.packages import FOLDER, Packages
from sightline.lifecycle.staged import (
    COARSE,
    FINE,
    away_with_another,
    both_stages,
    export_both,
    train_stages,
)
from sightline.lifecycle.state import State, listing
from sightline.lifecycle.verdict import Figure, Verdict, judge
from sightline.runtime.coarse_to_fine import CoarseToFine

SPLIT = "run"
STAGES = ("import", "audit", "split", "train", "evaluate", "export", "measure", "bench")
PICTURES = PICTURE_SUFFIXES | VIDEO_SUFFIXES


@dataclass(frozen=True, slots=True)
class Tell:
    """Whom a run tells what; nobody where it is None.

    Attributes:
        stage: called after each stage with its name, whether it was kept, and its seconds.
        progress: called within a stage with what is being done, how much is done, and the total. Where it
            is given, training writes its own lines to the terminal.
        ledger: called with the import's ledger and the file that holds it, also where too much was dropped.
    """

    stage: Callable[[str, bool, float], None] | None = None
    progress: Callable[[str, int, int], None] | None = None
    ledger: Callable[[Ledger, Path], None] | None = None

    def counting(self, what: str) -> Callable[[int, int], None] | None:
        """Progress of one thing."""
        told = self.progress
        return None if told is None else lambda done, total: told(what, done, total)


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything of one problem is kept."""

    root: Path

    @property
    def dataset(self) -> Path:
        """The checked dataset."""
        return self.root / "dataset"

    @property
    def audit(self) -> Path:
        """`audit.json` and `audit.html`."""
        return self.root / "audit"

    @property
    def run(self) -> Path:
        """The training run."""
        return self.root / "run"

    @property
    def trained(self) -> Path:
        """The report on the trained model, before export."""
        return self.root / "trained"

    @property
    def package(self) -> Path:
        """The package."""
        return self.root / "package"

    @property
    def report(self) -> Path:
        """The report on the package: the one the verdict rests on."""
        return self.root / "report"

    @property
    def bench(self) -> Path:
        """Speed of the package."""
        return self.root / "bench.json"

    @property
    def verdict(self) -> Path:
        """Each criterion, met or not."""
        return self.root / "verdict.json"


def run(problem_path: str | Path, out: str | Path | None = None, *, tell: Tell | None = None) -> Verdict:
    """Carry a problem from its labels to a measured package; stages whose inputs are unchanged are kept.

    Args:
        problem_path: the problem file; paths inside it are relative to its folder.
        out: the workspace; `work/NAME` beside the problem file unless given.
        tell: whom to tell how it goes; nobody unless given.

    Returns:
        The verdict, also written to `verdict.json` in the workspace.

    Raises:
        ProblemError: the problem file, or a metric in it that is not measured.
        TooMuchDropped: the import left out more than `data.drop_limit`.
        AuditFailed: faults or leaks stand that `data.accept` does not name.
        ParityFailed: the exported file does not answer as the trained model does.
    """
    path = Path(problem_path)
    problem = Problem.load(path)
    check_ahead(problem)
    places = Places(workspace(path, out))
    tell = tell or Tell()
    with held(places.root, "another process is at work here", "wait for it, or choose another --out"):
        places.verdict.unlink(missing_ok=True)  # what was said of an older package is not said of this one
        state = State(places.root, tell.stage or (lambda name, kept, seconds: None))
        stages(problem, path.parent, places, state, tell)
        verdict = judge(problem.criteria, figures(places))
        verdict.write(places.verdict)
        return verdict


def workspace(problem_path: str | Path, out: str | Path | None) -> Path:
    """The folder a problem is worked on in."""
    return Path(out) if out else Path(problem_path).parent / "work" / Problem.load(problem_path).name


def stages(problem: Problem, base: Path, places: Places, state: State, tell: Tell) -> None:
    """Go through the stages in order; `state` does each, or only looks (`status`)."""
    reads: Any = [problem.data.model_dump(exclude={"accept"}), problem.classes, _seen(problem, base, places)]
    key = state.step("import", reads, places.dataset, lambda: _import(problem, base, places, tell))
    dataset = Dataset.open(places.dataset)
    reads = [key, problem.data.accept]
    key = state.step(
        "audit",
        reads,
        places.audit,
        partial(check_audit, dataset, places.audit, problem.data.accept, tell.progress),
    )
    reads, made = [key, problem.split.model_dump()], dataset.root / "splits" / f"{SPLIT}.parquet"
    key = state.step("split", reads, made, lambda: _split(problem, dataset, tell))
    split = Split.open(made, dataset=dataset)
    problem, weights = _rooted(problem, base)
    if problem.stages is not None:
        key = train_stages(
            problem, weights, dataset, split, places.run, state, key, tell.progress is not None
        )
    else:
        reads = [key, problem.tasks, problem.model.model_dump(), problem.train.model_dump(), weights]
        key = state.step("train", reads, places.run, lambda: _train(problem, dataset, split, places, tell))
    state.step("evaluate", key, places.trained, lambda: _evaluate_run(problem, dataset, split, places, tell))
    reads = [key, problem.model_dump(include={"name", "why", "target", "criteria", "export", "pipeline"})]
    key = state.step("export", reads, places.package, lambda: _export(problem, dataset, split, places))
    state.step("measure", key, places.report, lambda: _measure(problem, dataset, split, places, tell))
    state.step("bench", key, places.bench, lambda: _bench(dataset, split, places))


def _seen(problem: Problem, base: Path, places: Places) -> list[str]:
    """What the import would read now, as hashes: the labels, and the pictures where they lie elsewhere."""
    source = (base / problem.data.source).absolute()
    if not source.exists():
        raise DatasetError("does not exist", where=source, remedy="mend data.source in the problem file")
    root = places.root.absolute()
    found = [listing(source, leave_out=root)]
    if problem.data.media is not None:
        found.append(listing((base / problem.data.media).absolute(), PICTURES, root))
    elif source.is_file():
        found.append(listing(source.parent, PICTURES, root))
    return found


def _import(problem: Problem, base: Path, places: Places, tell: Tell) -> None:
    from sightline.data.importing import import_dataset

    data = problem.data
    media = None if data.media is None else (base / data.media).absolute()
    options = ReadOptions(data.boxes, data.visible, data.points, media, dict(data.classes))
    told = tell.ledger or (lambda ledger, path: None)
    try:
        _, ledger = import_dataset(
            (base / data.source).absolute(),
            places.dataset,
            data.format,
            options,
            classes=problem.classes,
            drop_limit=data.drop_limit,
            group=data.group,
            fetch=data.fetch,
            replace=True,
            progress=tell.progress,
        )
    except TooMuchDropped as error:
        told(cast(Ledger, error.ledger), places.dataset.with_name(f"{places.dataset.name}.{LEDGER}"))
        raise
    told(ledger, places.dataset / LEDGER)


def _split(problem: Problem, dataset: Dataset, tell: Tell) -> None:
    made = make_split(dataset, problem.split, name=SPLIT, progress=tell.progress)
    check_split(dataset, made, problem.data.accept, tell.progress)
    made.write()


def _rooted(problem: Problem, base: Path) -> tuple[Problem, dict[str, str]]:
    """The problem with its weights named from the root, where they are a file or a run; and their listing."""
    model, seen = _rooted_model(problem.model, base)
    if problem.stages is None:
        return problem.model_copy(update={"model": model}), {"model": seen}
    changes: dict[str, StageSection] = {}
    listings: dict[str, str] = {}
    for name in (COARSE, FINE):
        stage: StageSection = getattr(problem.stages, name)
        own, listings[name] = _rooted_model(stage.model, base)
        changes[name] = stage.model_copy(update={"model": own})
    stages = problem.stages.model_copy(update=changes)
    return problem.model_copy(update={"model": model, "stages": stages}), listings


def _rooted_model(model: ModelSection, base: Path) -> tuple[ModelSection, str]:
    if model.weights in ("none", "imagenet"):
        return model, model.weights
    path = (base / model.weights).absolute()
    return model.model_copy(update={"weights": str(path)}), listing(path)


def _train(problem: Problem, dataset: Dataset, split: Split, places: Places, tell: Tell) -> None:
    """Train, or go on with a training that was cut short; one of another config is thrown away."""
    from sightline.train.run import config_key
    from sightline.train.training import train

    away_with_another(places.run, config_key(problem, dataset, split))
    train(problem, dataset, split, places.run, progress=tell.progress is not None)


def _evaluate_run(problem: Problem, dataset: Dataset, split: Split, places: Places, tell: Tell) -> None:
    from sightline.train.run import Run

    if problem.stages is not None:
        _evaluate(both_stages(places.run, problem), dataset, split, places.trained, "trained", tell)
    else:
        _evaluate(Run.open(places.run).predictor(), dataset, split, places.trained, "trained", tell)


def _export(problem: Problem, dataset: Dataset, split: Split, places: Places) -> None:
    from sightline.export.package import export
    from sightline.train.run import Run

    if problem.stages is not None:
        export_both(places.run, problem, dataset, split, places.package)
        return
    run = Run.open(places.run)
    run.config["problem"] = problem.model_dump(mode="json")  # its words may have changed since it was trained
    version = Packages(places.root / FOLDER).next_version()  # so that it can be promoted beside the others
    export(run, dataset, split.part("val"), places.package, version=version, replace_old=True)


def _measure(problem: Problem, dataset: Dataset, split: Split, places: Places, tell: Tell) -> None:
    from sightline.runtime.loading import load

    _evaluate(load(places.package), dataset, split, places.report, problem.name, tell)


def _evaluate(
    predictor: AnyPredictor, dataset: Dataset, split: Split, out: Path, name: str, tell: Tell
) -> None:
    from sightline.evaluate.evaluation import evaluate

    ids, progress = split.part("test"), tell.counting("evaluate")
    films = isinstance(predictor, CoarseToFine)  # what it deploys is its stream: measured so
    evaluate(
        predictor, dataset, ids, out, split=split, name=name, part="test", films=films, progress=progress
    )


def _bench(dataset: Dataset, split: Split, places: Places) -> None:
    from sightline.lifecycle.bench import bench_records
    from sightline.lifecycle.bench_films import bench_films
    from sightline.runtime.loading import read_manifest

    measure = bench_films if read_manifest(places.package).pipeline else bench_records
    write_json(places.bench, measure(places.package, dataset, split.part("test")))


def figures(places: Places) -> dict[str, Figure]:
    """Everything measured of the package: quality with its intervals, and speed."""
    from sightline.evaluate.report import Report

    report = Report.read(places.report / "report.json")
    found = {name: Figure(e.value, e.low, e.high) for name, e in report.metrics.items()}
    speed: dict[str, float] = json.loads(places.bench.read_text(encoding="utf-8"))
    return found | {name: Figure(value, value, value) for name, value in speed.items()}
