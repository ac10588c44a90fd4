"""Two trained stages to one measured package: coarse and fine graphs, and how they work together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import DatasetError, ParityFailed, UsageError
from sightline.core.files import fingerprint, folder_written_whole, write_json, write_text
from sightline.core.manifest import MANIFEST, Manifest, Stage
from sightline.core.predictor import Predictor
from sightline.core.problem import ExportSection, Problem
from sightline.core.results import IN_SIGHT, same
from sightline.core.specs import InputSpec
from sightline.evaluate.films import follow
from sightline.evaluate.metrics.tracks import HIT_PX, Tracks
from sightline.export.card import card
from sightline.export.onnx import to_onnx, without_raw
from sightline.export.package import Trained, network_ms
from sightline.export.parity import Check, check_parity, frames
from sightline.export.thresholds import steady_f1
from sightline.export.writing import stage_of, with_manifest
from sightline.runtime.coarse_to_fine import KIND, CoarseToFine
from sightline.runtime.loading import load_stage, resolve
from sightline.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

Array = NDArray[Any]
Element = Mapping[str, Array]

COARSE, FINE = "coarse", "fine"
PARITY_ELEMENTS = 6
SAME_PX = 0.1
FRAMES_COMPARED = 240


@dataclass(frozen=True, slots=True)
class Part:
    """One stage as it will stand in the package."""

    stage: Stage
    body: bytes
    predictor: Predictor
    checks: tuple[Check, ...]

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Part:
        """The same stage keeping points by other thresholds."""
        signature = replace(self.stage.signature, thresholds=dict(thresholds))
        stage, predictor = (
            replace(self.stage, signature=signature),
            self.predictor.with_thresholds(thresholds),
        )
        return replace(self, stage=stage, predictor=predictor)


def export_stages(
    coarse: Trained,
    fine: Trained,
    problem: Problem,
    dataset: Dataset,
    ids: Sequence[str],
    out: str | Path,
    section: ExportSection | None = None,
    *,
    version: str = "1",
    replace_old: bool = False,
    lineage: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the package of two stages, if both final files answer as the trained models do.

    Each graph is held to its model tensor by tensor, alone and in a batch, in every runtime installed. Then
    both pipelines answer held-out films, and must agree to a tenth of a pixel; the exported one's figures
    are the package's quality. Unless it is given, the probability from which on a point counts as in sight
    is searched on the same films (`searched`).

    Args:
        coarse: the trained first stage.
        fine: the trained second stage.
        problem: with `pipeline`: how they work together.
        dataset: what they were trained on.
        ids: held-out records, frames of films.
        out: the package folder.
        section: runtime, thresholds and tolerances; the problem's own unless given.
        version: of the package.
        replace_old: whether a folder that is there may be replaced.
        lineage: more of it than is known here.
        progress: called with films answered and in all.

    Raises:
        ParityFailed: an answer is past its tolerance; nothing is written.
        UsageError: `out` is taken.
        ModelError: a model cannot be traced, or stages that cannot work together.
    """
    out, wanted = Path(out), section or problem.export
    if not ids:
        raise DatasetError("no held-out record to measure the package on", where=dataset.root)
    if out.exists() and not replace_old and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("already exists", where=out, remedy="choose another place or pass --replace")
    runs = {COARSE: coarse, FINE: fine}
    parts = {name: _part(name, run, dataset, ids, wanted) for name, run in runs.items()}
    how = pipeline_of(problem)
    exported = CoarseToFine(parts[COARSE].predictor, parts[FINE].predictor, how)
    tracks = follow(exported, dataset, ids, progress=progress)
    if "locate" not in exported.signature.thresholds:
        exported, tracks = searched(exported, tracks, dataset, ids, progress=progress)
        parts[FINE] = parts[FINE].with_thresholds(exported.signature.thresholds)
    trained = CoarseToFine(
        coarse.predictor(), fine.predictor().with_thresholds(exported.signature.thresholds), how
    )
    _agree(trained, exported, dataset, ids)
    manifest = Manifest(
        problem.name,
        version,
        {name: part.stage for name, part in parts.items()},
        {**(lineage or {}), **_lineage(problem, dataset, ids, runs)},
        quality_of(tracks),
        {f"bench.{name}_ms": network_ms(part.predictor) for name, part in parts.items()}
        | {"bench.size_mb": sum(len(part.body) for part in parts.values()) / 1e6},
        pipeline=how,
    )
    return _write(out, manifest, parts, problem, len(ids), replace_old)


def searched(
    predictor: CoarseToFine,
    tracks: Tracks,
    dataset: Dataset,
    ids: Sequence[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[CoarseToFine, Tracks]:
    """The pipeline with the threshold whose hits have the best F1 on some films, and its answers to them.

    The answers that are there already give a candidate. A threshold also moves what a mode follows, so the
    films are answered once more with it, and it is kept only where those answers are better.

    Args:
        predictor: the pipeline; its own threshold is `IN_SIGHT`.
        tracks: its answers to the films of `ids`.
        dataset: holds truth and films.
        ids: held-out records.
        progress: called with records done and in all.
    """
    columns = tracks.columns()
    hits = columns.seen & (np.nan_to_num(columns.error, nan=np.inf) <= HIT_PX)
    least = steady_f1(columns.score, hits, columns.seen, list(columns.group), IN_SIGHT)
    before = predictor.with_thresholds({"locate": IN_SIGHT})
    if least == IN_SIGHT:
        return before, tracks
    after = predictor.with_thresholds({"locate": least})
    anew = follow(after, dataset, ids, progress=progress)
    better = anew.columns().values()["f1"][0] > columns.values()["f1"][0]
    return (after, anew) if better else (before, tracks)


def pipeline_of(problem: Problem) -> dict[str, Any]:
    """The manifest's `pipeline`: kind, stages by their part, mode and settings."""
    section = problem.pipeline
    mode, settings = (section.mode, dict(section.settings)) if section else ("track", {})
    return {"kind": KIND, COARSE: COARSE, FINE: FINE, "mode": mode, "settings": settings}


def quality_of(tracks: Tracks) -> dict[str, dict[str, float]]:
    """Figures of films as a manifest holds them."""
    return {
        f"locate.{name}": {"value": e.value, "low": e.low, "high": e.high}
        for name, e in tracks.columns().estimates().items()
        if np.isfinite([e.value, e.low, e.high]).all()
    }


def _part(name: str, run: Trained, dataset: Dataset, ids: Sequence[str], section: ExportSection) -> Part:
    """One stage traced and held to its model."""
    model = run.model()
    given = {str(task): value for task, value in section.thresholds.items()} if name == FINE else {}
    signature = replace(model.signature, thresholds={**model.signature.thresholds, **given})
    proto = to_onnx(model)
    probe: bytes = proto.SerializeToString()
    every = tuple(value.name for value in proto.graph.output)
    elements = frames(list(_elements(dataset, ids, signature.inputs)), signature)
    point_px = max(section.point_tolerance_px, 0.0)
    try:
        checks = check_parity(model, probe, stage_of(signature, every, probe), elements, point_px=point_px)
    except ParityFailed as error:
        raise ParityFailed(f"stage {name}: {error}", remedy="nothing was written") from error
    final = without_raw(proto)
    body: bytes = final.SerializeToString()
    stage = stage_of(signature, tuple(v.name for v in final.graph.output), body, section.runtime)
    stage = replace(stage, file=f"{name}.onnx")
    predictor = Predictor(signature, resolve(section.runtime)(body, stage, RuntimeOptions()))
    return Part(stage, body, predictor, tuple(checks))


def _elements(dataset: Dataset, ids: Sequence[str], inputs: Mapping[str, InputSpec]) -> Iterator[Element]:
    """A few samples through the list; windows are about the truth, or about the middle where it is hidden."""
    from sightline.data.samples import read_inputs, samples

    at = np.linspace(0, len(ids) - 1, min(PARITY_ELEMENTS, len(ids))).round().astype(int)
    for sample in samples(dataset, [ids[i] for i in at], dict(inputs)):
        mark = next((a for a in sample.target.annotations if a.point is not None and a.visible), None)
        centred = replace(sample, centre=mark.point if mark is not None else None)
        yield read_inputs(dataset, centred, dict(inputs))


def _agree(trained: CoarseToFine, exported: CoarseToFine, dataset: Dataset, ids: Sequence[str]) -> None:
    """Both pipelines over the first film: the same words on sight, points not a tenth of a pixel apart."""
    first = dataset.record(ids[0]).media
    some = [name for name in ids if dataset.record(name).media == first][:FRAMES_COMPARED]
    a, b = (follow(one, dataset, some) for one in (trained, exported))
    answered = np.array(a.answered) & np.array(b.answered)
    apart = np.hypot(*(np.array(a.answer) - np.array(b.answer)).T)[answered]
    unlike = int((np.array(a.answered) != np.array(b.answered)).sum())
    widest = float(apart.max()) if apart.size else 0.0
    # A score that lies on the threshold may fall to either side by rounding, and a mode may then go another
    # way for a frame or two: a few are allowed.
    if unlike > max(1, len(a.answered) // 100) or int((apart > SAME_PX).sum()) > 0.01 * apart.size:
        raise ParityFailed(
            f"{unlike} of {len(a.answered)} frames answered otherwise, points up to {widest:.3g} px apart",
            where=f"the stages together on {first}",
            remedy="nothing was written",
        )


def _lineage(
    problem: Problem, dataset: Dataset, ids: Sequence[str], runs: Mapping[str, Trained]
) -> dict[str, str]:
    own = {name: str(run.fingerprint) for name, run in runs.items() if hasattr(run, "fingerprint")}
    return {
        **own,
        "problem": fingerprint(problem.model_dump(mode="json")),
        "dataset": dataset.fingerprint,
        "held_out": fingerprint(sorted(ids)),
        "sightline": installed_version("sightline"),
    }


def _write(
    out: Path,
    manifest: Manifest,
    parts: Mapping[str, Part],
    problem: Problem,
    measured_on: int,
    replace_old: bool,
) -> Path:
    """The folder, whole or not at all; each graph carries a manifest of its own stage and loads alone."""
    bodies = {
        name: with_manifest(part.body, replace(manifest, stages={name: part.stage}, pipeline={}))
        for name, part in parts.items()
    }
    stages = {
        name: replace(part.stage, sha256=hashlib.sha256(bodies[name]).hexdigest())
        for name, part in parts.items()
    }
    final = replace(manifest, stages=stages)
    checks = [check for part in parts.values() for check in part.checks]
    with folder_written_whole(out, replace=replace_old, marker=MANIFEST) as folder:
        for name, stage in stages.items():
            (folder / stage.file).write_bytes(bodies[name])
        final.write(folder)
        told = {name: [check.to_json() for check in part.checks] for name, part in parts.items()}
        write_json(folder / "parity.json", {"stages": told})
        write_text(folder / "card.md", card(final, problem, checks, measured_on))
        for name, part in parts.items():
            _holds(folder, name, part)
    return out


def _holds(folder: Path, name: str, part: Part) -> None:
    """A stage as it will stand must load, and answer to the bit as what was measured."""
    shapes = {key: spec.shape(1)[1:] for key, spec in part.stage.signature.inputs.items()}
    random = np.random.default_rng(0)
    element = {
        key: random.integers(0, 256, shape).astype(part.stage.signature.inputs[key].dtype)
        for key, shape in shapes.items()
    }
    found = load_stage(folder, stage=name).predict([element])[0]
    if not all(same(found[task], result) for task, result in part.predictor.predict([element])[0].items()):
        raise ParityFailed("the written stage answers unlike the graph that was measured", where=name)
