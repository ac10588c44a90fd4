"""`sightline evaluate`: measure a run or a package on a part of a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from sightline.core.predictor import AnyPredictor
    from sightline.evaluate.bootstrap import Difference
    from sightline.evaluate.report import Report


def command(
    model: Annotated[Path, typer.Argument(help="folder of a run or a package, or a single .onnx")],
    dataset: Annotated[Path, typer.Argument(help="dataset folder")],
    split: Annotated[str | None, typer.Option(help="name of the split; else the only one there is")] = None,
    part: Annotated[str, typer.Option(help="train, val, test, or all records")] = "test",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="folder of report.html and .json")] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="resamples behind the intervals; 0: none")] = 1000,
    gallery: Annotated[int, typer.Option(min=0, help="best and worst pictures shown, of each")] = 6,
    batch: Annotated[int, typer.Option(min=1, help="samples handed over at once")] = 8,
    seed: Annotated[int, typer.Option(help="of the resamples")] = 0,
    against: Annotated[
        Path | None, typer.Option(help="another run or package, compared on the same samples")
    ] = None,
    every: Annotated[bool, typer.Option("--every", help="print every figure, not the headlines")] = False,
) -> None:
    """Measure a run or a package; writes report.html and report.json where --out says.

    Intervals are 95%, from resampling whole groups (videos, sessions) of the part.
    """
    from rich.console import Console

    from sightline.cli.bars import bars
    from sightline.cli.splits import named_split
    from sightline.data.dataset import Dataset
    from sightline.evaluate.evaluation import evaluate, scored
    from sightline.evaluate.scores import compare

    opened = Dataset.open(dataset)
    chosen: Any = None if part == "all" else named_split(opened, split)
    ids = [r.id for r in opened.records] if chosen is None else chosen.part(part)
    predictor = open_predictor(model)
    rival = open_predictor(against) if against is not None else None
    with bars(Console(stderr=True)) as show:
        report = evaluate(
            predictor,
            opened,
            ids,
            out,
            bootstrap=bootstrap,
            gallery=gallery,
            split=chosen,
            seed=seed,
            batch=batch,
            name=model.name,
            part=part,
            films=in_films(predictor),
            progress=lambda done, total: show("evaluate", done, total),
        )
        other = (
            scored(
                rival,
                opened,
                ids,
                batch=batch,
                films=in_films(rival),
                progress=lambda d, n: show("against", d, n),
            )
            if rival is not None
            else None
        )
    console = Console()
    console.print(table_of(report, every=every))
    if other is not None and report.scores is not None and against is not None:
        found = compare(report.scores, other, bootstrap or 1000, seed)
        alike = model.name == against.name
        one, two = (str(model), str(against)) if alike else (model.name, against.name)
        console.print(difference_table(found, one, two, every=every))
    for line in remarks(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        console.print(f"report: {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def open_predictor(path: Path) -> AnyPredictor:
    """The predictor of a package, a single .onnx, or a run of one stage or two (its best weights).

    Raises:
        UsageError: the folder is neither.
    """
    from sightline.core.errors import UsageError
    from sightline.core.manifest import MANIFEST

    if path.is_file() or (path / MANIFEST).is_file():
        from sightline.runtime.loading import load

        return load(path)
    if not path.is_dir():
        raise UsageError("is no folder of a run or a package", where=path)
    from sightline.train.stages import STAGES

    if (path / STAGES).is_file():
        from sightline.lifecycle.staged import both_stages

        return both_stages(path)
    from sightline.train.run import Run

    return Run.open(path).predictor()


def in_films(predictor: AnyPredictor) -> bool:
    """Whether a predictor is measured over whole films: of two stages it is their stream that is deployed."""
    from sightline.runtime.coarse_to_fine import CoarseToFine

    return isinstance(predictor, CoarseToFine)


def table_of(report: Report, *, every: bool = False) -> Table:
    """Figures with intervals and directions."""
    from rich.table import Table

    from sightline.evaluate.metrics import MEASURES

    table = Table(title=f"{report.context['model']} on {report.context['part'] or report.context['dataset']}")
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("95% interval", justify="right")
    table.add_column("better")
    for name, estimate in report.metrics.items():
        measure = MEASURES[name]
        if not (every or measure.headline):
            continue
        span = f"{estimate.low:.4g} to {estimate.high:.4g}" if estimate.low < estimate.high else ""
        value = f"{estimate.value:.4g} {measure.unit}".strip()
        table.add_row(name, value, span, "higher" if measure.higher else "lower")
    return table


def difference_table(found: dict[str, Difference], one: str, two: str, *, every: bool = False) -> Table:
    """What the first model has over the second, by paired bootstrap."""
    from rich.table import Table

    from sightline.evaluate.metrics import MEASURES

    table = Table(title=f"{one} minus {two}, paired")
    for column in ("metric", "difference", "95% interval", "p", "better"):
        table.add_column(column, justify="left" if column in ("metric", "better") else "right")
    for name, gap in found.items():
        if every or MEASURES[name].headline:
            better = {1: one, -1: two, 0: "cannot be said"}[gap.better]
            span = f"{gap.low:+.4g} to {gap.high:+.4g}"
            table.add_row(name, f"{gap.value:+.4g}", span, f"{gap.p:.3f}", better)
    return table


def remarks(report: Report) -> list[str]:
    """What a reader of the figures should know: samples, groups, leakage, classes the model lacks."""
    from sightline.evaluate.bootstrap import FEW_GROUPS

    lines = [
        f"{task}: {n['samples']} samples in {n['groups']} groups"
        + (f", {n['without_truth']} without truth left out" if n["without_truth"] else "")
        for task, n in report.context["tasks"].items()
    ]
    if report.context["without_partner"]:
        lines.append(
            f"{report.context['without_partner']} records without a partner of the other sensor left out"
        )
    lines += [
        f"{task}: {n['groups']} groups are too few for an interval to be trusted"
        for task, n in report.context["tasks"].items()
        if report.context["bootstrap"] and n["groups"] < FEW_GROUPS
    ]
    if report.leakage:
        lines.append(f"leakage: {report.leakage['text']}")
    if report.context["classes_unknown_to_model"]:
        lines.append(f"the model knows nothing of: {', '.join(report.context['classes_unknown_to_model'])}")
    return lines
