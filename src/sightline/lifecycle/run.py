"""All of it from a `problem.yaml`: import, audit, split, train, evaluate, export, bench, verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.core.errors import AuditFailed, DatasetError
from sightline.core.files import folder_written_whole, write_json, write_text
from sightline.core.problem import Problem
from sightline.data.dataset import Dataset
from sightline.data.reading import ReadOptions
from sightline.data.split import Split, make_split
from sightline.lifecycle.state import State, held, listing
from sightline.lifecycle.verdict import Figure, Verdict, check_criteria, judge

SPLIT = "run"
STAGES = ("import", "audit", "split", "train", "evaluate", "export", "measure", "bench")
Say = Callable[[str, bool, float], None]


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


def run(problem_path: Path, out: Path | None = None, *, say: Say | None = None) -> Verdict:
    """Carry a problem from its labels to a measured package; stages whose inputs are unchanged are kept.

    Args:
        problem_path: the problem file; paths inside it are relative to its folder.
        out: the workspace; `work/NAME` beside the problem file unless given.
        say: called after each stage with its name, whether it was kept, and its seconds.

    Returns:
        The verdict, also written to `verdict.json` in the workspace.

    Raises:
        ProblemError: the problem file, or a criterion that names nothing measured.
        AuditFailed: findings of level error stand that `data.accept` does not name.
        ParityFailed: the exported file does not answer as the trained model does.
    """
    problem = Problem.load(problem_path)
    check_criteria(problem)
    places = Places(workspace(problem_path, out))
    with held(places.root):
        state = State(places.root, say or (lambda name, kept, seconds: None))
        return _stages(problem, problem_path.parent, places, state)


def workspace(problem_path: Path, out: Path | None) -> Path:
    """The folder a problem is worked on in."""
    return out or problem_path.parent / "work" / Problem.load(problem_path).name


def _stages(problem: Problem, base: Path, places: Places, state: State) -> Verdict:
    source = (base / problem.data.source).absolute()
    if not source.exists():
        raise DatasetError("does not exist", where=source, remedy="mend data.source in the problem file")
    reads: Any = [problem.data.model_dump(exclude={"accept"}), problem.classes, listing(source)]
    key = state.step("import", reads, places.dataset, lambda: _import(problem, source, base, places))
    dataset = Dataset.open(places.dataset)
    reads = [key, problem.data.accept]
    key = state.step("audit", reads, places.audit, lambda: _audit(problem, dataset, places))
    reads, made = [key, problem.split.model_dump()], dataset.root / "splits" / f"{SPLIT}.parquet"
    key = state.step("split", reads, made, lambda: make_split(dataset, problem.split, name=SPLIT).write())
    split = Split.open(made, dataset=dataset)
    problem = _rooted(problem, base)
    reads = [key, problem.tasks, problem.model.model_dump(), problem.train.model_dump()]
    key = state.step("train", reads, places.run, lambda: _train(problem, dataset, split, places))
    state.step("evaluate", key, places.trained, lambda: _evaluate_run(dataset, split, places))
    reads = [key, problem.export.model_dump()]
    key = state.step("export", reads, places.package, lambda: _export(problem, dataset, split, places))
    state.step("measure", key, places.report, lambda: _measure(problem, dataset, split, places))
    state.step("bench", key, places.bench, lambda: _bench(dataset, split, places))
    verdict = judge(problem.criteria, figures(places))
    verdict.write(places.verdict)
    return verdict


def _import(problem: Problem, source: Path, base: Path, places: Places) -> None:
    from sightline.data.importing import import_dataset

    data = problem.data
    media = None if data.media is None else (base / data.media).absolute()
    options = ReadOptions(boxes=data.boxes, visible=data.visible, media=media, rename=dict(data.classes))
    import_dataset(
        source,
        places.dataset,
        data.format,
        options,
        classes=problem.classes,
        drop_limit=data.drop_limit,
        group=data.group,
        fetch=data.fetch,
        replace=True,
    )


def _audit(problem: Problem, dataset: Dataset, places: Places) -> None:
    from sightline.data.audit import audit

    found = audit(dataset)
    with folder_written_whole(places.audit, replace=True) as part:
        write_json(part / "audit.json", found.to_json())
        write_text(part / "audit.html", found.to_html(dataset))
    standing = [finding for finding in found.errors if finding.kind not in problem.data.accept]
    if standing:
        kinds = sorted({finding.kind for finding in standing})
        raise AuditFailed(
            f"{len(standing)} findings of level error stand ({', '.join(kinds)})",
            where=places.audit / "audit.html",
            remedy="mend the labels, or name the kinds in data.accept",
        )


def _rooted(problem: Problem, base: Path) -> Problem:
    """The problem with its weights, where they are a file or a run, named from the root."""
    weights = problem.model.weights
    if weights in ("none", "imagenet"):
        return problem
    model = problem.model.model_copy(update={"weights": str((base / weights).absolute())})
    return problem.model_copy(update={"model": model})


def _train(problem: Problem, dataset: Dataset, split: Split, places: Places) -> None:
    """Train, or go on with a training that was cut short; one of another config is thrown away."""
    from sightline.train.run import CONFIG, Run, config_key
    from sightline.train.training import train

    if (places.run / CONFIG).exists() and Run.open(places.run).config["key"] != config_key(
        problem, dataset, split
    ):
        shutil.rmtree(places.run)
    train(problem, dataset, split, places.run)


def _evaluate_run(dataset: Dataset, split: Split, places: Places) -> None:
    from sightline.evaluate.evaluation import evaluate
    from sightline.train.run import Run

    predictor = Run.open(places.run).predictor()
    evaluate(predictor, dataset, split.part("test"), places.trained, split=split, name="trained", part="test")


def _export(problem: Problem, dataset: Dataset, split: Split, places: Places) -> None:
    from sightline.export.package import export
    from sightline.train.run import Run

    held_out = split.part("val") or split.part("test")
    export(Run.open(places.run), dataset, held_out, places.package, problem.export, replace_old=True)


def _measure(problem: Problem, dataset: Dataset, split: Split, places: Places) -> None:
    from sightline.evaluate.evaluation import evaluate
    from sightline.runtime.loading import load

    predictor = load(places.package)
    evaluate(
        predictor, dataset, split.part("test"), places.report, split=split, name=problem.name, part="test"
    )


def _bench(dataset: Dataset, split: Split, places: Places) -> None:
    from sightline.lifecycle.bench import bench_records

    write_json(places.bench, bench_records(places.package, dataset, split.part("test")))


def figures(places: Places) -> dict[str, Figure]:
    """Everything measured of the package: quality with its intervals, and speed."""
    from sightline.evaluate.report import Report

    report = Report.read(places.report / "report.json")
    found = {name: Figure(e.value, e.low, e.high) for name, e in report.metrics.items()}
    speed: dict[str, float] = json.loads(places.bench.read_text(encoding="utf-8"))
    return found | {name: Figure(value, value, value) for name, value in speed.items()}
