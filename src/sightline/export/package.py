"""`export`: a trained run to a measured package, or a clear no."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import DatasetError, ParityFailed
from sightline.core.files import fingerprint, refuse_taken
from sightline.core.manifest import MANIFEST, Manifest
from sightline.core.predictor import Predictor
from sightline.core.problem import ExportSection, Problem
from sightline.core.records import Record
from sightline.core.reference import Reference, observed
from sightline.core.results import same
from sightline.export.card import card
from sightline.export.onnx import example, to_onnx, without_raw
from sightline.export.parity import check_parity, frames
from sightline.export.thresholds import THRESHOLDED, best_thresholds
from sightline.export.writing import MODEL, STAGE, stage_of, write_package
from sightline.runtime.loading import load, resolve
from sightline.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset
    from sightline.models.base import Model

Array = NDArray[Any]
Element = Mapping[str, Array]

PARITY_ELEMENTS = 8
CHUNK = 8
SPEED_ROUNDS = 20


class Trained(Protocol):
    """What `export` asks of a run."""

    @property
    def problem(self) -> Problem:
        """What was wanted."""

    def model(self) -> Model:
        """The best weights in their architecture."""

    def predictor(self) -> Predictor:
        """The same, ready to answer."""


def export(
    run: Trained,
    dataset: Dataset,
    ids: Sequence[str],
    out: str | Path,
    section: ExportSection | None = None,
    *,
    version: str = "1",
    replace_old: bool = False,
) -> Path:
    """Write the package of a run, if its final form answers and scores as the trained model does.

    Args:
        run: the trained run.
        dataset: what it was trained on, or another with the same class names.
        ids: held-out records: thresholds are chosen, quality measured and drift referred to on them.
        out: the package folder.
        section: runtime, thresholds and tolerances; the problem's own unless given.
        version: of the package.
        replace_old: whether a folder that is there may be replaced.

    Returns:
        The package folder.

    Raises:
        ParityFailed: an answer or a score is past its tolerance; nothing is written.
        UsageError: `out` is taken.
        ModelError: the model cannot be traced.
    """
    out, wanted = Path(out), section or run.problem.export
    _refuse_early(dataset, ids, out, replace_old)
    model = run.model()
    thresholds = {**model.signature.thresholds, **_thresholds(run, dataset, ids, wanted)}
    signature = replace(model.signature, thresholds=thresholds)
    proto = to_onnx(model)
    probe: bytes = proto.SerializeToString()
    every = tuple(value.name for value in proto.graph.output)
    elements = frames([e for _, e in _elements(dataset, _spread(ids), signature.inputs)], signature)
    checks = check_parity(
        model, probe, stage_of(signature, every, probe), elements, point_px=wanted.point_tolerance_px
    )
    final = without_raw(proto)
    body: bytes = final.SerializeToString()
    stage = stage_of(signature, tuple(v.name for v in final.graph.output), body, wanted.runtime)
    exported = Predictor(signature, resolve(wanted.runtime)(body, stage, RuntimeOptions()))
    quality = _rescore(run.predictor(), exported, dataset, ids, wanted)
    speed = {"bench.network_ms": network_ms(exported), "bench.size_mb": len(body) / 1e6}
    lineage, reference = _lineage(run, dataset, ids), _reference(exported, dataset, ids)
    manifest = Manifest(run.problem.name, version, {STAGE: stage}, lineage, quality, speed, reference)
    return write_package(
        out,
        body,
        manifest,
        parity={"checks": [check.to_json() for check in checks]},
        card=card(manifest, run.problem, checks, len(ids)),
        replace_old=replace_old,
        verify=lambda folder: _holds(folder, exported, elements),
    )


def _refuse_early(dataset: Dataset, ids: Sequence[str], out: Path, replace_old: bool) -> None:
    """Refuse before any work what would be refused after it."""
    if not ids:
        raise DatasetError("no held-out record to measure the package on", where=dataset.root)
    refuse_taken(out, replace=replace_old, marker=MANIFEST)


def _thresholds(
    run: Trained, dataset: Dataset, ids: Sequence[str], section: ExportSection
) -> dict[str, float]:
    """Thresholds by task: those given, and the best of the rest."""
    predictor = run.predictor().with_thresholds({})
    missing = tuple(t for t in predictor.signature.tasks if t in THRESHOLDED and t not in section.thresholds)
    given = {str(task): value for task, value in section.thresholds.items()}
    if not missing:
        return given

    def answers() -> Iterator[tuple[Record, Mapping[str, Any]]]:
        for chunk in _chunks(_elements(dataset, ids, predictor.signature.inputs)):
            results = predictor.predict([element for _, element in chunk])
            yield from zip((record for record, _ in chunk), results, strict=True)

    return {**best_thresholds(answers(), missing, tuple(dataset.classes)), **given}


def _rescore(
    trained: Predictor, exported: Predictor, dataset: Dataset, ids: Sequence[str], section: ExportSection
) -> dict[str, dict[str, float]]:
    """Quality of the exported graph; raises ParityFailed where it scores unlike the trained model.

    Held are each task's chief metric and the mean distance of points. Figures taken at the threshold
    with the best F1 are not: where two thresholds are nearly as good, rounding chooses between them.
    """
    from sightline.evaluate.evaluation import evaluate
    from sightline.evaluate.metrics import CHIEF

    thresholds = exported.signature.thresholds
    before = evaluate(trained.with_thresholds(thresholds), dataset, ids, bootstrap=0, gallery=0).metrics
    after = evaluate(exported, dataset, ids, gallery=0).metrics
    held = {*(CHIEF[task] for task in exported.signature.tasks), "locate.mean_px"}
    for name, estimate in before.items():
        if name not in held:
            continue
        limit = section.point_tolerance_px if name.endswith("_px") else section.metric_tolerance
        found = after[name].value if name in after else float("nan")
        if not abs(estimate.value - found) <= limit:
            raise ParityFailed(
                f"{name} is {found:.6g} exported and {estimate.value:.6g} trained, "
                f"at most {limit:g} apart is allowed",
                where=f"score on {len(ids)} held-out records",
                remedy="nothing was written",
            )
    return {
        name: {"value": float(e.value), "low": float(e.low), "high": float(e.high)}
        for name, e in after.items()
        if np.isfinite([e.value, e.low, e.high]).all()
    }


def _reference(predictor: Predictor, dataset: Dataset, ids: Sequence[str]) -> dict[str, Any]:
    """Distributions of what the package sees and says on the held-out records, and a sample of them."""
    reference = Reference(predictor.signature.classes)
    items = _elements(dataset, ids, predictor.signature.inputs)
    for _, seen, _ in observed(predictor, ((record.id, record.group, e) for record, e in items)):
        reference.take(seen)
    return reference.to_json()


def network_ms(predictor: Predictor) -> float:
    """Median milliseconds of the network alone, one picture at a time."""
    pixels = {name: example(spec, 1) for name, spec in predictor.signature.inputs.items()}
    times = []
    for _ in range(SPEED_ROUNDS):
        start = time.perf_counter()
        predictor.infer(pixels)
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


def _holds(folder: Path, exported: Predictor, elements: Sequence[Element]) -> None:
    """The package as it will stand must load, and answer to the bit as the graph that was measured."""
    for place in (folder, folder / MODEL):
        answers = zip(load(place).predict(elements), exported.predict(elements), strict=True)
        if not all(same(a[task], b[task]) for a, b in answers for task in a):
            raise ParityFailed("the written file answers unlike the graph that was measured", where=place)


def _lineage(run: Trained, dataset: Dataset, ids: Sequence[str]) -> dict[str, str]:
    # A run on disk has a fingerprint over all that determined its weights; a model in memory has none.
    own = {"run": str(run.fingerprint)} if hasattr(run, "fingerprint") else {}
    return {
        **own,
        "problem": fingerprint(run.problem.model_dump(mode="json")),
        "dataset": dataset.fingerprint,
        "held_out": fingerprint(sorted(ids)),
        "sightline": installed_version("sightline"),
    }


def _spread(ids: Sequence[str]) -> list[str]:
    """A few ids, evenly through the list."""
    at = np.linspace(0, len(ids) - 1, min(PARITY_ELEMENTS, len(ids))).round().astype(int)
    return [ids[i] for i in at]


def _elements(
    dataset: Dataset, ids: Sequence[str], inputs: Mapping[str, Any]
) -> Iterator[tuple[Record, Element]]:
    """Each record that holds the truth, with its pictures by input name, read when asked for."""
    from sightline.data.samples import read_inputs, samples

    for sample in samples(dataset, ids, dict(inputs)):
        yield sample.target, read_inputs(dataset, sample, dict(inputs))


def _chunks(items: Iterator[tuple[Record, Element]]) -> Iterator[list[tuple[Record, Element]]]:
    chunk: list[tuple[Record, Element]] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
