"""Any predictor held against a dataset: a trained model, a package, a remote service, by one code path."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.core.errors import DatasetError, ModelError, UsageError
from sightline.core.files import fingerprint
from sightline.core.predictor import AnyPredictor, Inputs, Predictor
from sightline.core.records import Sample
from sightline.core.results import Result
from sightline.evaluate.bootstrap import interval
from sightline.evaluate.metrics.base import Values
from sightline.evaluate.metrics.detect import Detect
from sightline.evaluate.report import Report
from sightline.evaluate.scores import Scores

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset
    from sightline.data.split import Split

Progress = Callable[[int, int], None]
AHEAD = 3


def score(
    predictor: AnyPredictor,
    dataset: Dataset,
    ids: Sequence[str],
    *,
    batch: int = 8,
    workers: int = 2,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Figures alone by `task.metric`, for a validation between epochs: no interval, no page.

    Args:
        predictor: what is measured.
        dataset: holds the truth.
        ids: records to measure on.
        batch: samples handed over at once.
        workers: threads that read pictures ahead.
        progress: called with samples done and in all.

    Raises:
        DatasetError: no sample, or no truth for any task of the predictor.
    """
    return scored(predictor, dataset, ids, batch=batch, workers=workers, progress=progress).values()


def scored(
    predictor: AnyPredictor,
    dataset: Dataset,
    ids: Sequence[str],
    *,
    batch: int = 8,
    workers: int = 2,
    films: bool = False,
    progress: Progress | None = None,
) -> Scores:
    """The statistics behind `score`, to be compared, resampled or reported; arguments as there."""
    scores = Scores.of(predictor.signature, dataset.classes)
    done = 0
    if films:
        from sightline.evaluate.films import in_order

        found = in_order(predictor, dataset, ids)
    else:
        found = predicted(predictor, dataset, ids, batch=batch, workers=workers)
    for sample, results in found:
        scores.add(sample.target, results, dataset.read_map)
        done += 1
        if progress:
            progress(done, len(ids))
    if not any(scores.ids.values()):
        tasks = ", ".join(predictor.signature.tasks)
        raise DatasetError(
            f"none of {done} samples holds truth for {tasks}",
            where=dataset.root,
            remedy="evaluate on a dataset labelled for the task",
        )
    return scores


def predicted(
    predictor: AnyPredictor, dataset: Dataset, ids: Sequence[str], *, batch: int = 8, workers: int = 2
) -> Iterator[tuple[Sample, dict[str, Result]]]:
    """Samples in order with what the predictor answers; pictures are read ahead by threads.

    A threshold chosen for deployment does not cut off the rows that mAP ranks.
    """
    if isinstance(predictor, Predictor):
        predictor = predictor.for_scoring()
    from sightline.data.samples import read_inputs, samples

    inputs = predictor.signature.inputs
    views = samples(dataset, ids, inputs)
    parts = [views[i : i + batch] for i in range(0, len(views), batch)]
    waiting: deque[tuple[list[Sample], list[Future[Inputs]]]] = deque()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for part in parts[:AHEAD]:
            waiting.append((part, [pool.submit(read_inputs, dataset, s, inputs) for s in part]))
        for upcoming in [*parts[AHEAD:], *[[]] * AHEAD]:
            if not waiting:
                break
            part, futures = waiting.popleft()
            elements = [f.result() for f in futures]
            waiting.append((upcoming, [pool.submit(read_inputs, dataset, s, inputs) for s in upcoming]))
            if part:
                answers = predictor.predict(elements)
                if len(answers) != len(part):
                    raise ModelError(f"answers {len(answers)} of {len(part)} samples", where=part[0].id)
                yield from zip(part, answers, strict=True)


def evaluate(
    predictor: AnyPredictor,
    dataset: Dataset,
    ids: Sequence[str],
    out: str | Path | None = None,
    *,
    bootstrap: int = 1000,
    gallery: int = 6,
    split: Split | None = None,
    seed: int = 0,
    batch: int = 8,
    workers: int = 2,
    name: str = "",
    part: str = "",
    films: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Measure a predictor on records of a dataset.

    Args:
        predictor: anything with `signature` and `predict`.
        dataset: holds the truth.
        ids: records to measure on.
        out: folder for `report.json` and `report.html`; None writes nothing.
        bootstrap: resamples of whole groups behind each 95% interval; 0 for none.
        gallery: best and worst pictures shown, of each; 0 for none.
        split: where the ids come from; what leaks across it is then printed beside the figures.
        seed: of the resamples.
        batch: samples handed over at once.
        workers: threads that read pictures ahead.
        name: of what is measured, for the page.
        part: of the split that is measured, for the page.
        films: whether whole films run through the predictor's stream, frame by frame in order, in place of
            each sample alone.
        progress: called with samples done and in all.

    Raises:
        DatasetError: no sample, or no truth for any task of the predictor.
        UsageError: a negative count.
    """
    if bootstrap < 0 or gallery < 0:
        raise UsageError(f"bootstrap {bootstrap} and gallery {gallery} start at 0")
    if not ids:
        raise DatasetError("no records to evaluate on", where=part or dataset.root)
    start = time.perf_counter()
    scores = scored(predictor, dataset, ids, batch=batch, workers=workers, films=films, progress=progress)
    metrics, rounds = scores.estimates(bootstrap, seed)
    report = Report(metrics, details_of(scores, rounds), scores=scores)
    report.context = _context(scores, dataset, ids) | {
        "model": name,
        "part": part,
        "bootstrap": bootstrap,
        "seed": seed,
        "seconds": round(time.perf_counter() - start, 3),
    }
    if split is not None:
        report.leakage = _leakage(dataset, split)
        report.context["split"] = {"name": split.name, "fingerprint": split.fingerprint}
    if out is not None:
        if gallery:
            report.pictures = pictures(scores, predictor, dataset, gallery)
        report.write(Path(out))
    return report


def details_of(scores: Scores, rounds: dict[str, Values]) -> dict[str, dict[str, Any]]:
    """Tables and curves by task, with the intervals of the classes and the causes of errors."""
    out = {}
    for task, family in scores.families.items():
        if not scores.ids[task]:
            continue
        details = out[task] = family.details()
        if family.by_class and family.by_class[1] in rounds.get(task, {}):
            column, name = family.by_class
            low, high = interval(rounds[task][name])
            for row, a, b in zip(details["classes"], low.tolist(), high.tolist(), strict=True):
                row |= {f"{column}_low": a, f"{column}_high": b}
        if isinstance(family, Detect):
            errors, threshold = family.errors(), details["threshold"]
            details["errors"] = {
                "ap50": errors.ap50,
                "price": errors.price,
                "counts": errors.counts(family.scene().dets, threshold),
                "threshold": threshold,
            }
    return out


def pictures(scores: Scores, predictor: AnyPredictor, dataset: Dataset, count: int) -> dict[str, Any]:
    """Galleries by `task.worst`, `task.best` and, for detectors, `task.causes`."""
    from sightline.evaluate.gallery import cause_examples, extremes, pictures_of

    out: dict[str, Any] = {}
    for task, family in scores.families.items():
        if not scores.ids[task]:
            continue
        least = scores.families[task].thresholds.get(task, 0.0)
        if isinstance(family, Detect):
            least = family.scene().best_threshold()
            out[f"{task}.causes"] = cause_examples(family, scores.ids[task], dataset, family.errors(), least)
        for name, picks in zip(("worst", "best"), extremes(scores, task, count), strict=True):
            out[f"{task}.{name}"] = pictures_of(scores, predictor, dataset, task, picks, least)
    return out


def _leakage(dataset: Dataset, split: Split) -> dict[str, Any]:
    from sightline.data.split import leakage

    found = leakage(dataset, split)
    return {**found.to_json(), "clean": found.clean, "text": str(found)}


def _context(scores: Scores, dataset: Dataset, ids: Sequence[str]) -> dict[str, Any]:
    tasks = {
        task: {
            "samples": len(scores.ids[task]),
            "groups": len(set(scores.groups[task])),
            "without_truth": scores.without_truth[task],
        }
        for task in scores.families
    }
    return {
        "dataset": dataset.root.name,
        "fingerprint": dataset.fingerprint,
        "held_out": fingerprint([dataset.fingerprint, sorted(ids)]),
        "samples": scores.total,
        "without_partner": len(ids) - scores.total,
        "tasks": tasks,
        "classes": list(scores.classes),
        "classes_unknown_to_model": list(scores.unknown),
    }
