"""`card.md`: what a person should know before deploying a package."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.core.manifest import Manifest, Stage
from sightline.core.problem import Problem
from sightline.core.specs import InputSpec
from sightline.export.parity import BOUNDARIES, Check


def card(manifest: Manifest, problem: Problem, checks: Sequence[Check], measured_on: int) -> str:
    """The model card as Markdown, after Mitchell et al. 2019.

    Args:
        manifest: of the package, with quality, speed and reference.
        problem: what was wanted.
        checks: the parity checks that were passed.
        measured_on: how many pictures the quality was measured on.
    """
    stages = tuple(manifest.stages.values())
    stage = stages[-1]  # the one that answers
    parts = [
        f"# {manifest.name}, version {manifest.version}",
        problem.why.strip(),
        *(_what(one, name, problem, len(stages) > 1) for name, one in manifest.stages.items()),
        _pipeline(manifest),
        _quality(manifest, measured_on),
        _criteria(problem),
        _thresholds(stage),
        _speed(manifest),
        _parity(checks),
        _lineage(manifest),
        _limits(manifest, stage),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(stage: Stage, name: str, problem: Problem, several: bool) -> str:
    own = getattr(problem.stages, name, None) if several else None
    architecture = own.model.name if own is not None else problem.model.name
    inputs = "\n".join(f"- input `{name}`: {_input(spec)}" for name, spec in stage.signature.inputs.items())
    return (
        f"## {f'Stage {name}' if several else 'What it is'}\n\n"
        f"- tasks: {', '.join(stage.signature.tasks)}\n"
        f"- classes: {', '.join(stage.signature.classes) or 'none'}\n"
        f"- architecture: {architecture}, {stage.precision}, runs in {stage.runtime}\n"
        f"- made for: {problem.target}\n{inputs}"
    )


def _pipeline(manifest: Manifest) -> str:
    if not manifest.pipeline:
        return ""
    how = manifest.pipeline
    settings = ", ".join(f"{name} {value:g}" for name, value in how.get("settings", {}).items())
    words = f"{how['kind']}, mode `{how['mode']}`, {settings or 'with its default settings'}"
    return f"## How the stages work together\n\n{words}"


def _input(spec: InputSpec) -> str:
    clip = f", clips of {spec.frames} frames, {spec.stride} apart" if spec.frames > 1 else ""
    return f"{spec.pixels}, {spec.size_wh[0]}x{spec.size_wh[1]}, {spec.fit}{clip}"


def _quality(manifest: Manifest, measured_on: int) -> str:
    rows = "\n".join(
        f"| {name} | {q['value']:.4g} | {q['low']:.4g} to {q['high']:.4g} |"
        for name, q in manifest.quality.items()
    )
    return (
        f"## Quality\n\nMeasured on this file, on {measured_on} held-out pictures; the interval is a 95% "
        f"bootstrap over groups.\n\n| metric | value | interval |\n| --- | --- | --- |\n{rows}"
    )


def _criteria(problem: Problem) -> str:
    rows = "\n".join(f"- {c.metric} {c}" for c in problem.criteria)
    return f"## What was asked\n\n{rows}"


def _thresholds(stage: Stage) -> str:
    if not stage.signature.thresholds:
        return ""
    rows = "\n".join(f"- {task}: {value:g}" for task, value in stage.signature.thresholds.items())
    return f"## Thresholds\n\nRows below these scores are left out of results.\n\n{rows}"


def _speed(manifest: Manifest) -> str:
    rows = "\n".join(f"- {name}: {value:.4g}" for name, value in manifest.speed.items())
    return f"## Speed\n\nOn the machine that exported it; `sightline bench` measures yours.\n\n{rows}"


def _parity(checks: Sequence[Check]) -> str:
    rows = []
    for boundary in BOUNDARIES:
        here = [c for c in checks if c.boundary == boundary]
        if here:
            worst = max(here, key=lambda c: c.gap.value / c.gap.limit if c.gap.limit else c.gap.value)
            rows.append(f"| {boundary} | {worst.gap.what} | {worst.gap.value:.3g} | {worst.gap.limit:g} |")
    runtimes = ", ".join(dict.fromkeys(c.runtime for c in checks))
    table = "\n".join(rows)
    return (
        f"## Parity with the trained model\n\nIn {runtimes}; the widest gap at each boundary.\n\n"
        f"| boundary | what | gap | limit |\n| --- | --- | --- | --- |\n{table}"
    )


def _lineage(manifest: Manifest) -> str:
    rows = "\n".join(f"- {name}: `{value}`" for name, value in manifest.lineage.items())
    return f"## Where it comes from\n\n{rows}"


def _limits(manifest: Manifest, stage: Stage) -> str:
    rows = ["- Measured on the data named above only; other cameras, light and places are not covered."]
    wide = [
        name
        for name, q in manifest.quality.items()
        if q["value"] and (q["high"] - q["low"]) > 0.2 * abs(q["value"])
    ]
    if wide:
        rows.append(f"- Few held-out groups: the interval of {', '.join(wide)} is wider than a fifth of it.")
    seen = manifest.reference.get("classes", {})
    unseen = [name for name, count in seen.items() if not count]
    if unseen and "locate" not in stage.signature.tasks:
        rows.append(f"- Never answered on the held-out pictures: {', '.join(unseen)}.")
    return "## Limits\n\n" + "\n".join(rows)
