"""`problem.yaml`: what success means. Strict: an unknown key fails and the nearest key is named."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sightline.core.errors import ProblemError
from sightline.core.specs import Fit, Pixels, Task
from sightline.core.yaml_text import plain_yaml

Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["cosine", "step", "one-cycle", "constant"]
Sampling = Literal["plain", "over", "under", "balanced", "loss"]
Precision = Literal["f32", "bf16", "fp16"]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class DataSection(_Strict):
    """Where the labels are and how they are read.

    `source` is a folder or file, relative to the problem file. The policies say what happens to marks
    that break the rules; every one is counted in the ledger either way. `accept` names kinds of audit
    findings that are known and do not stop a run.
    """

    source: str
    format: str = "auto"
    media: str | None = None
    boxes: Literal["clip", "drop", "fail"] = "clip"
    visible: Literal["as-labelled", "all"] = "as-labelled"
    points: Literal["as-labelled", "box-centres"] = "as-labelled"
    group: str = "auto"
    classes: dict[str, str] = Field(default_factory=dict)
    drop_limit: Share = 0.05
    fetch: bool = False
    accept: tuple[str, ...] = ()


class SplitSection(_Strict):
    """How records are divided. `by: author` keeps the author's own parts; `by: group` makes new ones."""

    by: Literal["author", "group", "frame"] = "group"
    train: Share = 0.7
    val: Share = 0.15
    test: Share = 0.15
    seed: int = 0

    @model_validator(mode="after")
    def _sum(self) -> SplitSection:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + val + test is {total:g}, it must be 1")
        return self


class InputSection(_Strict):
    """How pictures reach the network (see `specs.InputSpec`)."""

    size: tuple[Count, Count]
    fit: Fit = "letterbox"
    pad: Annotated[int, Field(ge=0, le=255)] = 114
    pixels: Pixels = "rgb8"
    frames: Count = 1
    stride: Count = 1


class ModelSection(_Strict):
    """Which architecture, and the weights it starts from.

    `weights`: `none`, `imagenet` (through timm, where the network allows), a `.safetensors` or `.pth`
    file, or a run folder. `options` go to the architecture and are checked there.
    """

    name: str
    weights: str = "none"
    input: InputSection | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class AugmentSection(_Strict):
    """Geometric change composed into one warp, and photometric change as one colour matrix.

    Ranges are symmetric: `rotate: 5` is -5..5 degrees, `brightness: 0.2` is a factor of 0.8..1.2. Noise has
    a deviation drawn anew for each element, from 0 to `noise`: a `constant` one errs on clean pictures.
    Past points that a model is told (`track` inputs) are moved by `track_noise` source pixels (deviation),
    hidden with the share `track_drop`, put anywhere with the share `track_wrong`, as its own answers are.
    `still` is how often a clip's past frames are its current one and past points hidden: a film's start.
    """

    flip: Share = 0.5
    flip_vertical: Share = 0.0
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    rotate90: Share = 0.0
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    translate: Share = 0.0
    shear: Annotated[float, Field(ge=0, le=45)] = 0.0
    brightness: Share = 0.2
    contrast: Share = 0.2
    saturation: Share = 0.2
    hue: Annotated[float, Field(ge=0, le=180)] = 0.0
    noise: Annotated[float, Field(ge=0, le=128)] = 0.0
    noise_strength: Literal["random", "constant"] = "random"
    track_noise: Annotated[float, Field(ge=0)] = 0.0
    track_drop: Share = 0.0
    track_wrong: Share = 0.0
    still: Share = 0.0
    mosaic: Share = 0.0
    copy_paste: Share = 0.0
    off_last: Share = 0.0
    min_visible: Share = 0.1


class TrainSection(_Strict):
    """How long and how the model is trained; every value stands in the run's config.

    `share` is the part of the training elements that one epoch draws: neighbouring frames of a film are
    much alike, and shorter epochs are judged, mined and budgeted more finely.
    """

    epochs: Count = 30
    batch: Count = 16
    accumulate: Count = 1
    optimizer: Optimizer = "adamw"
    lr: Positive = 1e-3
    backbone_lr: Positive | None = None
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    momentum: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    schedule: Schedule = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    final_lr: Share = 0.01
    step_epochs: tuple[Count, ...] = ()
    clip_norm: Positive | None = 10.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Precision = "f32"
    workers: Annotated[int, Field(ge=0)] = 2
    sampling: Sampling = "plain"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    class_weights: Literal["none", "effective-number"] = "none"
    cache: Literal["none", "memory", "disk"] = "memory"
    cache_mb: Count = 2048
    patience: Count | None = None
    monitor: str | None = None
    validate_every: Count = 1
    save_minutes: Positive = 5.0
    seed: int = 0
    minutes: Positive | None = None
    augment: AugmentSection = Field(default_factory=AugmentSection)


class MineSection(_Strict):
    """Which crops of the training part the fine stage of a two-stage locator sees (`train.mining`).

    `crops`: `mined` from the coarse stage's own answers, or plain `random` ones about the truth, up to
    `jitter` of the window's side off (for comparison). `stride` takes every n-th frame. Of an epoch's
    crops `hard` are drawn by their loss, which is looked at again `every` so many epochs. On a share
    `background` of the frames a window of the next best place of the coarse heatmap is added.
    """

    crops: Literal["mined", "random"] = "mined"
    jitter: Share = 0.25
    stride: Count = 1
    hard: Share = 0.3
    every: Count = 3
    background: Share = 0.2


class StageSection(_Strict):
    """One stage of several: its architecture, how it is trained, and for a fine one how crops are mined."""

    model: ModelSection
    train: TrainSection = Field(default_factory=TrainSection)
    mine: MineSection | None = None


class StagesSection(_Strict):
    """The two networks of a coarse-to-fine locator."""

    coarse: StageSection
    fine: StageSection


class PipelineSection(_Strict):
    """How the stages work together in the package (`runtime.coarse_to_fine`)."""

    kind: Literal["coarse-to-fine"] = "coarse-to-fine"
    mode: str = "track"
    settings: dict[str, float] = Field(default_factory=dict)


class ExportSection(_Strict):
    """What is packaged. The tolerances are the largest change allowed against the trained model."""

    runtime: Literal["onnx", "openvino"] = "onnx"
    precision: Literal["f32"] = "f32"
    thresholds: dict[Task, Share] = Field(default_factory=dict)
    metric_tolerance: Annotated[float, Field(ge=0)] = 0.001
    point_tolerance_px: Annotated[float, Field(ge=0)] = 0.01


class Criterion(_Strict):
    """One measured figure and its bound: `{metric: detect.map50, at_least: 0.8}`.

    `interval: true` holds the pessimistic end of the 95% interval to the bound, not the estimate.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    interval: bool = False

    @model_validator(mode="after")
    def _one_bound(self) -> Criterion:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("exactly one of at_least and at_most must be given")
        return self

    def met(self, value: float) -> bool:
        """Whether a figure keeps the bound."""
        if self.at_least is not None:
            return value >= self.at_least
        return value <= self.at_most if self.at_most is not None else False

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


class ShadowSection(_Strict):
    """What a challenger must have done as a shadow (`serve --shadow`) before it may be promoted.

    `pictures` it must have answered beside the version in use, and `at_least` that share of them as it did:
    one that is to be better may well disagree, but hardly on most.
    """

    pictures: Count = 200
    at_least: Share = 0.0


class RetrainSection(_Strict):
    """When a new model is due, and how it is trained from the champion's weights (`lifecycle.retrain`).

    Due: `drift` where a report of `monitor` says so of the champion, `new_labels` so many labelled records
    that it has not seen, `every_days` since it was promoted; any one suffices. A timer's `retrain --if-due`
    only tells so, unless `automatic`. Nothing is promoted without being asked to, unless `promote`.
    `epochs` and `lr` take the place of the problem's own. With `shadow`, a challenger is promoted only after
    it was tried on live traffic.
    """

    drift: bool = False
    new_labels: Count | None = None
    every_days: Positive | None = None
    epochs: Count | None = None
    lr: Positive | None = None
    shadow: ShadowSection | None = None
    automatic: bool = False
    promote: bool = False


class Problem(_Strict):
    """What is wanted, for whom, from which labels, and what counts as success."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    why: str
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    classes: tuple[str, ...] = ()
    target: str = "this machine"
    data: DataSection
    split: SplitSection = Field(default_factory=SplitSection)
    model: ModelSection
    train: TrainSection = Field(default_factory=TrainSection)
    stages: StagesSection | None = None
    pipeline: PipelineSection | None = None
    export: ExportSection = Field(default_factory=ExportSection)
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)]
    retrain: RetrainSection = Field(default_factory=RetrainSection)

    @model_validator(mode="before")
    @classmethod
    def _task(cls, value: Any) -> Any:
        """`task: detect` is `tasks: [detect]`."""
        if isinstance(value, dict) and "task" in value and "tasks" not in value:
            value = {**value, "tasks": [value["task"]]}
            del value["task"]
        return value

    @model_validator(mode="before")
    @classmethod
    def _coarse(cls, value: Any) -> Any:
        """Of two stages, the coarse one stands where a single model would."""
        stages = value.get("stages") if isinstance(value, dict) else None
        if not isinstance(stages, dict) or not isinstance(stages.get("coarse"), dict):
            return value
        own = {key: stages["coarse"][key] for key in ("model", "train") if key in stages["coarse"]}
        for key in ("model", "train"):
            if key in value and value[key] != own.get(key, value[key]):
                raise ValueError(f"{key} stands in each of the stages; leave out the one beside them")
        return {**value, **own}

    @model_validator(mode="after")
    def _staged(self) -> Problem:
        if self.pipeline is not None and self.stages is None:
            raise ValueError("a pipeline needs stages")
        if self.stages is not None and self.tasks != ("locate",):
            raise ValueError("stages are for the task locate alone")
        return self

    def stage(self, name: Literal["coarse", "fine"]) -> Problem:
        """One of the stages as a problem of its own.

        Raises:
            ProblemError: the problem has no stages.
        """
        if self.stages is None:
            raise ProblemError("has no stages", where=self.name, remedy="give stages.coarse and stages.fine")
        chosen: StageSection = getattr(self.stages, name)
        changes = {"model": chosen.model, "train": chosen.train, "stages": None, "pipeline": None}
        return self.model_copy(update=changes)

    @property
    def mine(self) -> MineSection:
        """How crops of the fine stage are mined."""
        found = self.stages.fine.mine if self.stages is not None else None
        return found or MineSection()

    @classmethod
    def load(cls, path: str | Path) -> Problem:
        """Read and check a problem file.

        Raises:
            ProblemError: unreadable, not YAML, or a key or value that is not taken; all are listed.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ProblemError(f"cannot be read ({error})", where=path) from error
        return cls.parse_text(text, where=path)

    @classmethod
    def parse_text(cls, text: str, *, where: object = "problem") -> Problem:
        """Check a problem file's text; `where` names its origin in errors."""
        value = plain_yaml(text, where)
        if not isinstance(value, dict):
            raise ProblemError("must be a mapping of keys to values", where=where)
        return cls.parse(value, where=where)

    @classmethod
    def parse(cls, value: dict[str, Any], *, where: object = "problem") -> Problem:
        """Check plain values; `where` names their origin in errors."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            faults = "\n  ".join(_fault(item) for item in error.errors())
            raise ProblemError(f"cannot be taken:\n  {faults}", where=where) from None


def _fault(item: Any) -> str:
    """One pydantic error as a line: the key, what is wrong, the nearest key."""
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = sorted(_fields_at(Problem, item["loc"][:-1]))
        near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{place}: unknown key; {hint}"
    if item["type"] == "missing":
        return f"{place}: is required"
    shown = item["input"] if isinstance(item["input"], (str, int, float, bool)) else "this value"
    return f"{place}: {shown!r}: {item['msg'].removeprefix('Value error, ')}"


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> set[str]:
    """Names of the keys taken at a place in the tree."""
    for part in path:
        if not isinstance(part, str):
            continue
        found = model.model_fields.get(part)
        inner = _model_in(found.annotation) if found else None
        if inner is None:
            return set()
        model = inner
    return set(model.model_fields) | ({"task"} if model is Problem else set())


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section class inside an annotation such as `X | None` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(part) for part in get_args(annotation))
    return next((model for model in inner if model is not None), None)


Section = Union[DataSection, SplitSection, ModelSection, TrainSection, ExportSection]
