"""What goes into a network and what comes out of it, by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from sightline.core.errors import ModelError

Task = Literal["classify", "detect", "segment", "locate", "instances", "panoptic", "depth"]
Fit = Literal["letterbox", "stretch", "crop", "native"]
Pixels = Literal["rgb8", "grey8", "depth16", "track"]

# The key of a batch element, beside its inputs, that holds where a `native` window is centred.
CENTRE = "centre"

TASKS: tuple[Task, ...] = get_args(Task)

# The decoded tensors a model must name for each task. B pictures, C classes, K rows at most, S
# segments at most, H x W the placed input; every coordinate is in placed pixels, continuous.
TASK_OUTPUTS: dict[str, dict[str, str]] = {
    "classify": {"scores": "(B, C) f32, each row sums to 1"},
    "detect": {
        "boxes": "(B, K, 4) f32 xyxy",
        "scores": "(B, K) f32 in [0, 1], descending, 0 where the row is empty",
        "classes": "(B, K) i64",
    },
    "segment": {"classes": "(B, H, W) u8"},
    "locate": {"points": "(B, K, 2) f32 xy", "visible": "(B, K) f32 in [0, 1]"},
    "instances": {
        "boxes": "(B, K, 4) f32 xyxy",
        "scores": "(B, K) f32",
        "classes": "(B, K) i64",
        "masks": "(B, K, M, M) f32 in [0, 1], each spanning its own box",
    },
    "panoptic": {
        "segments": "(B, H, W) i64, index into the rows below, -1 where none",
        "scores": "(B, S) f32",
        "classes": "(B, S) i64",
    },
    "depth": {"metres": "(B, H, W) f32, 0 where unknown"},
}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One named input of a network, and how a source picture is placed into it.

    Attributes:
        size_wh: width and height in pixels.
        fit: `letterbox` (keep aspect, pad), `stretch` (fill both sides), `crop` (keep aspect, cut),
            `native` (a window of the picture at its own scale about a centre, padded outside).
        pad: grey level outside the picture, 0..255.
        pixels: `rgb8` uint8 (H, W, 3); `grey8` uint8 (H, W); `depth16` uint16 (H, W), millimetres;
            `track` f32 (T, 3), an object's past (x, y, visible), oldest first, not now; T is `frames`,
            size and fit mean nothing.
        frames: clip length T; 1 is a single picture (B, H, W, C), more is (B, T, H, W, C), oldest first.
        stride: frames between two of a clip.
        sensor: the sensor whose records feed this input; empty means any.
    """

    size_wh: tuple[int, int]
    fit: Fit = "letterbox"
    pad: int = 114
    pixels: Pixels = "rgb8"
    frames: int = 1
    stride: int = 1
    sensor: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_wh", (int(self.size_wh[0]), int(self.size_wh[1])))
        if min(self.size_wh) < 1:
            raise ModelError(f"input size {self.size_wh} must be at least 1x1")
        if self.fit not in get_args(Fit) or self.pixels not in get_args(Pixels):
            raise ModelError(f"fit {self.fit!r} or pixels {self.pixels!r} is not one we know")
        if self.frames < 1 or self.stride < 1 or not 0 <= self.pad <= 255:
            raise ModelError(
                f"frames {self.frames} and stride {self.stride} start at 1, pad {self.pad} is 0..255"
            )

    def shape(self, batch: int) -> tuple[int, ...]:
        """Shape of a batch as the network takes it."""
        if self.pixels == "track":
            return (batch, self.frames, 3)
        width, height = self.size_wh
        clip = (self.frames,) if self.frames > 1 else ()
        colour = (3,) if self.pixels == "rgb8" else ()
        return (batch, *clip, height, width, *colour)

    @property
    def dtype(self) -> str:
        """NumPy name of the pixel type."""
        return {"depth16": "uint16", "track": "float32"}.get(self.pixels, "uint8")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model promises: tasks it answers, classes it names, inputs it reads.

    Decoded outputs are named `task.field` with the fields of `TASK_OUTPUTS`; a model may also name
    `embedding` (B, D) for drift and near-duplicate search.

    Attributes:
        tasks: the tasks answered, at least one.
        classes: names, 0-based and contiguous; shared by every task that has classes.
        inputs: named inputs, in the order the network takes them.
        thresholds: smallest score of a row kept per task (`detect`, `instances`, `panoptic`, `locate`).
        stuff: classes without instances (panoptic).
    """

    tasks: tuple[Task, ...]
    classes: tuple[str, ...]
    inputs: dict[str, InputSpec]
    thresholds: dict[str, float] = field(default_factory=dict)
    stuff: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = set(self.tasks) - set(TASKS)
        if unknown or not self.tasks:
            raise ModelError(f"tasks {sorted(unknown)} unknown; they are {', '.join(TASKS)}")
        if len(set(self.classes)) != len(self.classes):
            raise ModelError(f"a class name appears twice in {list(self.classes)}")
        if not self.inputs:
            raise ModelError("a model reads at least one input")
        first = next(iter(self.inputs))
        if self.inputs[first].pixels == "track":
            raise ModelError(f"input {first!r} is a track; the first must show a picture, which places it")
        if CENTRE in self.inputs:
            raise ModelError(f"no input may be named {CENTRE!r}: that is where native windows are centred")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the decoded tensors, in the order an exported graph gives them."""
        return tuple(f"{task}.{name}" for task in self.tasks for name in TASK_OUTPUTS[task])

    def to_json(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Signature:
        """Read what `to_json` wrote."""
        inputs = {name: InputSpec(**spec) for name, spec in value["inputs"].items()}
        return cls(
            tasks=tuple(value["tasks"]),
            classes=tuple(value["classes"]),
            inputs=inputs,
            thresholds=dict(value.get("thresholds", {})),
            stuff=tuple(value.get("stuff", ())),
        )
