"""What a model says about one picture: one frozen type a task, checked at birth.

Coordinates are continuous pixels of the source picture; arrays are made read-only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import ModelError

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Classes = tuple[str, ...]

# A point counts as in sight from this probability on, where no threshold was chosen for the model.
IN_SIGHT = 0.5


def _check(owner: Any, shapes: dict[str, tuple[int | None, ...]], dtypes: dict[str, str]) -> None:
    """Cast, freeze and check every array field; None in a shape is any length."""
    name = type(owner).__name__
    for field_name, want in shapes.items():
        array = np.ascontiguousarray(getattr(owner, field_name), dtype=dtypes[field_name])
        fits = array.ndim == len(want) and all(w in (None, s) for w, s in zip(want, array.shape, strict=True))
        if not fits:
            raise ModelError(f"{name}.{field_name} has shape {array.shape}, it must be {want}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelError(f"{name}.{field_name} holds a value that is not finite")
        if array is getattr(owner, field_name) and array.flags.writeable:
            array = array.copy()
        array.setflags(write=False)
        object.__setattr__(owner, field_name, array)


def _check_classes(owner: Any, indices: NDArray[Any], count: int) -> None:
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= count):
        raise ModelError(
            f"{type(owner).__name__}: class {int(indices.max())} (least {int(indices.min())}) is not one of "
            f"{count} classes"
        )


@dataclass(frozen=True, slots=True, eq=False)
class ClassScores:
    """Scores (C,) f32 in [0, 1] of a whole picture."""

    scores: F32
    names: Classes

    def __post_init__(self) -> None:
        _check(self, {"scores": (len(self.names),)}, {"scores": "float32"})

    @property
    def best(self) -> int:
        """Index of the highest score."""
        return int(self.scores.argmax())


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes (N, 4) xyxy, scores (N,) in [0, 1], classes (N,); best first."""

    boxes: F32
    scores: F32
    classes: I64
    names: Classes

    def __post_init__(self) -> None:
        n = len(self.scores)
        shapes: dict[str, tuple[int | None, ...]] = {"boxes": (n, 4), "scores": (n,), "classes": (n,)}
        _check(self, shapes, {"boxes": "float32", "scores": "float32", "classes": "int64"})
        _check_classes(self, self.classes, len(self.names))

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True, eq=False)
class SemanticMap:
    """Class of every pixel (H, W) u8; 255 is void."""

    classes: NDArray[np.uint8]
    names: Classes

    def __post_init__(self) -> None:
        _check(self, {"classes": (None, None)}, {"classes": "uint8"})
        _check_classes(self, self.classes[self.classes != 255], len(self.names))


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """Detections with a mask each: boxes (N, 4), scores (N,), classes (N,), masks (N, H, W) bool."""

    boxes: F32
    scores: F32
    classes: I64
    masks: NDArray[np.bool_]
    names: Classes

    def __post_init__(self) -> None:
        n = len(self.scores)
        shapes: dict[str, tuple[int | None, ...]] = {
            "boxes": (n, 4),
            "scores": (n,),
            "classes": (n,),
            "masks": (n, None, None),
        }
        dtypes = {"boxes": "float32", "scores": "float32", "classes": "int64", "masks": "bool"}
        _check(self, shapes, dtypes)
        _check_classes(self, self.classes, len(self.names))

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True, eq=False)
class PanopticMap:
    """Segment of every pixel (H, W) i32, index into scores (S,) and classes (S,); -1 is void."""

    segments: NDArray[np.int32]
    scores: F32
    classes: I64
    names: Classes

    def __post_init__(self) -> None:
        s = len(self.scores)
        shapes: dict[str, tuple[int | None, ...]] = {
            "segments": (None, None),
            "scores": (s,),
            "classes": (s,),
        }
        _check(self, shapes, {"segments": "int32", "scores": "float32", "classes": "int64"})
        _check_classes(self, self.classes, len(self.names))
        if self.segments.size and int(self.segments.max()) >= s:
            raise ModelError(f"PanopticMap: segment {int(self.segments.max())} has no row among {s}")


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points (K, 2) xy of tiny objects and the probability (K,) that each is in sight.

    `threshold` is the probability from which on a point counts as in sight.
    """

    points: F32
    visible: F32
    names: Classes
    threshold: float = IN_SIGHT

    def __post_init__(self) -> None:
        k = len(self.visible)
        _check(self, {"points": (k, 2), "visible": (k,)}, {"points": "float32", "visible": "float32"})

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which points (K,) count as in sight."""
        return self.visible >= self.threshold


@dataclass(frozen=True, slots=True, eq=False)
class DepthMap:
    """Distance (H, W) f32 in metres; 0 is unknown."""

    metres: F32

    def __post_init__(self) -> None:
        _check(self, {"metres": (None, None)}, {"metres": "float32"})


Result = Union[ClassScores, Detections, SemanticMap, Instances, PanopticMap, Points, DepthMap]

RESULT_TYPES: dict[str, Callable[..., Result]] = {
    "classify": ClassScores,
    "detect": Detections,
    "segment": SemanticMap,
    "instances": Instances,
    "panoptic": PanopticMap,
    "locate": Points,
    "depth": DepthMap,
}


def same(a: Result, b: Result) -> bool:
    """Whether two results are of one type and equal to the bit."""
    if type(a) is not type(b):
        return False
    pairs = ((getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else bool(x == y) for x, y in pairs)
