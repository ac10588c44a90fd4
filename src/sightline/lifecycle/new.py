"""A `problem.yaml` to start from: every choice written out, with the words that explain it."""

from __future__ import annotations

import json
import os
import re
import unicodedata
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
classes: []                 # names, in your order; [] takes them from the labels
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


def new(task: str, source: str | Path, out: str | Path, *, name: str | None = None) -> Path:
    """Write a problem file for labels at `source`; the format is read off them.

    Raises:
        UsageError: the task has no start, the labels do not exist, or `out` is there already.
        ProblemError: the name is none a problem may have.
        FormatError: nothing in `source` looks like labels.
    """
    source, out = Path(source), Path(out)
    start = STARTS.get(task)
    if start is None:
        raise UsageError(f"{task!r} has no start", remedy=f"choose one of {', '.join(STARTS)}")
    if not source.exists():
        raise UsageError("does not exist", where=source)
    if out.exists():
        raise UsageError("already exists", where=out, remedy="choose another --out")
    from sightline.data.formats import sniff

    found, _ = sniff(source)
    text = TEMPLATE.format(
        name=json.dumps(name or _plain(source.resolve().stem) or task, ensure_ascii=False),
        task=task,
        source=_relative(source, out),
        format=found,
        model=start.model,
        width=start.size_wh[0],
        height=start.size_wh[1],
        fit=start.fit,
        metric=start.metric,
        at_least=start.at_least,
    )
    Problem.parse_text(text, where=out)
    write_text(out, text)
    return out


def _plain(name: str) -> str:
    """A name in ASCII letters, digits, dots, dashes and underscores; accents go, the rest becomes dashes."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", letters).strip("-._")[:64]


def _relative(source: Path, out: Path) -> str:
    """The source as the problem file sees it, quoted for YAML."""
    return json.dumps(os.path.relpath(source.resolve(), out.resolve().parent), ensure_ascii=False)
