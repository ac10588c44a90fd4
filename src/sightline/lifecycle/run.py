"""All of it from a `problem.yaml`: import, audit, split, train, evaluate, export, bench, verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.core.errors import AuditFailed, DatasetError
from sightline.core.files import write_json
from sightline.core.problem import Problem
from sightline.lifecycle.state import State, held, listing
from sightline.lifecycle.verdict import Figure, Verdict, judge

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset
    from sightline.data.split import Split

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
    reads: Any = [problem.data.model_dump(), problem.classes, listing(source)]
    key = state.step("import", reads, places.dataset, lambda: _import(problem, source, places))
    key = state.step("audit", key, places.audit, lambda: _audit(problem, places))
    dataset, split_file = _open(places), places.dataset / "splits" / "run.parquet"
    key = state.step("split", [key, problem.split.model_dump()], split_file, lambda: _split(problem, dataset))
    split = _open_split(dataset)
    reads = [key, problem.tasks, problem.model.model_dump(), problem.train.model_dump(), _weights(problem, base)]
    key = state.step("train", reads, places.run, lambda: _train(problem, base, dataset, split, places, state))
    state.step("evaluate", key, places.trained, lambda: _evaluate_run(dataset, split, places))
    key = state.step(
        "export", [key, problem.export.model_dump()], places.package, lambda: _export(problem, dataset, split, places)
    )
    state.step("measure", key, places.report, lambda: _measure(dataset, split, places))
    state.step("bench", key, places.bench, lambda: _bench(dataset, split, places))
    verdict = judge(problem.criteria, _figures(places))
    verdict.write(places.verdict)
    return verdict
