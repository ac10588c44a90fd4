"""A challenger held against the problem's criteria and against the champion: may it take its place?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.core.errors import DatasetError, PromotionRefused
from sightline.core.files import write_json
from sightline.core.problem import Problem, ShadowSection
from sightline.lifecycle.comparing import ROUNDS, Comparison, compare_on
from sightline.lifecycle.packages import Packages, Promotion, package_mark
from sightline.lifecycle.shadowing import weighed
from sightline.lifecycle.verdict import Figure, Verdict, judge

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset
    from sightline.data.split import Split
    from sightline.lifecycle.run import Tell

FOLDER = "comparison"
COMPARISON, VERDICT = f"{FOLDER}/comparison.json", "verdict.json"
OLD, NEW = "old", "new"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What was found of a challenger.

    Attributes:
        package: its folder.
        champion: version it was compared with.
        dataset: fingerprint of the dataset both were measured on.
        comparison: figure by figure, on what was held out before and on what came since.
        verdict: the problem's criteria on all of it.
    """

    package: Path
    champion: str
    dataset: str
    comparison: Comparison
    verdict: Verdict

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why it must not be promoted; empty where it may."""
        missed = [
            f"{row.criterion.metric} is {row.figure.value:.4g}, wanted {row.criterion}"
            + (" at the worse end of its interval" if row.criterion.interval else "")
            for row in self.verdict.rows
            if not row.met
        ]
        lost = [f"{name} is not defined any more" for name in self.comparison.lost]
        return (*missed, *(str(row) for row in self.comparison.worse), *lost)

    @property
    def promotable(self) -> bool:
        """Whether every criterion is met and nothing is significantly worse."""
        return not self.refusals

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "package": package_mark(self.package),
            "champion": self.champion,
            "dataset": self.dataset,
            "promotable": self.promotable,
            "refusals": list(self.refusals),
            "comparison": self.comparison.to_json(),
            "verdict": self.verdict.to_json(),
        }

    def write(self) -> Path:
        """Write `comparison/comparison.json` beside the package; gives where it is."""
        path = self.package.parent / COMPARISON
        write_json(path, self.to_json())
        return path


def challenge(
    problem: Problem,
    packages: Packages,
    package: Path,
    dataset: Dataset,
    split: Split,
    seen: Split,
    *,
    rounds: int = ROUNDS,
    tell: Tell | None = None,
) -> Challenge:
    """Measure a challenger, and compare it with the champion on the same records.

    Args:
        problem: its criteria decide.
        packages: where the champion is.
        package: the challenger.
        dataset: holds the truth.
        split: its `test` part is measured.
        seen: the champion's own split: what its `test` part held out is the old set, the rest the new one.
        rounds: bootstrap resamples of whole groups.
        tell: whom to tell how it goes.

    Raises:
        DatasetError: nothing that the champion was measured on is there.
        PackageError: a package that is not whole.
    """
    from sightline.evaluate.evaluation import evaluate
    from sightline.runtime.coarse_to_fine import CoarseToFine
    from sightline.runtime.loading import load

    ids = split.part("test")
    old = [i for i in ids if seen.parts.get(i) == "test"]
    if not old:
        raise DatasetError(
            "holds nothing that the champion was measured on", where=dataset.root, remedy="grow its dataset"
        )
    # A record that the champion learned from is no fair question to it, nor one that tells of the new.
    sets = {OLD: old, NEW: [i for i in ids if i not in seen.parts]}
    champion, challenger = load(packages.version(packages.current)), load(package)
    films = isinstance(challenger, CoarseToFine)
    out = package.parent / FOLDER
    counting = tell.counting("evaluate") if tell else None
    report = evaluate(
        challenger,
        dataset,
        ids,
        out,
        split=split,
        name=problem.name,
        part="test",
        films=films,
        progress=counting,
    )
    found = {name: Figure(e.value, e.low, e.high) for name, e in report.metrics.items()}
    found |= _speed(problem, package, dataset, ids)
    metrics = [criterion.metric for criterion in problem.criteria]
    compared = compare_on(
        champion,
        challenger,
        dataset,
        sets,
        metrics,
        rounds=rounds,
        least=problem.export.metric_tolerance,  # what an exported file may differ by from its own network
        films=films,
        progress=tell.progress if tell else None,
    )
    return Challenge(package, packages.current, dataset.fingerprint, compared, judge(problem.criteria, found))


def _speed(problem: Problem, package: Path, dataset: Dataset, ids: list[str]) -> dict[str, Figure]:
    """Speed, where a criterion asks for it: it takes a minute."""
    if not any(criterion.metric.startswith("bench.") for criterion in problem.criteria):
        return {}
    from sightline.lifecycle.bench import bench_records
    from sightline.lifecycle.bench_films import bench_films
    from sightline.runtime.loading import read_manifest

    measure = bench_films if read_manifest(package).pipeline else bench_records
    return {name: Figure(value, value, value) for name, value in measure(package, dataset, ids).items()}


def promote(
    packages: Packages,
    package: Path,
    *,
    run: Path | None = None,
    split: Path | None = None,
    why: str = "",
    force: bool = False,
    wanted: ShadowSection | None = None,
    shadow: Mapping[str, Any] | None = None,
) -> Promotion:
    """Put a package in use, if the evidence beside it speaks for it.

    The first of all needs `verdict.json` with every criterion met, any later one
    `comparison/comparison.json` with the version in use, as `Challenge.write` wrote it, and what it did as
    a shadow where that is wanted.

    Args:
        packages: where it goes.
        package: its folder.
        run: what it was exported from, to be kept with it.
        split: the split it was held out by.
        why: in words, for the log.
        force: without or against the evidence; `why` must then say why.
        wanted: what it must have done as a shadow.
        shadow: what it did, as `shadowing.shadow_of` gave it.

    Raises:
        PromotionRefused: no evidence, or evidence against it.
        PackageError: the package is not whole.
        UsageError: its version is kept already with another content; or forced without a reason.
    """
    evidence, refusals = _evidence(packages.current, package)
    if packages.current:
        told, against = weighed(wanted, shadow, package_mark(package), packages.current)
        evidence, refusals = evidence | ({"shadow": told} if told else {}), refusals + against
    if refusals and not (force and why):
        raise PromotionRefused(
            "; ".join(refusals),
            where=package,
            remedy="nothing was changed; --force with --why promotes it all the same, and says so in the log",
        )
    name = packages.admit(package, run, split)
    return packages.promote(name, why or "promoted", evidence, forced=bool(refusals))


def _evidence(champion: str, package: Path) -> tuple[dict[str, Any], list[str]]:
    """What lies beside a package, for the log, and what speaks against it."""
    value = _read(package.parent / (COMPARISON if champion else VERDICT))
    if value is None:
        what = f"compared with version {champion}, which is in use" if champion else "held to the criteria"
        how = "sightline retrain PROBLEM --challenger PACKAGE" if champion else "sightline run PROBLEM"
        return {}, [f"was not {what} (do so with: {how})"]
    if not champion:
        told = [
            f"{r['metric']} is {r['value']}, wanted {r['bound']}" for r in value["criteria"] if not r["met"]
        ]
        return {"verdict": value}, told
    if value["package"] != package_mark(package):
        return {}, ["the comparison beside it is of another package"]
    if value["champion"] != champion:
        return {}, [f"it was compared with version {value['champion']}, in use is {champion}"]
    return {"comparison": value}, list(value["refusals"])


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        value: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read ({error})", where=path) from error
    return value
