"""A `problem.yaml` to start from: every choice written out, with the words that explain it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline.core.errors import UsageError
from sightline.core.files import write_text
from sightline.core.problem import Problem


@dataclass(frozen=True, slots=True)
class Start:
    """Where a task starts: a model, an input size and the figure that most often decides."""

    model: str
    size_wh: tuple[int, int]
    fit: str
    metric: str
    at_least: float


STARTS = {
    "classify": Start("efficientnetv2_b0", (224, 224), "stretch", "classify.accuracy", 0.9),
    "detect": Start("yolo-n", (640, 640), "letterbox", "detect.map50", 0.7),
    "segment": Start("ddrnet_23_slim", (512, 512), "letterbox", "segment.miou", 0.6),
    "locate": Start("locator", (512, 288), "letterbox", "locate.within_8px", 0.9),
}

TEMPLATE = """\
name: {name}
why: >
  Say here who needs this, what they do with the answer, and what a wrong answer costs.
task: {task}
classes: {classes}          # names, in your order; [] takes them from the labels
target: this machine

data:
  source: {source}          # relative to this file
  format: {format}
  boxes: clip               # marks that leave the picture: clip, drop or fail

split:
  by: group                 # author keeps the parts the labels came with
  train: 0.7
  val: 0.15
  test: 0.15
  seed: 0

model:
  name: {model}
  weights: none             # imagenet, a .safetensors or .pth file, or a run folder
  input: {{size: [{width}, {height}], fit: {fit}}}

train:
  epochs: 30
  batch: 16
  lr: 0.001
  ema: 0.99
  augment: {{flip: 0.5, scale: [0.8, 1.25], brightness: 0.2, contrast: 0.2, saturation: 0.2}}

criteria:                   # the package is good when all of these hold
  - {{metric: {metric}, at_least: {at_least}}}
  - {{metric: bench.p95_ms, at_most: 100}}
  - {{metric: bench.size_mb, at_most: 50}}
"""


def new(task: str, source: Path, out: Path, *, name: str | None = None) -> Path:
    """Write a problem file for labels at `source`; format and classes are read off them.

    Raises:
        UsageError: the task has no start, the labels do not exist, or `out` is there already.
        FormatError: nothing in `source` looks like labels.
    """
    start = STARTS.get(task)
    if start is None:
        raise UsageError(f"{task!r} has no start", remedy=f"choose one of {', '.join(STARTS)}")
    if not source.exists():
        raise UsageError("does not exist", where=source)
    if out.exists():
        raise UsageError("already exists", where=out, remedy="choose another --out")
    from sightline.data.formats import sniff

    found, _ = sniff(source)
    title = name or "".join(c if c.isalnum() or c in "._-" else "-" for c in source.resolve().stem).strip(
        "-._"
    )
    text = TEMPLATE.format(
        name=title[:64] or task,
        task=task,
        classes="[]",
        source=_relative(source, out),
        format=found,
        model=start.model,
        width=start.size_wh[0],
        height=start.size_wh[1],
        fit=start.fit,
        metric=start.metric,
        at_least=start.at_least,
    )
    write_text(out, text)
    Problem.load(out)
    return out


def _relative(source: Path, out: Path) -> str:
    """The source as the problem file sees it, quoted for YAML."""
    import json
    import os

    return json.dumps(os.path.relpath(source.resolve(), out.resolve().parent), ensure_ascii=False)
